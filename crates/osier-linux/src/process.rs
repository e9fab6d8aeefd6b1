//! One process: from its `task_struct` to a row.

use osier_memory::VirtAddr;
use osier_osi::{FoundBy, LinuxProcess, Process, ProcessExtra, Seen, TaskState};
use osier_profile::{Field, Resolver, SInt, UInt, layout};

use crate::memory::{self, Table};
use crate::tasks::COMM_BYTES;
use crate::{Linux, path, user};

layout! {
    /// Fields read from `cred`. Linux commit b6dff3ec5e11 ("CRED: Separate task security context
    /// from `task_struct`"), v2.6.29.
    pub(crate) struct Cred: "cred" {
        /// Real user id, in the initial user namespace.
        uid: Option<Field<UInt>>,
        /// Real group id.
        gid: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `signal_struct`.
    pub(crate) struct Signal: "signal_struct" {
        /// Threads of the process. Linux commit b3ac022cb9dc ("proc: turn `signal_struct->count`
        /// into \"int `nr_threads`\""), v2.6.35.
        nr_threads: Option<Field<SInt>>,
        /// The list of threads, by their `thread_node`.
        thread_head: Option<Field<osier_profile::Embed<()>>>,
    }
}

/// How this kernel numbers the bits of a task's state. The numbers are not in any debug
/// information; members that came with or soon before a change tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateBits {
    /// Linux commit 06eb61844d84 ("sched/debug: Add explicit `TASK_IDLE` printing"), v4.14, with
    /// `TASK_PARKED` moved to 0x40 by 8ef9925b02c2 in the same series.
    idle_shown: bool,
    /// Linux commit ad86622b478e ("wait: swap `EXIT_ZOMBIE` and `EXIT_DEAD` to hide `EXIT_TRACE`
    /// from user-space"), v3.15.
    zombie_last: bool,
}

impl StateBits {
    /// Tells the numbering by the members that the kernel has.
    pub(crate) fn resolve(resolver: &Resolver<'_>) -> Self {
        let has = |structure: &str, member: &str| {
            let ty = resolver.profile().find_type(structure);
            ty.is_some_and(|ty| ty.member(member).is_some())
        };
        // Both of v4.14 and v4.15: the last kernels with the old numbers have neither.
        let idle_shown = has("mm_struct", "membarrier_state")
            || has("pid_namespace", "idr")
            || has("task_struct", "__state");
        // v3.15, gone in v6.1; v4.19.
        let zombie_last =
            idle_shown || has("task_struct", "vmacache_seqnum") || has("task_struct", "vmacache");
        Self {
            idle_shown,
            zombie_last,
        }
    }

    /// The letter that `/proc/PID/stat` shows.
    fn letter(self, state: u64, exit_state: u64) -> char {
        /// `TASK_UNINTERRUPTIBLE | TASK_NOLOAD`.
        const IDLE: u64 = 0x402;
        /// `TASK_RTLOCK_WAIT` (v5.15) and `TASK_FROZEN` (v6.1): shown as uninterruptible.
        const SHOWN_AS_D: u64 = 0x1000 | 0x8000;
        let letters: &[u8] = match (self.idle_shown, self.zombie_last) {
            (true, _) => b"RSDTtXZP",
            (false, true) => b"RSDTtXZ",
            (false, false) => b"RSDTtZX",
        };
        if self.idle_shown {
            if state & IDLE == IDLE {
                return 'I';
            }
            if state & SHOWN_AS_D != 0 {
                return 'D';
            }
        }
        let mask = if self.idle_shown { 0x7f } else { 0x3f };
        let bits = (state | exit_state) & mask;
        let highest = u64::BITS.saturating_sub(bits.leading_zeros()) as usize;
        letters.get(highest).map_or('R', |&letter| letter.into())
    }
}

