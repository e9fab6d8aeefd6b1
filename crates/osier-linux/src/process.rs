//! One process: from its `task_struct` to a row.

use osier_memory::VirtAddr;
use osier_osi::{
    Absent, FoundBy, LinuxProcess, Process, ProcessExtra, ProcessSource, Seen, SeenExt as _,
    TaskState,
};
use osier_profile::{Field, SInt, UInt};

use crate::layouts::COMM_BYTES;
use crate::memory::{self, Table};
use crate::{Linux, group, user};

/// The row of the thread-group leader at `task`.
pub(crate) fn row(linux: &Linux, task: VirtAddr, found_by: FoundBy) -> Process {
    let kernel_thread = memory::kernel_thread(linux, task);
    let mm = memory::mm_of(linux, task, &kernel_thread);
    let Table { pgd, asid, space } = memory::table(linux, &mm);
    let (create_time, start) = started(linux, task);
    let exe = mm.clone().and_then(|mm| exe(linux, mm));
    let cmdline = match (mm, space) {
        (Ok(mm), Some(space)) => user::cmdline(linux, mm, &space),
        (Err(absent), _) => Err(absent),
        (_, None) => asid.clone().and_then(|_| Err(Absent::not_in_this_kernel())),
    };
    let (uid, gid) = owner(linux, task, &kernel_thread);
    Process {
        taskd: task,
        pid: leader_id(linux, task),
        ppid: parent(linux, task),
        name: name(linux, task),
        asid,
        pgd,
        create_time,
        start,
        found_by,
        extra: ProcessExtra::Linux(LinuxProcess {
            uid,
            gid,
            state: state(linux, task),
            threads: threads(linux, task),
            exe,
            cmdline,
            kernel_thread,
            wide: None,
        }),
    }
}

/// Whether the task says that it has begun to exit.
pub(crate) fn has_exited(linux: &Linux, task: VirtAddr) -> bool {
    exited(linux, task).unwrap_or(false)
}

/// The same, where what says so can be read and does not contradict itself.
pub(crate) fn exited(linux: &Linux, task: VirtAddr) -> Seen<bool> {
    let read = |field: Option<Field<UInt>>| match field {
        Some(field) => field.read(&linux.guest.space, task),
        None => Ok(0),
    };
    let exiting = read(linux.tasks.flags)? & group::PF_EXITING != 0;
    let state = read(linux.tasks.exit_state)?;
    if state != 0 && !exiting && linux.tasks.flags.is_some() {
        let rule = "what has an exit state has begun to exit (exit_state, PF_EXITING)";
        return Err(Absent::implausible(state, rule, Some(task)));
    }
    if exiting && (linux.init_task == Some(task) || memory::is_idle(linux, task)) {
        let rule = "an idle task does not exit (PF_EXITING)";
        return Err(Absent::implausible(1, rule, Some(task)));
    }
    Ok(exiting || state != 0)
}

