//! A task's memory: whether it has one, which, and the page table that it runs by.
//!
//! The kernel says most of it twice, and what disagrees is implausible: a task without `mm` is a
//! thread of the kernel, has exited, or was made by the kernel and has not run a program yet; a task
//! of a program runs in its own memory (`active_mm`), which somebody uses (`mm_users`), by a table
//! that maps the kernel where the kernel's own table does.

use osier_memory::{AddressSpace, Cause, PAGE_BYTES, Paging, PhysAddr, VirtAddr};
use osier_osi::{Absent, Seen, SeenExt as _, WalkEnd, WalkEnds, Why};
use osier_profile::{Field, Ptr, SInt};

use crate::group::PF_EXITING;
use crate::named::Named;
use crate::{Linux, group};

/// `PF_IO_WORKER`. Linux commit 3bfe6106693b ("io-wq: fork worker threads from original task"), v5.12.
const PF_IO_WORKER: u64 = 0x10;
/// `PF_FORKNOEXEC`.
const PF_FORKNOEXEC: u64 = 0x40;
/// `PF_KTHREAD`. Linux commit 7b34e4283c68 ("introduce `PF_KTHREAD` flag"), v2.6.27.
pub(crate) const PF_KTHREAD: u64 = 0x0020_0000;

/// The rule of the tasks that the first one made.
const BORROWED: &str = "the first tasks of the kernel do not work in another's memory";

/// A process's page table.
pub(crate) struct Table {
    /// `mm->pgd`.
    pub(crate) pgd: Seen<VirtAddr>,
    /// The same, physical.
    pub(crate) asid: Seen<PhysAddr>,
    /// What it maps, when it is known.
    pub(crate) space: Option<AddressSpace>,
}

/// Whether the task is a thread of the kernel: `PF_KTHREAD`.
///
/// Each such thread has a `struct kthread` (`worker_private` since Linux commit e32cf5dfbe22
/// ("kthread: Generalize `pf_io_worker` so it can point to struct kthread"), v5.17; `set_child_tid`
/// before) and was made by another.
pub(crate) fn kernel_thread(linux: &Linux, task: VirtAddr) -> Seen<bool> {
    let layout = &linux.tasks;
    let space = &linux.guest.space;
    let Some(field) = layout.flags else {
        return Err(Absent::not_in_this_kernel());
    };
    let flags = match field.read(space, task) {
        Ok(flags) => flags,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    let marked = flags & PF_KTHREAD != 0;
    let broken = match (structure(linux, task), marked) {
        (Some(false), true) => Some("a thread of the kernel has a struct kthread"),
        (Some(true), false) if flags & PF_IO_WORKER == 0 => {
            Some("what has a struct kthread is marked as a thread of the kernel")
        }
        (_, true) => foreign_parent(linux, task),
        _ => None,
    };
    match broken {
        Some(rule) => Err(Absent::implausible(flags, rule, Some(field.place(task)))),
        None => Ok(marked),
    }
}

/// Whether the task is a processor's idle task. Those of all processors but the first were made by
/// process 1 before it ran a program, and are nobody's children.
pub(crate) fn is_idle(linux: &Linux, task: VirtAddr) -> bool {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    layout.pid.read(space, task) == Ok(0) && layout.tgid.read(space, task) == Ok(0)
}

/// The rule that the parent of a thread of the kernel breaks, if any.
fn foreign_parent(linux: &Linux, task: VirtAddr) -> Option<&'static str> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let parent = layout.real_parent.read(space, task).ok()?;
    if Some(parent) == linux.init_task {
        // Process 1 before it runs a program, kthreadd, and the idle task itself.
        let borrows = layout.mm.read(space, task).is_ok_and(|mm| !mm.is_null());
        return borrows.then_some(BORROWED);
    }
    let made_by_a_program = runs_a_program(linux, parent) && !is_idle(linux, task);
    made_by_a_program.then_some("a thread of the kernel was made by another")
}

/// Whether the task has a `struct kthread`; `None` when the kernel or the snapshot does not tell.
fn structure(linux: &Linux, task: VirtAddr) -> Option<bool> {
    let (guest, layout) = (&linux.guest, &linux.tasks);
    if let Some(field) = layout.worker_private {
        // The boot processor's idle task gets its own early in the boot.
        if linux.init_task == Some(task) {
            return None;
        }
        let structure = field.read(&guest.space, task).ok()?;
        return Some(!structure.is_null());
    }
    // In a task of a program it is null or an address of the program.
    let field = layout
        .set_child_tid
        .filter(|_| guest.pointer_bytes() == 8)?;
    let structure = field.read(&guest.space, task).ok()?;
    guest.is_kernel_address(structure).then_some(true)
}