/// The row of the thread-group leader at `task`.
pub(crate) fn row(linux: &Linux, task: VirtAddr, found_by: FoundBy) -> Process {
    let kernel_thread = memory::kernel_thread(linux, task);
    let mm = memory::mm_of(linux, task, &kernel_thread);
    let Table { pgd, asid } = memory::table(linux, &mm);
    let (create_time, start) = started(linux, task);
    let exe = mm.clone().and_then(|mm| path::exe(linux, mm));
    let cmdline = mm.and_then(|mm| {
        let root = asid.clone();
        root.and_then(|root| user::cmdline(linux, mm, root))
    });
    let (uid, gid) = owner(linux, task);
    Process {
        taskd: task,
        pid: pid(linux, task),
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
        }),
    }
}

/// The row of the process whose leader is at `taskd`; implausible for anything but a leader.
pub(crate) fn by_handle(linux: &Linux, taskd: VirtAddr) -> Seen<Process> {
    if !linux.guest.is_kernel_address(taskd) {
        return Seen::implausible(taskd.0, "a handle is an address of the kernel", None);
    }
    let field = linux.tasks.group_leader;
    match field.read(&linux.guest.space, taskd) {
        Ok(leader) if leader == taskd => Seen::Is(row(linux, taskd, FoundBy::ListUnchecked)),
        Ok(other) => {
            let rule = "a handle names a thread-group leader";
            Seen::implausible(other.0, rule, Some(field.place(taskd)))
        }
        Err(fault) => Seen::unreadable(fault),
    }
}

/// The id of the process that the task at `task` belongs to.
pub(crate) fn pid(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    id(linux, linux.tasks.tgid, task)
}

/// A process or thread id of the task at `task`.
pub(crate) fn id(linux: &Linux, field: Field<SInt>, task: VirtAddr) -> Seen<u32> {
    match field.read(&linux.guest.space, task) {
        Ok(id) => u32::try_from(id).map_or_else(
            |_| {
                let rule = "an id is not negative";
                Seen::implausible(id.cast_unsigned(), rule, Some(field.place(task)))
            },
            Seen::Is,
        ),
        Err(fault) => Seen::unreadable(fault),
    }
}

/// The name of the task at `task`, as bytes.
pub(crate) fn name(linux: &Linux, task: VirtAddr) -> Seen<Vec<u8>> {
    let at = linux.tasks.comm.place(task);
    Seen::from(linux.guest.space.read_cstr(at, COMM_BYTES))
}

/// The state of the task at `task`.
pub(crate) fn state(linux: &Linux, task: VirtAddr) -> Seen<TaskState> {
    let (Some(state), Some(exit_state)) = (linux.tasks.state, linux.tasks.exit_state) else {
        return Seen::not_in_this_kernel();
    };
    let space = &linux.guest.space;
    let both = state
        .read(space, task)
        .and_then(|state| Ok((state, exit_state.read(space, task)?)));
    Seen::from(both).map(|(state, exit)| TaskState(linux.state_bits.letter(state, exit)))
}

fn parent(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let field = linux.tasks.real_parent;
    match field.read(&linux.guest.space, task) {
        Ok(parent) if linux.guest.is_kernel_address(parent) => id(linux, linux.tasks.tgid, parent),
        Ok(other) => {
            let rule = "real_parent is an address of the kernel";
            Seen::implausible(other.0, rule, Some(field.place(task)))
        }
        Err(fault) => Seen::unreadable(fault),
    }
}

fn owner(linux: &Linux, task: VirtAddr) -> (Seen<u32>, Seen<u32>) {
    let space = &linux.guest.space;
    let cred = match linux.tasks.real_cred {
        Some(field) => Seen::from(field.read(space, task)),
        None => Seen::not_in_this_kernel(),
    };
    let read = |field: Option<Field<UInt>>| match (field, &cred) {
        (Some(field), Seen::Is(cred)) => Seen::from(field.read(space, *cred)).map(|id| id as u32),
        (_, Seen::Not(absent)) => Seen::Not(absent.clone()),
        (None, _) => Seen::not_in_this_kernel(),
    };
    (read(linux.cred.uid), read(linux.cred.gid))
}

