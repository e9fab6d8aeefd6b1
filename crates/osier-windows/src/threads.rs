//! Threads: `_EPROCESS.ThreadListHead`, one `_ETHREAD` each.

use osier_memory::{AddressSpace, Each, Fault, VirtAddr};
use osier_osi::{Absent, Seen, SeenExt as _, TaskState, Thread, WalkEnd, WalkEnds, Walked, Why};

use crate::guest::is_kernel_address;
use crate::layouts::threads::Teb;
use crate::windows::Windows;
use crate::{cid, root, twins, unicode};

/// The walk's name in endings.
const WALK: &str = "threads";
/// A letter for each `_KTHREAD.State` (`KTHREAD_STATE`): initialized, ready, running, standby,
/// terminated, waiting, transition, deferred ready, waiting at a gate, waiting for the process's
/// swap-in.
const STATES: &[u8; 10] = b"irRsTwxdgp";
/// `Terminated`.
pub(crate) const TERMINATED: u64 = 4;

/// The threads of the process at `process`, and how the walk ended.
pub(crate) fn listed(windows: &Windows, process: VirtAddr) -> (Vec<VirtAddr>, WalkEnd) {
    let head = windows.process.fields.thread_list_head;
    let Some((head, link)) = head.zip(windows.threads.fields.thread_list_entry) else {
        return (
            Vec::new(),
            WalkEnd::no_start("the list of threads in the profile", None),
        );
    };
    let Walked { nodes, end } = windows.guest.ring(head.place(process));
    let mut found: Vec<VirtAddr> = nodes.iter().map(|node| link.container(*node)).collect();
    let active = twins::active_threads(windows, process);
    let active = active.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    // One that has ended stays on the list while it is held: the list may be longer than the count.
    let ended = found.iter().filter(|at| has_ended(windows, **at)).count();
    let listed = found.len().saturating_sub(ended);
    if end.is_closed() && active <= listed {
        return (found, end);
    }
    let more = cid::threads(windows, process);
    found.extend(
        more.into_iter()
            .filter(|thread| !nodes.contains(&link.place(*thread))),
    );
    let end = match end {
        WalkEnd::Closed => WalkEnd::Disagreement {
            between: "list of threads and ActiveThreads",
            only_first: 0,
            only_second: active.saturating_sub(listed),
        },
        end => end,
    };
    (found, end)
}

/// Whether the thread at `at` says that it has ended; `false` where that cannot be read.
fn has_ended(windows: &Windows, at: VirtAddr) -> bool {
    let state = windows.threads.fields.state;
    state.is_some_and(|field| field.read(&windows.guest.space, at) == Ok(TERMINATED))
}