/// The row of the process whose leader is at `taskd`; implausible for anything but a leader.
pub(crate) fn by_handle(linux: &Linux, taskd: VirtAddr) -> Seen<Process> {
    if !linux.guest.is_kernel_address(taskd) {
        return Err(Absent::implausible(
            taskd.0,
            "a handle is an address of the kernel",
            None,
        ));
    }
    let field = linux.tasks.group_leader;
    match field.read(&linux.guest.space, taskd) {
        Ok(leader) if leader == taskd => {
            Ok(row(linux, taskd, FoundBy::source(ProcessSource::List)))
        }
        Ok(other) => {
            let rule = "a handle names a thread-group leader";
            Err(Absent::implausible(other.0, rule, Some(field.place(taskd))))
        }
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// The id of the process that the task at `task` belongs to: `tgid`, which is the number that the
/// pid table has the group leader under.
pub(crate) fn pid(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let tgid = linux.tasks.tgid;
    id(linux, tgid, task).and_then(|pid| {
        let field = linux.tasks.group_leader;
        match field.read(&linux.guest.space, task) {
            Ok(leader) if !linux.guest.can_be_object(leader) => {
                let rule = "group_leader is an aligned address of the kernel";
                Err(Absent::implausible(leader.0, rule, Some(field.place(task))))
            }
            Ok(leader) => numbered(linux, pid, leader, tgid.place(task)),
            Err(_) => Ok(pid),
        }
    })
}

/// The same of a task that leads its process.
pub(crate) fn leader_id(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let field = linux.tasks.group_leader;
    match field.read(&linux.guest.space, task) {
        Ok(leader) if leader != task => {
            let rule = "the first task of a process leads itself (group_leader)";
            Err(Absent::implausible(leader.0, rule, Some(field.place(task))))
        }
        _ => pid(linux, task),
    }
}

/// The id of the thread at `task`: `pid`, which is the number that the pid table has it under.
pub(crate) fn tid(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let field = linux.tasks.pid;
    id(linux, field, task).and_then(|tid| numbered(linux, tid, task, field.place(task)))
}

/// The group leader of the process that the task at `task` belongs to, which leads itself and has the
/// same id.
pub(crate) fn leader(linux: &Linux, task: VirtAddr) -> Seen<VirtAddr> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let field = layout.group_leader;
    field
        .read(space, task)
        .map_err(Absent::unreadable)
        .and_then(|leader| {
            let implausible =
                |rule| Err(Absent::implausible(leader.0, rule, Some(field.place(task))));
            if !linux.guest.can_be_object(leader) {
                return implausible("group_leader is an aligned address of the kernel");
            }
            let ids = [leader, task].map(|task| layout.tgid.read(space, task));
            match (field.read(space, leader), ids) {
                (Ok(its_own), _) if its_own != leader => implausible("a group leader leads itself"),
                (_, [Ok(its), Ok(own)]) if its != own => {
                    implausible("a group leader is of the same process (tgid)")
                }
                _ => Ok(leader),
            }
        })
}

/// `id`, which stands at `at`, unless the `struct pid` of `task` holds another number.
fn numbered(linux: &Linux, id: u32, task: VirtAddr, at: VirtAddr) -> Seen<u32> {
    let number = if linux.init_task == Some(task) {
        Some(0)
    } else {
        let number = linux.number;
        number.and_then(|number| number.of(&linux.guest, task))
    };
    match number {
        Some(number) if number != u64::from(id) => {
            let rule = "an id is the number of the task's struct pid";
            Err(Absent::implausible(id.into(), rule, Some(at)))
        }
        _ => Ok(id),
    }
}

/// A process or thread id of the task at `task`.
fn id(linux: &Linux, field: Field<SInt>, task: VirtAddr) -> Seen<u32> {
    let limit = if linux.guest.pointer_bytes() == 8 {
        PID_MAX_LIMIT
    } else {
        0x8000
    };
    field
        .read(&linux.guest.space, task)
        .map_err(Absent::unreadable)
        .and_then(|id| match u32::try_from(id) {
            Ok(known) if known < limit => Ok(known),
            _ => {
                let rule = "an id is below PID_MAX_LIMIT, and not negative";
                Err(Absent::implausible(
                    id.cast_unsigned(),
                    rule,
                    Some(field.place(task)),
                ))
            }
        })
}

/// The name of the task at `task`, as bytes.
pub(crate) fn name(linux: &Linux, task: VirtAddr) -> Seen<Vec<u8>> {
    let space = &linux.guest.space;
    let at = linux.tasks.comm.place(task);
    let name = match space.read_cstr(at, COMM_BYTES) {
        Ok(name) => name,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    let Some(rest) = COMM_BYTES.checked_sub(name.len()).filter(|rest| *rest > 0) else {
        let rule = "comm ends with a NUL within its 16 bytes";
        return Err(Absent::implausible(COMM_BYTES as u64, rule, Some(at)));
    };
    let may_be_nameless = || match memory::kernel_thread(linux, task) {
        Ok(kernel_thread) => !kernel_thread,
        Err(absent) => !absent.is_loss(),
    };
    if name.is_empty() && !may_be_nameless() {
        return Err(Absent::implausible(
            0,
            "a thread of the kernel has a name",
            Some(at),
        ));
    }
    // Linux commit 06c5088aeeda ("fs/exec: replace strlcpy with `strscpy_pad` in `__set_task_comm`"),
    // v5.17, fills the rest with NULs; `worker_private` is of the same release.
    let mut padding = [0_u8; COMM_BYTES];
    if let (Some(_), Some(padding)) = (linux.tasks.worker_private, padding.get_mut(..rest)) {
        let end = at.plus(name.len() as u64);
        if space.read(end, padding).is_ok() && padding.iter().any(|byte| *byte != 0) {
            let rule = "comm is NUL behind its end";
            return Err(Absent::implausible(name.len() as u64, rule, Some(at)));
        }
    }
    Ok(name)
}

/// The state of the task at `task`.
pub(crate) fn state(linux: &Linux, task: VirtAddr) -> Seen<TaskState> {
    let layout = &linux.tasks;
    let (Some(state), Some(exit_state)) = (layout.state, layout.exit_state) else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &linux.guest.space;
    let both = state
        .read(space, task)
        .and_then(|state| Ok((state, exit_state.read(space, task)?)));
    (both)
        .map_err(Absent::unreadable)
        .and_then(|(number, exit)| {
            let flags = layout.flags.and_then(|field| field.read(space, task).ok());
            let exiting = flags.map(|flags| flags & group::PF_EXITING != 0);
            let broken = linux.state_bits.broken(number, exit, exiting);
            let off_queue =
                || (number | exit == 0 && !on_run_queue(linux, task)).then_some(OFF_QUEUE);
            let torn = || memory::is_torn(linux, state.place(task), layout.tgid.place(task));
            let torn = || torn().then_some("a task lies in one stretch of the direct map");
            match broken.or_else(off_queue).or_else(torn) {
                Some(rule) => Err(Absent::implausible(number, rule, Some(state.place(task)))),
                None => Ok(TaskState(linux.state_bits.letter(number, exit))),
            }
        })
}

/// The rule of a task whose state is 0, running.
const OFF_QUEUE: &str = "a task that can run is on a run queue";

/// Whether the task is on a run queue, or nothing says that it is not. One that never gave its
/// processor away may be about to be put on its first; idle tasks are on none.
fn on_run_queue(linux: &Linux, task: VirtAddr) -> bool {
    let layout = &linux.tasks;
    let read = |field: Option<Field<UInt>>| field?.read(&linux.guest.space, task).ok();
    memory::is_idle(linux, task)
        || read(layout.on_rq) != Some(0)
        || matches!(read(layout.nvcsw), None | Some(0))
}

/// The executable of the process whose `mm_struct` is at `mm`, as `/proc/PID/exe` shows it
/// (`mm->exe_file`). Bytes. Not applicable when there is none.
fn exe(linux: &Linux, mm: VirtAddr) -> Seen<Vec<u8>> {
    let layout = &linux.mm;
    // Before Linux commit e9714acf8c43 ("mm: kill vma flag `VM_EXECUTABLE` and
    // `mm->num_exe_file_vmas`"), v3.6, it went with the last mapping of it.
    if let (Some(field), None) = (layout.exe_file, layout.num_exe_file_vmas)
        && field
            .read(&linux.guest.space, mm)
            .is_ok_and(VirtAddr::is_null)
    {
        let rule = "the memory of a program names its file (exe_file)";
        return Err(Absent::implausible(0, rule, Some(field.place(mm))));
    }
    match layout.exe_file {
        Some(exe_file) => {
            let file = exe_file.read(&linux.guest.space, mm);
            linux.maps.paths.exe(&linux.guest, file)
        }
        None => Err(Absent::not_in_this_kernel()),
    }
}

fn parent(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let field = layout.real_parent;
    let implausible =
        |parent: VirtAddr, rule| Err(Absent::implausible(parent.0, rule, Some(field.place(task))));
    match field.read(space, task) {
        Ok(other) if !linux.guest.can_be_object(other) => {
            implausible(other, "real_parent is an aligned address of the kernel")
        }
        Ok(real) if real != task && linux.init_task == Some(task) => {
            implausible(real, "the first task is its own parent")
        }
        Ok(real) => {
            let parent = layout.parent.and_then(|field| field.read(space, task).ok());
            let traced = layout.ptrace.and_then(|field| field.read(space, task).ok());
            if parent.is_some_and(|parent| parent != real)
                && traced == Some(0)
                && !memory::is_idle(linux, task)
            {
                implausible(real, "real_parent and parent are one unless it is traced")
            } else {
                pid(linux, real)
            }
        }
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// The `cred` of the task at `task`: `real_cred`.
pub(crate) fn cred(linux: &Linux, task: VirtAddr) -> Seen<VirtAddr> {
    let space = &linux.guest.space;
    let field = linux
        .tasks
        .real_cred
        .ok_or_else(Absent::not_in_this_kernel)?;
    let cred = field.read(space, task).map_err(Absent::unreadable)?;
    let implausible = |raw, rule, at| Err(Absent::implausible(raw, rule, Some(at)));
    if !linux.guest.can_be_object(cred) {
        let rule = "real_cred is an aligned address of the kernel";
        return implausible(cred.0, rule, field.place(task));
    }
    let usage = linux
        .cred
        .usage
        .map(|usage| (usage, usage.read(space, cred)));
    match usage {
        Some((usage, Ok(0))) => {
            let rule = "a cred that is in use is counted (usage)";
            implausible(0, rule, usage.place(cred))
        }
        _ => Ok(cred),
    }
}

/// The user and the group.
fn owner(linux: &Linux, task: VirtAddr, kernel_thread: &Seen<bool>) -> (Seen<u32>, Seen<u32>) {
    let space = &linux.guest.space;
    let layout = &linux.cred;
    let cred = cred(linux, task);
    let read = |field: Option<Field<UInt>>| match (field, &cred) {
        (Some(field), Ok(cred)) => field
            .read(space, *cred)
            .map_err(Absent::unreadable)
            .and_then(|id| match u32::try_from(id) {
                Ok(id) if id != u32::MAX => Ok(id),
                _ => {
                    let rule = "a user's or group's id is not -1";
                    Err(Absent::implausible(id, rule, Some(field.place(*cred))))
                }
            }),
        (_, Err(absent)) => Err(absent.clone()),
        (None, _) => Err(Absent::not_in_this_kernel()),
    };
    let uid = read(layout.uid).and_then(|uid| match cred.value() {
        Some(cred) if another_user(linux, cred, uid) => {
            let rule = "user id 0 is that of the root user's user_struct, and no other is";
            let at = layout.uid.map(|field| field.place(cred));
            Err(Absent::implausible(uid.into(), rule, at))
        }
        _ => Ok(uid),
    });
    let of_kernel = |id: Seen<u32>, field: Option<Field<UInt>>| match (id, &cred) {
        (Ok(id), Ok(cred)) if id != 0 && *kernel_thread == Ok(true) => {
            let rule = "a thread of the kernel belongs to root";
            let at = field.map(|field| field.place(*cred));
            Err(Absent::implausible(id.into(), rule, at))
        }
        (id, _) => id,
    };
    (
        of_kernel(uid, layout.uid),
        of_kernel(read(layout.gid), layout.gid),
    )
}

/// Whether `uid` is 0 and the `user_struct` is not that of the swapper's root, or the other way round.
fn another_user(linux: &Linux, cred: VirtAddr, uid: u32) -> bool {
    let space = &linux.guest.space;
    let user = |cred| linux.cred.user?.read(space, cred).ok();
    let root = || {
        let init = linux.init_task?;
        user(linux.tasks.real_cred?.read(space, init).ok()?)
    };
    let root = *linux.root_user.get_or_init(root);
    let known = linux.cred.kuid.and_then(|_| user(cred).zip(root));
    known.is_some_and(|(user, root)| (user == root) != (uid == 0))
}

/// `PID_MAX_LIMIT` of a 64-bit kernel.
pub(crate) const PID_MAX_LIMIT: u32 = 0x40_0000;

/// The number of threads, held against the two ends of their list.
pub(crate) fn threads(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let space = &linux.guest.space;
    let (Some(field), Some(count)) = (linux.tasks.signal, linux.signal.nr_threads) else {
        return Err(Absent::not_in_this_kernel());
    };
    let signal = match field.read(space, task) {
        Ok(signal) if !linux.guest.can_be_object(signal) => {
            let rule = "signal is an aligned address of the kernel";
            return Err(Absent::implausible(signal.0, rule, Some(field.place(task))));
        }
        Ok(signal) => signal,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    count
        .read(space, signal)
        .map_err(Absent::unreadable)
        .and_then(|threads| {
            let implausible = |rule| {
                Err(Absent::implausible(
                    threads.cast_unsigned(),
                    rule,
                    Some(count.place(signal)),
                ))
            };
            let Some(known) = u32::try_from(threads).ok().filter(|known| *known > 0) else {
                return implausible("a process has at least one thread");
            };
            if known > PID_MAX_LIMIT {
                return implausible("a process has fewer threads than there are ids");
            }
            if known > 1 && linux.init_task == Some(task) {
                return implausible("the first task is one thread");
            }
            let Some(ends) = ends_of_threads(linux, signal) else {
                return Ok(known);
            };
            if (ends.0 == ends.1) != (known == 1) {
                return implausible("one thread is both ends of the list of threads, more are not");
            }
            let leader = linux.tasks.group_leader.read(space, ends.0);
            if leader.is_ok_and(|leader| leader != task) {
                let rule = "the threads of a process's signal_struct are its own";
                return Err(Absent::implausible(signal.0, rule, Some(field.place(task))));
            }
            Ok(known)
        })
}

/// The first and the last thread on the list of the `signal_struct` at `signal`.
fn ends_of_threads(linux: &Linux, signal: VirtAddr) -> Option<(VirtAddr, VirtAddr)> {
    let head = linux.signal.thread_head?.place(signal);
    let node = linux.tasks.thread_node?;
    let word = u64::from(linux.guest.pointer_bytes());
    let end = |at| Some(node.container(linux.guest.space.read_pointer(at).ok()?));
    end(head).zip(end(head.plus(word)))
}

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// PANDA's creation time (monotonic nanoseconds since boot), and the same moment on the wall clock.
///
/// The wall clock is reckoned from `start_boottime` where the kernel keeps it, as `/proc/stat`'s
/// `btime` is meant; from `start_time` otherwise, which is too early by the time that the machine
/// was suspended since.
fn started(linux: &Linux, task: VirtAddr) -> (Seen<u64>, Seen<i64>) {
    /// What may pass between the readings of two clocks.
    const APART: u64 = SECOND / 4;
    let space = &linux.guest.space;
    let layout = &linux.tasks;
    let create_time = start_time(linux, task);
    let offsets = linux.offsets();
    let at = layout.start_time.or(layout
        .start_seconds
        .map(|field| Field::at(field.offset, 8, None)));
    let at = at.map(|field| field.place(task));
    let create_time = create_time
        .and_then(|since| past(since, offsets.now, at))
        .and_then(|since| {
            let parent = started_of_parent(linux, task);
            match parent.filter(|parent| past(*parent, offsets.now, None).is_ok()) {
                Some(parent) if since < parent => {
                    let rule = "a process started after its parent";
                    Err(Absent::implausible(since, rule, at))
                }
                _ => Ok(since),
            }
        });
    let start = match layout
        .start_boottime
        .filter(|_| layout.start_seconds.is_none())
    {
        Some(field) => field
            .read(space, task)
            .map_err(Absent::unreadable)
            .and_then(|since_boot| {
                let now = offsets.now.zip(offsets.suspended);
                let now = now.map(|(now, suspended)| now.saturating_add(suspended));
                let at = Some(field.place(task));
                past(since_boot, now, at).and_then(|since_boot| {
                    // The two clocks are read one after the other, and differ by what was suspended.
                    let apart = create_time.value().zip(offsets.suspended);
                    let apart = apart.is_some_and(|(monotonic, suspended)| {
                        let most = suspended.cast_unsigned().saturating_add(APART);
                        since_boot.wrapping_sub(monotonic) > most
                    });
                    if apart {
                        let rule =
                            "start_boottime is start_time and the time of suspension before it";
                        return Err(Absent::implausible(since_boot, rule, at));
                    }
                    let offset = offsets.since_boot.clone();
                    offset.map(|offset| offset.wrapping_add(since_boot.cast_signed()))
                })
            }),
        None => create_time.clone().and_then(|monotonic| {
            let offset = offsets.monotonic.clone();
            offset.map(|offset| offset.wrapping_add(monotonic.cast_signed()))
        }),
    };
    (create_time, start)
}

/// `start_time` in nanoseconds, which kernels before v3.17 kept in two parts.
fn start_time(linux: &Linux, task: VirtAddr) -> Seen<u64> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    match (
        layout.start_seconds,
        layout.start_nanoseconds,
        layout.start_time,
    ) {
        (Some(seconds), Some(nanoseconds), _) => {
            let parts = seconds
                .read(space, task)
                .and_then(|seconds| Ok((seconds, nanoseconds.read(space, task)?)));
            (parts)
                .map_err(Absent::unreadable)
                .and_then(|(seconds, nanoseconds)| {
                    let whole = seconds.cast_unsigned().wrapping_mul(SECOND);
                    let at = layout.start_seconds.map(|field| field.place(task));
                    if nanoseconds.cast_unsigned() >= SECOND {
                        let rule = "the nanoseconds of a start are less than a second";
                        return Err(Absent::implausible(nanoseconds.cast_unsigned(), rule, at));
                    }
                    Ok(whole.wrapping_add(nanoseconds.cast_unsigned()))
                })
        }
        (_, _, Some(field)) => field.read(space, task).map_err(Absent::unreadable),
        _ => Err(Absent::not_in_this_kernel()),
    }
}

/// When the parent of the process at `task` started: nobody's parent is younger, for those whose parent
/// exits become children of one above it, or of another thread of the same process.
fn started_of_parent(linux: &Linux, task: VirtAddr) -> Option<u64> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let object = |at: &VirtAddr| linux.guest.can_be_object(*at) && *at != task;
    let parent = layout.real_parent.read(space, task).ok().filter(object)?;
    let parent = layout
        .group_leader
        .read(space, parent)
        .ok()
        .filter(object)?;
    start_time(linux, parent).ok()
}

/// `start`, nanoseconds since boot, unless it lies more than a minute after `now`: the clock is as of
/// the last tick, which an idle machine puts off.
fn past(start: u64, now: Option<i64>, at: Option<VirtAddr>) -> Seen<u64> {
    const MINUTE: i64 = 60_000_000_000;
    let latest = now.map_or(i64::MAX, |now| now.saturating_add(MINUTE));
    if i64::try_from(start).is_ok_and(|start| start <= latest) {
        Ok(start)
    } else {
        Err(Absent::implausible(
            start,
            "a process started after boot and before now",
            at,
        ))
    }
}