fn threads(linux: &Linux, task: VirtAddr) -> Seen<u32> {
    let (Some(signal), Some(count)) = (linux.tasks.signal, linux.signal.nr_threads) else {
        return Seen::not_in_this_kernel();
    };
    match signal.read(&linux.guest.space, task) {
        Ok(signal) => match count.read(&linux.guest.space, signal) {
            Ok(threads) => u32::try_from(threads).map_or_else(
                |_| {
                    let rule = "a number of threads is not negative";
                    let at = count.place(signal);
                    Seen::implausible(threads.cast_unsigned(), rule, Some(at))
                },
                Seen::Is,
            ),
            Err(fault) => Seen::unreadable(fault),
        },
        Err(fault) => Seen::unreadable(fault),
    }
}

/// PANDA's creation time (monotonic nanoseconds since boot), and the same moment on the wall clock.
///
/// The wall clock is reckoned from `start_boottime` where the kernel keeps it, as `/proc/stat`'s
/// `btime` is meant; from `start_time` otherwise, which is too early by the time that the machine
/// was suspended since.
fn started(linux: &Linux, task: VirtAddr) -> (Seen<u64>, Seen<i64>) {
    const SECOND: u64 = 1_000_000_000;
    let space = &linux.guest.space;
    let layout = &linux.tasks;
    let create_time = match (
        layout.start_seconds,
        layout.start_nanoseconds,
        layout.start_time,
    ) {
        (Some(seconds), Some(nanoseconds), _) => {
            let parts = seconds
                .read(space, task)
                .and_then(|seconds| Ok((seconds, nanoseconds.read(space, task)?)));
            Seen::from(parts).map(|(seconds, nanoseconds)| {
                let whole = seconds.cast_unsigned().wrapping_mul(SECOND);
                whole.wrapping_add(nanoseconds.cast_unsigned())
            })
        }
        (_, _, Some(field)) => Seen::from(field.read(space, task)),
        _ => Seen::not_in_this_kernel(),
    };
    let offsets = linux.offsets();
    let start = match layout
        .start_boottime
        .filter(|_| layout.start_seconds.is_none())
    {
        Some(field) => Seen::from(field.read(space, task)).and_then(|since_boot| {
            let offset = offsets.since_boot.clone();
            offset.map(|offset| offset.wrapping_add(since_boot.cast_signed()))
        }),
        None => create_time.clone().and_then(|monotonic| {
            let offset = offsets.monotonic.clone();
            offset.map(|offset| offset.wrapping_add(monotonic.cast_signed()))
        }),
    };
    (create_time, start)
}

#[cfg(test)]
mod tests {
    use super::StateBits;

    #[test]
    fn the_letters_follow_the_numbering_of_the_kernel() {
        let kernel = |idle_shown, zombie_last| StateBits {
            idle_shown,
            zombie_last,
        };
        let (new, middle, old) = (
            kernel(true, true),
            kernel(false, true),
            kernel(false, false),
        );
        for bits in [new, middle, old] {
            let letters: String = [0, 1, 2, 4, 8]
                .map(|state| bits.letter(state, 0))
                .into_iter()
                .collect();
            assert_eq!(letters, "RSDTt");
            assert_eq!(bits.letter(0x102, 0), 'D'); // killable
            assert_eq!(bits.letter(0x104, 0), 'T'); // stopped, woken by SIGKILL
        }
        assert_eq!(new.letter(0x80, 0x20), 'Z');
        assert_eq!(new.letter(0x80, 0x10), 'X');
        assert_eq!(middle.letter(0x40, 0x20), 'Z');
        assert_eq!(old.letter(0x40, 0x10), 'Z');
        assert_eq!(old.letter(0x40, 0x20), 'X');
        assert_eq!(new.letter(0x40, 0), 'P');
        assert_eq!(new.letter(0x402, 0), 'I');
        assert_eq!(middle.letter(0x402, 0), 'D');
        assert_eq!(new.letter(0x8000, 0), 'D'); // frozen
    }
}