pub(crate) fn threads(windows: &Windows, process: VirtAddr, row: Each<'_, Thread>) -> WalkEnds {
    let (all, end) = listed(windows, process);
    for at in all {
        if row(thread(windows, at)).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    WalkEnds::one(WALK, end)
}

/// The row of the `_ETHREAD` at `at`.
pub(crate) fn thread(windows: &Windows, at: VirtAddr) -> Thread {
    Thread {
        pid: pid(windows, at),
        tid: tid(windows, at),
        name: name(windows, at),
        task: at,
        state: state(windows, at),
    }
}

/// `Cid.UniqueProcess`, which is the id of the process that owns the thread.
fn pid(windows: &Windows, at: VirtAddr) -> Seen<u32> {
    let field = windows.threads.fields.unique_process;
    cid::id(windows, field, at).and_then(|pid| {
        let owner = windows.threads.fields.owner;
        let owner = owner.and_then(|field| field.read(&windows.guest.space, at).ok());
        if owner == Some(VirtAddr(0)) {
            let rule = "a thread has a process";
            let place = windows.threads.fields.owner.map(|field| field.place(at));
            return Err(Absent::implausible(pid.into(), rule, place));
        }
        let own = windows.process.fields.unique_process_id;
        let its = owner.and_then(|owner| own.read(&windows.guest.space, owner).ok());
        if its.is_some_and(|its| its.0 != u64::from(pid)) {
            let rule = "a thread's Cid.UniqueProcess is the id of its process";
            return Err(Absent::implausible(
                pid.into(),
                rule,
                field.map(|field| field.place(at)),
            ));
        }
        Ok(pid)
    })
}

/// `Cid.UniqueThread`, by which the table of ids has the thread until it has ended. Threads that idle
/// are in no table.
pub(crate) fn tid(windows: &Windows, at: VirtAddr) -> Seen<u32> {
    let fields = &windows.threads.fields;
    let space = &windows.guest.space;
    cid::id(windows, fields.unique_thread, at).and_then(|tid| {
        let state = fields.state.and_then(|field| field.read(space, at).ok());
        // A thread that idles has a process without an id.
        let of_idle = || {
            let pid = fields.unique_process.map(|field| field.read(space, at));
            let owner = fields.owner.map(|field| field.read(space, at));
            pid.is_none_or(|pid| pid.is_ok_and(VirtAddr::is_null))
                && owner.is_none_or(|owner| owner != Ok(VirtAddr(0)))
        };
        let named = cid::leads_to(windows, tid, at) != Some(false);
        let place = fields.unique_thread.map(|field| field.place(at));
        if of_idle() && tid != 0 {
            let rule = "a thread that idles has no id";
            return Err(Absent::implausible(tid.into(), rule, place));
        }
        if tid == 0 && !of_idle() {
            let rule = "only a thread that idles has no id";
            return Err(Absent::implausible(0, rule, place));
        }
        if named || state == Some(TERMINATED) || of_idle() {
            return Ok(tid);
        }
        let rule = "an id is that of the thread's entry in PspCidTable";
        Err(Absent::implausible(tid.into(), rule, place))
    })
}

/// The process that owns the thread at `at`.
pub(crate) fn owner(windows: &Windows, at: VirtAddr) -> Seen<VirtAddr> {
    let Some(field) = windows.threads.fields.process else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &windows.guest.space;
    let process = field.read(space, at)?;
    let implausible = |rule| {
        let place = Some(field.place(at));
        Err(Absent::implausible(process.0, rule, place))
    };
    if windows.guest.plausible(process).is_err() {
        return implausible("a thread's process is a mapped address of the kernel");
    }
    // The process that it is attached to may be another's.
    let said = windows.threads.fields.unique_process;
    let said = said.filter(|_| windows.threads.fields.owner.is_some());
    let said = said.and_then(|field| field.read(space, at).ok());
    let own = windows
        .process
        .fields
        .unique_process_id
        .read(space, process);
    if said.is_some_and(|said| own.is_ok_and(|own| own != said)) {
        return implausible("a thread's Cid.UniqueProcess is the id of its process");
    }
    Ok(process)
}

fn name(windows: &Windows, at: VirtAddr) -> Seen<Vec<u8>> {
    let Some(field) = windows.threads.fields.thread_name else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &windows.guest.space;
    match field.read(space, at) {
        Ok(name) if name.is_null() => Err(Absent::not_applicable("nobody named the thread")),
        Ok(name) => unicode::read(space, name, space.mode().pointer_bytes()),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

fn state(windows: &Windows, at: VirtAddr) -> Seen<TaskState> {
    let Some(field) = windows.threads.fields.state else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(&windows.guest.space, at) {
        Ok(state) => match usize::try_from(state).ok().and_then(|nth| STATES.get(nth)) {
            Some(letter) => Ok(TaskState(char::from(*letter))),
            None => Err(Absent::implausible(
                state,
                "a thread's state is at most 9",
                Some(field.place(at)),
            )),
        },
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// What the first thread of a process says of the process in its own block, a `_TEB` in user memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// The process's `_PEB`.
    pub(crate) peb: Option<VirtAddr>,
    /// Of a WoW64 thread, which has a `_TEB32` that knows its own address: the 32-bit `_PEB`.
    pub(crate) peb32: Option<VirtAddr>,
}

/// The block of the first thread of the process at `process`, whose table gives `space`; `None` where
/// it cannot be read.
pub(crate) fn first_block(
    windows: &Windows,
    process: VirtAddr,
    space: &AddressSpace,
) -> Option<Block> {
    /// `_TEB32.ProcessEnvironmentBlock`, of 32-bit Windows from 2000 to 11 (ntdll's PDBs).
    const PEB32: u64 = 0x30;
    let thread = first_thread(windows, process)?;
    let teb = windows.threads.fields.teb?;
    let teb = teb.read(&windows.guest.space, thread).ok()?;
    if teb.is_null() || teb.in_page() != 0 || is_kernel_address(space, teb) {
        return None;
    }
    let layout = &windows.threads.teb;
    let own32 = |teb32: &VirtAddr| space.read_uint(teb32.plus(SELF32), 4) == Ok(teb32.0);
    let wide = space.mode().pointer_bytes() == 8;
    let teb32 = teb32(layout, space, teb).ok().filter(|at| !at.is_null());
    let peb32 = teb32.filter(|_| wide).filter(own32).and_then(|teb32| {
        let peb = space.read_uint(teb32.plus(PEB32), 4).ok()?;
        Some(VirtAddr(peb)).filter(|peb| !peb.is_null())
    });
    Some(Block {
        peb: layout.peb.and_then(|field| field.read(space, teb).ok()),
        peb32,
    })
}

/// `_TEB32.NtTib.Self`: the block's own address.
pub(crate) const SELF32: u64 = 0x18;

/// Where the `_TEB32` of the WoW64 thread with the block at `teb` would be; null when it has none.
pub(crate) fn teb32(layout: &Teb, space: &AddressSpace, teb: VirtAddr) -> Result<VirtAddr, Fault> {
    let offset = match layout.wow_teb_offset {
        Some(field) => field.read(space, teb)?,
        None => 0,
    };
    match (offset, layout.exception_list) {
        (0, Some(field)) => field.read(space, teb),
        (0, None) => Ok(VirtAddr(0)),
        (offset, _) => Ok(teb.plus(offset.cast_unsigned())),
    }
}

/// The first thread on the list of the process at `at`, when it says that it is the process's.
pub(crate) fn first_thread(windows: &Windows, at: VirtAddr) -> Option<VirtAddr> {
    let head = windows.process.fields.thread_list_head?.place(at);
    let link = windows.threads.fields.thread_list_entry?;
    let first = windows.guest.space.read_pointer(head).ok()?;
    let thread = link.container(first);
    let owned = owner(windows, thread).value() == Some(at);
    (first != head && owned).then_some(thread)
}

/// An address in the user stack of each thread of the process at `process`: its highest byte. Of a
/// WoW64 thread both stacks. A stack that could not be read is an ending, for its mapping then passes
/// for plain private memory.
pub(crate) fn stacks(
    windows: &Windows,
    process: VirtAddr,
    wow64: bool,
    ends: &mut WalkEnds,
) -> Vec<u64> {
    let Some(field) = windows.threads.fields.teb else {
        return Vec::new();
    };
    let (threads, end) = listed(windows, process);
    ends.add(WALK, end);
    if root::has_no_memory(windows, process) {
        return Vec::new();
    }
    let space = match root::address_space(windows, process) {
        Ok(space) => space,
        Err(absent) => {
            if let Why::Unreadable(fault) = absent.why {
                ends.add(
                    "stacks",
                    WalkEnd::no_start("the stacks: the process's table root", fault),
                );
            }
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for thread in threads {
        let teb = field.read(&windows.guest.space, thread);
        let stacks = teb.and_then(|teb| of_teb(windows, &space, teb, wow64, &mut found));
        let fault = match stacks {
            Ok(true) => continue,
            Ok(false) => None,
            Err(fault) => Some(fault),
        };
        let missing = format!("the stack of the thread at {thread}");
        ends.add("stacks", WalkEnd::NoStart { missing, fault });
    }
    found
}

/// Whether the thread whose block is at `teb` has the stacks that it must have.
fn of_teb(
    windows: &Windows,
    space: &AddressSpace,
    teb: VirtAddr,
    wow64: bool,
    found: &mut Vec<u64>,
) -> Result<bool, Fault> {
    /// `_TEB32.NtTib.StackBase`.
    const STACK_BASE32: u64 = 4;
    let layout = &windows.threads.teb;
    // A thread of the kernel's, or one that has ended.
    let Some(field) = layout.stack_base.filter(|_| !teb.is_null()) else {
        return Ok(true);
    };
    let mut keep = |base: u64| {
        if base != 0 {
            found.push(base.wrapping_sub(1));
        }
    };
    if teb.in_page() != 0 {
        return Ok(false);
    }
    let own = field.read(space, teb)?;
    if own.is_null() || is_kernel_address(space, own) || is_kernel_address(space, teb) {
        return Ok(false);
    }
    keep(own.0);
    if wow64 {
        let teb32 = teb32(layout, space, teb)?;
        if !teb32.is_null() {
            if space.read_uint(teb32.plus(SELF32), 4)? != teb32.0 {
                return Ok(false);
            }
            keep(space.read_uint(teb32.plus(STACK_BASE32), 4)?);
        }
    }
    Ok(true)
}