/// Whether the task's parent runs a program.
fn made_by_a_program(linux: &Linux, task: VirtAddr) -> bool {
    let parent = linux.tasks.real_parent.read(&linux.guest.space, task);
    parent.is_ok_and(|parent| runs_a_program(linux, parent))
}

/// Whether there is a task at `task` that is no thread of the kernel.
fn runs_a_program(linux: &Linux, task: VirtAddr) -> bool {
    let flags = linux
        .tasks
        .flags
        .filter(|_| linux.guest.can_be_object(task));
    let flags = flags.and_then(|flags| flags.read(&linux.guest.space, task).ok());
    flags.is_some_and(|flags| flags & PF_KTHREAD == 0)
}

/// The `mm_struct` of the task's own memory, of a leader that has exited that of its other threads. Not applicable to a
/// thread of the kernel, also to one that works in a process's memory for a while (`kthread_use_mm()`), to a process that
/// has exited, and to one of the kernel's that has not run a program yet.
pub(crate) fn mm(linux: &Linux, task: VirtAddr) -> Seen<VirtAddr> {
    mm_of(linux, task, &kernel_thread(linux, task))
}

/// The same, when it is known whether the task is a thread of the kernel.
pub(crate) fn mm_of(linux: &Linux, task: VirtAddr, kernel_thread: &Seen<bool>) -> Seen<VirtAddr> {
    let space = &linux.guest.space;
    let field = linux.tasks.mm;
    if kernel_thread.value() == Some(true) {
        return Err(Absent::not_applicable("a thread of the kernel"));
    }
    let holder = group::bearer(linux, task, field)?;
    if holder != task {
        return mm_of(linux, holder, &self::kernel_thread(linux, holder));
    }
    let mm = match field.read(space, task) {
        Ok(mm) => mm,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    if mm.is_null() {
        return no_mm(linux, task, kernel_thread);
    }
    let implausible = |rule| Err(Absent::implausible(mm.0, rule, Some(field.place(task))));
    if !linux.guest.can_be_object(mm) {
        return implausible("mm is an aligned address of the kernel");
    }
    // Which of the two lies, the mark or the memory, nobody knows.
    let why = kernel_thread.absence().map(|absent| &absent.why);
    if matches!(why, Some(Why::Implausible { rule, .. }) if *rule == BORROWED) {
        return implausible(BORROWED);
    }
    let active = linux.tasks.active_mm.map(|field| field.read(space, task));
    if matches!(active, Some(Ok(active)) if active != mm) {
        return implausible("a program's mm is the memory that it runs in, active_mm");
    }
    let exited = linux.tasks.exit_state.map(|field| field.read(space, task));
    if matches!(exited, Some(Ok(state)) if state != 0) {
        return implausible("a task that has exited has no mm");
    }
    let users = linux.mm.mm_users.map(|field| field.read(space, mm));
    if matches!(users, Some(Ok(users)) if users <= 0) {
        return implausible("an mm that is in use has users (mm_users)");
    }
    if let Some(Ok(users)) = users
        && users.cast_unsigned() < named(linux).memory(mm)
    {
        return implausible("an mm counts the processes that name it (mm_users)");
    }
    if is_owned_by_another(linux, task, mm) {
        return implausible("the owner of an mm is a task that names it (owner)");
    }
    Ok(mm)
}

/// By how many processes shared objects are named.
pub(crate) fn named(linux: &Linux) -> &Named {
    linux.named.get_or_init(|| {
        let shared = [linux.tasks.files, linux.maps.paths.task_fs()];
        let bearer = |task, field| group::bearer(linux, task, field).unwrap_or(task);
        let count = |init| {
            Named::count(
                &linux.guest,
                &linux.tasks,
                shared,
                init,
                PF_KTHREAD,
                &bearer,
            )
        };
        linux.init_task.map(count).unwrap_or_default()
    })
}

/// Whether the task that the memory at `mm` says it belongs to is of another process, and names other memory.
/// Linux commit cf475ad28ac3 ("cgroups: add an owner to the `mm_struct`"), v2.6.26.
fn is_owned_by_another(linux: &Linux, task: VirtAddr, mm: VirtAddr) -> bool {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let owner = linux.mm.owner.and_then(|field| field.read(space, mm).ok());
    let Some(owner) = owner.filter(|owner| linux.guest.can_be_object(*owner) && *owner != task)
    else {
        return false;
    };
    let of = |field: Field<Ptr<()>>, task| field.read(space, task).ok();
    let own = of(layout.group_leader, task);
    of(layout.group_leader, owner) != own && of(layout.mm, owner).is_some_and(|other| other != mm)
}

/// Whether a thread of the process of the task at `task` has begun to exit, by the kernel's counts;
/// `None` where they cannot be read. One that exits is counted out (`live`) before it gives up its
/// memory, and counts as a thread until somebody has waited for it.
pub(crate) fn one_exits(linux: &Linux, task: VirtAddr) -> Option<bool> {
    let space = &linux.guest.space;
    let (live, threads) = linux.signal.live.zip(linux.signal.nr_threads)?;
    let signal = linux.tasks.signal?.read(space, task).ok()?;
    if !linux.guest.can_be_object(signal) {
        return None;
    }
    let count = |field: Field<SInt>| field.read(space, signal).ok();
    Some(count(live)? < count(threads)?)
}

/// Why the task, whose `mm` is null, has none.
fn no_mm(linux: &Linux, task: VirtAddr, kernel_thread: &Seen<bool>) -> Seen<VirtAddr> {
    let layout = &linux.tasks;
    let space = &linux.guest.space;
    let Some(flags) = layout.flags else {
        return Err(Absent::not_applicable(
            "a thread of the kernel, or the process has exited",
        ));
    };
    let flags = match flags.read(space, task) {
        Ok(flags) => flags,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    let exited = layout.exit_state.map(|field| field.read(space, task));
    if flags & PF_EXITING != 0 || matches!(exited, Some(Ok(state)) if state != 0) {
        if one_exits(linux, task) == Some(false) {
            let rule = "a task that exits is counted out of those that live (signal->live)";
            let at = layout.flags.map(|field| field.place(task));
            return Err(Absent::implausible(flags, rule, at));
        }
        return Err(Absent::not_applicable("the process has exited"));
    }
    // Process 1 and the helpers that the kernel starts are no threads of the kernel since Linux
    // commit 343f4c49f243 ("kthread: Don't allocate kthread_struct for init and umh"), v5.19.
    if flags & PF_FORKNOEXEC != 0
        && kernel_thread.value() == Some(false)
        && structure(linux, task) == Some(false)
        && !made_by_a_program(linux, task)
    {
        return Err(Absent::not_applicable(
            "a task of the kernel that has not run a program yet",
        ));
    }
    let rule = "a task that runs a program has memory";
    Err(Absent::implausible(0, rule, Some(layout.mm.place(task))))
}

/// The page table of the memory at `mm`.
pub(crate) fn table(linux: &Linux, mm: &Seen<VirtAddr>) -> Table {
    let (guest, field) = (&linux.guest, linux.mm.pgd);
    // A PAE root is four entries; any other is a page.
    let align = match guest.space.mode() {
        Paging::Pae => 32,
        _ => PAGE_BYTES,
    };
    let pgd = mm.clone().and_then(|mm| {
        let implausible =
            |pgd: VirtAddr, rule| Err(Absent::implausible(pgd.0, rule, Some(field.place(mm))));
        match field.read(&guest.space, mm) {
            Ok(pgd) if !guest.is_kernel_address(pgd) => {
                implausible(pgd, "pgd is an address of the kernel")
            }
            Ok(pgd) if !pgd.0.is_multiple_of(align) => {
                implausible(pgd, "pgd is aligned as a page table's root is")
            }
            Ok(pgd) if guest.code.contains(&pgd) => {
                implausible(pgd, "a process's table is no part of the kernel's code")
            }
            outcome => outcome.map_err(Absent::unreadable),
        }
    });
    let mut space = None;
    let asid = pgd.clone().and_then(|pgd| {
        let root = match guest.space.translate(pgd) {
            Ok(root) => root,
            Err(fault) => return Err(Absent::unreadable(fault)),
        };
        let own = guest.space_of(root);
        let rule = if !directly_mapped(linux, mm, pgd, root) {
            "mm and pgd are as far from their physical addresses, in the direct map"
        } else if !maps_the_kernel(linux, &own) {
            "a process's table maps the kernel where the kernel's own does"
        } else {
            space = Some(own);
            return Ok(root);
        };
        Err(Absent::implausible(root.0, rule, Some(pgd)))
    });
    Table { pgd, asid, space }
}

/// The direct map starts at a multiple of this.
const ROUND: u64 = 1 << 27;

/// Whether `pgd` is as far from its physical address `root` as `mm` is from its own: both lie in the
/// direct map, which is one stretch and starts at a round address. A guest that sees no such stretch
/// (Xen's paravirtual ones) is believed.
fn directly_mapped(linux: &Linux, mm: &Seen<VirtAddr>, pgd: VirtAddr, root: PhysAddr) -> bool {
    let place = mm.value().map(|mm| (mm, linux.guest.space.translate(mm)));
    let Some((mm, Ok(at))) = place else {
        return true;
    };
    let offset = mm.0.wrapping_sub(at.0);
    !offset.is_multiple_of(ROUND) || offset == pgd.0.wrapping_sub(root.0)
}

/// Whether `at` and `other`, places of one object, lie as far from their physical addresses as no object of
/// the direct map does, `other` being there: then another page stands in for that of `at`.
pub(crate) fn is_torn(linux: &Linux, at: VirtAddr, other: VirtAddr) -> bool {
    if at.page() == other.page() {
        return false;
    }
    let space = &linux.guest.space;
    let distance = |place: VirtAddr| Some(place.0.wrapping_sub(space.translate(place).ok()?.0));
    let (at, other) = (distance(at), distance(other));
    other.is_some_and(|other| other.is_multiple_of(ROUND)) && at.is_some_and(|at| Some(at) != other)
}

/// Whether the table of `space` maps the kernel's data where the kernel's own table does. A table of
/// which the snapshot does not hold enough is believed.
fn maps_the_kernel(linux: &Linux, space: &AddressSpace) -> bool {
    let guest = &linux.guest;
    let Some(place) = linux.init_task else {
        return true;
    };
    // Linux gives each process the same table below the root.
    if matches!(space.root_entry(place), Ok(own) if guest.space.root_entry(place) == Ok(own)) {
        return true;
    }
    let Ok(expected) = guest.space.translate(place) else {
        return true;
    };
    match space.translate(place) {
        Ok(found) => found == expected,
        Err(fault) => !matches!(
            fault.cause,
            Cause::NotPresent { .. } | Cause::Elsewhere { .. }
        ),
    }
}

/// The address space of the process at `task`: its own `mm->pgd`.
pub(crate) fn address_space(linux: &Linux, task: VirtAddr) -> Seen<AddressSpace> {
    let Table { asid, space, .. } = table(linux, &mm(linux, task));
    match space {
        Some(space) => Ok(space),
        None => asid.map(|root| linux.guest.space_of(root)),
    }
}

/// The endings of a walk over a process whose memory cannot be read.
pub(crate) fn no_memory<T>(walk: &'static str, mm: Seen<T>) -> WalkEnds {
    match mm {
        Err(absent) if absent.is_loss() => {
            let (missing, fault) = match absent.why {
                Why::Unreadable(fault) => ("the process's mm".to_owned(), Some(fault)),
                Why::Implausible { raw, rule } => {
                    (format!("the process's mm, {raw:#x}: {rule}"), None)
                }
                _ => ("the process's mm".to_owned(), None),
            };
            WalkEnds::one(walk, WalkEnd::NoStart { missing, fault })
        }
        _ => WalkEnds::one(walk, WalkEnd::Closed),
    }
}

/// `start_brk` and `brk` of the process whose group leader is at `taskd`: PANDA's `OsiProcMem`,
/// which PANDA does not give when either is 0.
pub(crate) fn heap_bounds(linux: &Linux, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
    mm(linux, taskd).and_then(|mm| {
        let space = &linux.guest.space;
        let Some(brk) = linux.mm.brk else {
            return Err(Absent::not_in_this_kernel());
        };
        let read = || {
            let start = linux.mm.start_brk.read(space, mm)?;
            Ok((VirtAddr(start), VirtAddr(brk.read(space, mm)?)))
        };
        read().map_err(Absent::unreadable)
    })
}
