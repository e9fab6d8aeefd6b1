//! The task list: thread-group leaders, forwards and backwards, against the pid table, the parents'
//! lists of children, and the number of threads that the kernel counts.
//!
//! A leader that not all of them name is shown and marked, and the answer says that they disagree.
//! `init_task` (pid 0) heads the list, has no number in the table and is nobody's child.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, PhysAddr, VirtAddr};
use osier_osi::{
    FoundBy, Handle, Process, ProcessExtra, Seen, SeenExt as _, WalkEnd, WalkEnds, Walked, Why,
};
use osier_profile::{Embed, Field, Ptr, SInt, UInt, layout};

use crate::list;
use crate::{AttachError, Linux, family, memory, process};

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
        /// The same, or the tracer.
        parent: Option<Field<Ptr<()>>>,
        /// Whether it is traced.
        ptrace: Option<Field<UInt>>,
        /// The list of the processes that it is the real parent of.
        children: Option<Field<Embed<()>>>,
        /// The link in the real parent's list.
        sibling: Option<Field<Embed<()>>>,
        /// `PF_` marks.
        flags: Option<Field<UInt>>,
        /// Linux commit 2f064a59a11f ("sched: Change `task_struct::state`"), v5.14.
        state: Option<Field<UInt>> = ["__state", "state"],
        /// Zombie or dead.
        exit_state: Option<Field<UInt>>,
        /// Whether it is on a run queue. Linux commit fd2f4419b4cb ("sched: Provide `p->on_rq`"), v3.0.
        on_rq: Option<Field<UInt>>,
        /// How often it gave the processor away by itself.
        nvcsw: Option<Field<UInt>>,
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
    let next = space.read_pointer(head);
    // One task whose numbers differ is damaged; two in a row are read at the wrong place.
    let first = next.ok().map(|next| linux.tasks.tasks.container(next));
    if let (Some(zero), Some((tgid, pid))) =
        (ids(linux, init), first.and_then(|task| ids(linux, task)))
        && zero != (0, 0)
        && tgid != pid
    {
        return Err(AttachError::WrongProfile(format!(
            "init_task at {init} should have pid 0 and tgid 0, not {} and {}, and the task after \
             it one number, not {pid} and {tgid}",
            zero.1, zero.0
        )));
    }
    match next {
        Ok(next) if list::plausible(&linux.guest, next).is_err() => Err(AttachError::WrongProfile(
            format!("init_task.tasks at {head} leads to {next}, where no task can lie"),
        )),
        Err(fault) if wrong(&fault) => Err(AttachError::WrongProfile(format!(
            "init_task.tasks at {head} cannot be read: {fault}"
        ))),
        _ => Ok(()),
    }
}

/// `tgid` and `pid` of a task that may lie at `task`.
fn ids(linux: &Linux, task: VirtAddr) -> Option<(i64, i64)> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    Some((
        layout.tgid.read(space, task).ok()?,
        layout.pid.read(space, task).ok()?,
    ))
}

/// The swapper: pid 0.
pub(crate) fn init_task(linux: &Linux) -> Option<VirtAddr> {
    linux.init_task
}

/// The thread-group leaders.
pub(crate) struct Leaders {
    /// Each with the source that named it.
    pub(crate) rows: Vec<(VirtAddr, FoundBy)>,
    /// How many threads have a number; `None` when the whole table is not known.
    threads: Option<usize>,
    /// How the walks ended.
    pub(crate) ends: WalkEnds,
}

/// Every thread-group leader.
pub(crate) fn leaders(linux: &Linux) -> Leaders {
    let mut leaders = named(linux);
    relatives(linux, &mut leaders);
    if let Some((at, threads)) = linux.guest.symbol("nr_threads").zip(leaders.threads) {
        let counted = linux.guest.space.read_uint(at, 4);
        let counted = counted.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        // A kernel that runs counts itself. None at all are a page that some writer filled with zeros
        // because it did not have it: no witness, and not a contradiction.
        if let Ok(counted @ 1..) = counted {
            differ(
                &mut leaders.ends,
                "nr_threads and pid table",
                counted,
                threads,
            );
        }
    }
    leaders
}

/// The leaders that the task list and the pid table name.
fn named(linux: &Linux) -> Leaders {
    let Some(init) = init_task(linux) else {
        let missing = "init_task".to_owned();
        let fault = None;
        return Leaders {
            rows: Vec::new(),
            threads: None,
            ends: WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault }),
        };
    };
    let layout = &linux.tasks;
    let Walked { nodes, end } = list::ring(&linux.guest, layout.tasks.place(init));
    let listed = nodes.iter().map(|node| layout.tasks.container(*node));
    let mut ends = WalkEnds::one(WALK, end);

    let Some(table) = &linux.pids else {
        let rows = std::iter::once(init).chain(listed);
        return Leaders {
            rows: rows.map(|task| (task, FoundBy::ListUnchecked)).collect(),
            threads: None,
            ends,
        };
    };
    let numbered = table.tasks(&linux.guest, layout);
    let whole = numbered.ends.is_complete();
    ends.join(numbered.ends);

    let in_table: HashSet<VirtAddr> = numbered.leaders.iter().copied().collect();
    let mut in_list: HashSet<VirtAddr> = HashSet::with_capacity(in_table.len());
    in_list.insert(init);
    let mut rows = vec![(init, FoundBy::Both)];
    let mut only_list = 0_usize;
    for task in listed {
        in_list.insert(task);
        let found_by = if in_table.contains(&task) {
            FoundBy::Both
        } else if whole {
            only_list = only_list.saturating_add(1);
            FoundBy::List
        } else {
            FoundBy::ListUnchecked
        };
        rows.push((task, found_by));
    }
    let listed_rows = rows.len();
    let only_table = numbered.leaders.into_iter();
    let only_table = only_table.filter(|task| in_list.insert(*task));
    rows.extend(only_table.map(|task| (task, FoundBy::PidTable)));
    let only_table = rows.len().saturating_sub(listed_rows);
    disagree(&mut ends, "task list and pid table", only_list, only_table);
    disagree(&mut ends, STRAYS, numbered.strays, 0);
    Leaders {
        rows,
        threads: whole.then_some(numbered.threads.len()),
        ends,
    }
}

