//! The task list: thread-group leaders, forwards and backwards, against the pid table.
//!
//! A leader that only one of the two names is shown and marked, and the answer says that they
//! disagree. `init_task` (pid 0) heads the list and has no number in the table.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, VirtAddr};
use osier_osi::{FoundBy, Handle, Process, WalkEnd, WalkEnds, Walked};
use osier_profile::{Embed, Field, Ptr, SInt, UInt, layout};

use crate::list;
use crate::{AttachError, Linux, memory, process};

/// The walk's name in endings.
pub(crate) const WALK: &str = "tasks";

layout! {
    /// Fields read from `task_struct`.
    pub(crate) struct Tasks: "task_struct" {
        /// The ring of thread-group leaders.
        tasks: Field<Embed<()>>,
        /// Thread id, in the initial namespace.
        pid: Field<SInt>,
        /// Process id, in the initial namespace.
        tgid: Field<SInt>,
        /// Its memory; null for a thread of the kernel and for a task that exited.
        mm: Field<Ptr<()>>,
        /// The memory that it runs in: a program's own, a kernel thread's borrowed one.
        active_mm: Option<Field<Ptr<()>>>,
        /// A kernel thread's `struct kthread`. Since v5.17.
        worker_private: Option<Field<Ptr<()>>>,
        /// The same before; in a program, where its C library wants the thread id.
        set_child_tid: Option<Field<Ptr<()>>>,
        /// The name, 16 bytes with its NUL.
        comm: Field<Embed<()>>,
        /// The first thread of its process.
        group_leader: Field<Ptr<()>>,
        /// The parent that forked it, or that adopted it.
        real_parent: Field<Ptr<()>>,
        /// `PF_` marks.
        flags: Option<Field<UInt>>,
        /// Linux commit 2f064a59a11f ("sched: Change `task_struct::state`"), v5.14.
        state: Option<Field<UInt>> = ["__state", "state"],
        /// Zombie or dead.
        exit_state: Option<Field<UInt>>,
        /// Monotonic nanoseconds. Linux commit ccbf62d8a284 ("sched: Make `task->start_time`
        /// nanoseconds based"), v3.17.
        start_time: Option<Field<UInt>>,
        /// Seconds, when it was a `timespec`, before.
        start_seconds: Option<Field<SInt>> = ["start_time.tv_sec"],
        /// Nanoseconds of that second.
        start_nanoseconds: Option<Field<SInt>> = ["start_time.tv_nsec"],
        /// Nanoseconds since boot, suspension included. Linux commit cf25e24db61c ("time: Rename
        /// `tsk->real_start_time` to `->start_boottime`"), v5.5.
        start_boottime: Option<Field<UInt>> = ["start_boottime", "real_start_time"],
        /// Who it is; before v2.6.29 the ids stood in the task itself.
        real_cred: Option<Field<Ptr<()>>> = ["real_cred", "cred"],
        /// What the threads of a process share.
        signal: Option<Field<Ptr<()>>>,
        /// The link in `signal->thread_head`. Linux commit 0c740d0afc3b ("introduce
        /// `for_each_thread()` to replace the buggy `while_each_thread()`"), v3.14.
        thread_node: Option<Field<Embed<()>>>,
        /// The ring of threads, before v6.7.
        thread_group: Option<Field<Embed<()>>>,
    }
}

/// Longest `comm`, with its NUL: `TASK_COMM_LEN`.
pub(crate) const COMM_BYTES: usize = 16;