/// Adds the leaders that only their parent names, and says when a parent does not name one.
fn relatives(linux: &Linux, leaders: &mut Leaders) {
    let known: Vec<VirtAddr> = leaders.rows.iter().map(|(task, _)| *task).collect();
    if family::is_closed(linux, &known) == Some(true) {
        return;
    }
    let Some(family) = family::family(linux, &known) else {
        return;
    };
    let mut nameless: HashSet<VirtAddr> = known.iter().copied().collect();
    if let Some(init) = init_task(linux) {
        nameless.remove(&init);
    }
    let known: HashSet<VirtAddr> = known.into_iter().collect();
    let mut only_children = 0_usize;
    for child in family.children {
        nameless.remove(&child);
        if !known.contains(&child) {
            only_children = only_children.saturating_add(1);
            leaders.rows.push((child, FoundBy::Children));
        }
    }
    let only_known = if family.whole { nameless.len() } else { 0 };
    leaders.ends.join(family.ends);
    let between = "processes and parents' children";
    disagree(&mut leaders.ends, between, only_known, only_children);
}

/// What is compared when a number of the pid table has no task.
pub(crate) const STRAYS: &str = "numbers and tasks";

/// Says that two sources name different sets, when they do.
pub(crate) fn disagree(
    ends: &mut WalkEnds,
    between: &'static str,
    only_first: usize,
    only_second: usize,
) {
    if only_first > 0 || only_second > 0 {
        let end = WalkEnd::Disagreement {
            between,
            only_first,
            only_second,
        };
        ends.add(between, end);
    }
}

/// Says that two sources count differently, when they do.
pub(crate) fn differ(ends: &mut WalkEnds, between: &'static str, first: usize, second: usize) {
    let more = first.saturating_sub(second);
    disagree(ends, between, more, second.saturating_sub(first));
}

pub(crate) fn processes(
    linux: &Linux,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let leaders = leaders(linux);
    let mut ends = leaders.ends;
    // What each process says of its threads, together; the idle task's own has no number.
    let mut threads = Some(0_usize);
    let mut spaces = Spaces::default();
    for (task, found_by) in leaders.rows {
        let process = process::row(linux, task, found_by);
        spaces.note(linux, task, &process.asid);
        if init_task(linux) != Some(task) {
            let own = match &process.extra {
                ProcessExtra::Linux(extra) => extra.threads.value(),
                ProcessExtra::Windows(_) => None,
            };
            threads = threads
                .zip(own)
                .and_then(|(sum, own)| sum.checked_add(usize::try_from(own).ok()?));
        }
        if row(process).is_break() {
            return stopped(&ends);
        }
    }
    if let Some((said, numbered)) = threads.zip(leaders.threads) {
        differ(&mut ends, "threads and pid table", said, numbered);
    }
    spaces.compare(&mut ends);
    ends
}

pub(crate) fn handles(linux: &Linux, row: &mut dyn FnMut(Handle) -> ControlFlow<()>) -> WalkEnds {
    let Leaders { rows, mut ends, .. } = leaders(linux);
    let mut spaces = Spaces::default();
    let mut nameless = 0_usize;
    for (taskd, _) in rows {
        let pid = process::leader_id(linux, taskd);
        let implausible = pid
            .absence()
            .is_some_and(|absent| matches!(absent.why, Why::Implausible { .. }));
        nameless = nameless.saturating_add(implausible.into());
        let asid = memory::table(linux, &memory::mm(linux, taskd)).asid;
        spaces.note(linux, taskd, &asid);
        if row(Handle { taskd, asid }).is_break() {
            return stopped(&ends);
        }
    }
    spaces.compare(&mut ends);
    disagree(&mut ends, "processes and their ids", nameless, 0);
    ends
}

/// The page tables met, to tell one that two memories claim. Processes may share a memory (`vfork`).
#[derive(Default)]
struct Spaces {
    /// The first process that has each table.
    owners: HashMap<PhysAddr, VirtAddr>,
    /// Processes whose table is another memory's.
    doubles: usize,
}

impl Spaces {
    fn note(&mut self, linux: &Linux, task: VirtAddr, asid: &Seen<PhysAddr>) {
        let Some(asid) = asid.value() else { return };
        let first = *self.owners.entry(asid).or_insert(task);
        let mm = |task| linux.tasks.mm.read(&linux.guest.space, task);
        if first != task && mm(first) != mm(task) {
            self.doubles = self.doubles.saturating_add(1);
        }
    }

    fn compare(&self, ends: &mut WalkEnds) {
        disagree(ends, "memories and page tables", self.doubles, 0);
    }
}

/// The endings of a walk whose rows the caller did not want all of.
fn stopped(ends: &WalkEnds) -> WalkEnds {
    let mut all = WalkEnds::one(WALK, WalkEnd::Stopped);
    all.join(WalkEnds(
        ends.bad().map(|(walk, end)| (walk, end.clone())).collect(),
    ));
    all
}