/// Checks that the profile's `init_task` is the swapper, and that the task list starts there.
///
/// A page that the snapshot does not hold is no contradiction: the rows and endings say so later.
pub(crate) fn confirm(linux: &Linux) -> Result<(), AttachError> {
    let init = init_task(linux).ok_or(AttachError::NoSymbol("init_task"))?;
    let space = &linux.guest.space;
    let wrong = |fault: &Fault| {
        matches!(
            fault.cause,
            Cause::NotPresent { .. } | Cause::NonCanonical | Cause::NoRam
        )
    };
    let at = linux.tasks.comm.place(init);
    match space.read_cstr(at, COMM_BYTES) {
        Ok(name) if !name.starts_with(b"swapper") => {
            let name = name.escape_ascii();
            return Err(AttachError::WrongProfile(format!(
                "init_task should lie at {init}, but the name there is \"{name}\", not \"swapper\""
            )));
        }
        Err(fault) if wrong(&fault) => {
            return Err(AttachError::WrongProfile(format!(
                "init_task should lie at {init}, but nothing is mapped there: {fault}"
            )));
        }
        _ => {}
    }
    let head = linux.tasks.tasks.place(init);
    match space.read_pointer(head) {
        Ok(next) if list::plausible(&linux.guest, next).is_err() => Err(AttachError::WrongProfile(
            format!("init_task.tasks at {head} leads to {next}, where no task can lie"),
        )),
        Err(fault) if wrong(&fault) => Err(AttachError::WrongProfile(format!(
            "init_task.tasks at {head} cannot be read: {fault}"
        ))),
        _ => Ok(()),
    }
}

/// The swapper: pid 0.
pub(crate) fn init_task(linux: &Linux) -> Option<VirtAddr> {
    linux.guest.symbol("init_task")
}

/// Every thread-group leader, with the source that named it.
pub(crate) fn leaders(linux: &Linux) -> (Vec<(VirtAddr, FoundBy)>, WalkEnds) {
    let Some(init) = init_task(linux) else {
        let missing = "init_task".to_owned();
        let end = WalkEnd::NoStart {
            missing,
            fault: None,
        };
        return (Vec::new(), WalkEnds::one(WALK, end));
    };
    let layout = &linux.tasks;
    let Walked { nodes, end } = list::ring(&linux.guest, layout.tasks.place(init));
    let listed: Vec<VirtAddr> = nodes
        .iter()
        .map(|node| layout.tasks.container(*node))
        .collect();
    let mut ends = WalkEnds::one(WALK, end);

    let Some(table) = &linux.pids else {
        let rows = std::iter::once(init).chain(listed);
        return (
            rows.map(|task| (task, FoundBy::ListUnchecked)).collect(),
            ends,
        );
    };
    let (numbered, table_ends) = table.leaders(&linux.guest, layout);
    let table_whole = table_ends.is_complete();
    ends.join(table_ends);

    let in_table: HashSet<VirtAddr> = numbered.iter().copied().collect();
    let mut in_list: HashSet<VirtAddr> = HashSet::with_capacity(in_table.len());
    in_list.insert(init);
    let mut rows = vec![(init, FoundBy::Both)];
    let mut only_list = 0_usize;
    for task in listed {
        in_list.insert(task);
        let found_by = if in_table.contains(&task) {
            FoundBy::Both
        } else if table_whole {
            only_list = only_list.saturating_add(1);
            FoundBy::List
        } else {
            FoundBy::ListUnchecked
        };
        rows.push((task, found_by));
    }
    let listed_rows = rows.len();
    let only_table = numbered.into_iter().filter(|task| in_list.insert(*task));
    rows.extend(only_table.map(|task| (task, FoundBy::PidTable)));
    let only_table = rows.len().saturating_sub(listed_rows);
    if only_list > 0 || only_table > 0 {
        ends.add(
            "task list and pid table",
            WalkEnd::Disagreement {
                between: "task list and pid table",
                only_first: only_list,
                only_second: only_table,
            },
        );
    }
    (rows, ends)
}

pub(crate) fn processes(
    linux: &Linux,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let (tasks, ends) = leaders(linux);
    for (task, found_by) in tasks {
        if row(process::row(linux, task, found_by)).is_break() {
            return stopped(&ends);
        }
    }
    ends
}

pub(crate) fn handles(linux: &Linux, row: &mut dyn FnMut(Handle) -> ControlFlow<()>) -> WalkEnds {
    let (tasks, ends) = leaders(linux);
    for (taskd, _) in tasks {
        let asid = memory::table(linux, &memory::mm(linux, taskd)).asid;
        if row(Handle { taskd, asid }).is_break() {
            return stopped(&ends);
        }
    }
    ends
}

/// The endings of a walk whose rows the caller did not want all of.
fn stopped(ends: &WalkEnds) -> WalkEnds {
    let mut all = WalkEnds::one(WALK, WalkEnd::Stopped);
    all.join(WalkEnds(
        ends.bad().map(|(walk, end)| (walk, end.clone())).collect(),
    ));
    all
}
