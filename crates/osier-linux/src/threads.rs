//! The threads of a process.
//!
//! A process's threads are on `signal->thread_head` (Linux commit 0c740d0afc3b ("introduce
//! `for_each_thread()` to replace the buggy `while_each_thread()`"), v3.14), before that on the ring
//! `thread_group` through the leader. The idle tasks of processors other than the first are on no
//! list at all: they have no number, and only their processor's run queue names them. They share
//! pid 0 with `init_task`, so they are its threads here.
//!
//! The list is held against the process's `nr_threads` and against the pid table, which names every
//! thread but the idle tasks; a thread that only the table names is shown too.

use std::collections::BTreeSet;

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{Each, VirtAddr};
use osier_osi::{Thread, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use crate::group::{self, WALK};
use crate::symbols;
use crate::{Linux, cpus, list, memory, pid, process};

/// The name in endings of the way to the idle tasks.
const IDLE: &str = "idle tasks";

/// The row of the thread at `task`.
pub(crate) fn row(linux: &Linux, task: VirtAddr) -> Thread {
    Thread {
        pid: process::pid(linux, task),
        tid: process::tid(linux, task),
        name: process::name(linux, task),
        task,
        state: process::state(linux, task),
    }
}

pub(crate) fn threads(linux: &Linux, taskd: VirtAddr, row: Each<'_, Thread>) -> WalkEnds {
    let (mut members, mut ends) = group::listed(linux, taskd);
    members.retain(|task| is_member(linux, *task, taskd, &mut ends));
    // The leader is shown even when nothing leads to it.
    if !members.contains(&taskd) {
        members.insert(0, taskd);
    }
    if linux.init_task == Some(taskd) {
        members.extend(idle_tasks(linux, &mut ends));
    } else {
        if let Some(numbered) = group::numbered(linux) {
            ends.disagree(pid::STRAYS, numbered.strays, 0);
        }
        let unlisted = compare(linux, taskd, &members, &mut ends);
        members.extend(unlisted);
    }
    let mut once = HashSet::new();
    for task in members {
        if once.insert(task) && show(linux, task, row) {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    ends
}

/// Whether the task on the list of `leader` says that it is a thread of it, or cannot be asked.
pub(crate) fn is_member(
    linux: &Linux,
    task: VirtAddr,
    leader: VirtAddr,
    ends: &mut WalkEnds,
) -> bool {
    match linux.tasks.group_leader.read(&linux.guest.space, task) {
        Ok(other) if other != leader => {
            let end = WalkEnd::Inconsistent {
                at: task,
                back_link: other,
                expected: leader,
            };
            ends.add(WALK, end);
            task == leader
        }
        _ => true,
    }
}

/// Holds the threads on the list of `leader` against its `nr_threads` and the pid table, and gives
/// those that the table names alone.
pub(crate) fn compare(
    linux: &Linux,
    leader: VirtAddr,
    members: &[VirtAddr],
    ends: &mut WalkEnds,
) -> Vec<VirtAddr> {
    let signal = linux.tasks.signal.zip(linux.signal.nr_threads);
    let counted = signal.and_then(|(signal, count)| {
        let signal = signal.read(&linux.guest.space, leader).ok()?;
        count.read(&linux.guest.space, signal).ok()
    });
    if let Some(counted) = counted {
        let counted = usize::try_from(counted).unwrap_or(usize::MAX);
        ends.differ("thread list and nr_threads", members.len(), counted);
    }
    let Some(numbered) = group::numbered(linux) else {
        return Vec::new();
    };
    let numbered = numbered.by_leader.get(&leader).into_iter().flatten();
    let listed: HashSet<_> = members.iter().copied().collect();
    let mut only_list = listed.len();
    let mut unlisted = Vec::new();
    for task in numbered {
        if listed.contains(task) {
            only_list = only_list.saturating_sub(1);
        } else {
            unlisted.push(*task);
        }
    }
    ends.disagree("thread list and pid table", only_list, unlisted.len());
    unlisted
}

fn show(linux: &Linux, task: VirtAddr, to: Each<'_, Thread>) -> bool {
    to(row(linux, task)).is_break()
}

/// Whether more tasks name the shared object at `object` by `field` than it counts (`counted`). `leaders` are the
/// group leaders that name it; threads are looked at only where it is of several processes. A thread of the kernel
/// is alone in its group; a leader that its own list has lost counts.
pub(crate) fn name_more_than(
    linux: &Linux,
    counted: Option<u64>,
    leaders: &[VirtAddr],
    field: Option<Field<Ptr<()>>>,
    object: VirtAddr,
) -> bool {
    let (Some(field), true) = (field, leaders.len() > 1) else {
        return counted == Some(0);
    };
    let space = &linux.guest.space;
    let names = |task: &&VirtAddr| matches!(field.read(space, **task), Ok(own) if own == object);
    let threads = |leader: &VirtAddr| {
        if memory::kernel_thread(linux, *leader) != Ok(false) {
            return 1;
        }
        let threads = group::listed(linux, *leader).0;
        threads.iter().filter(names).count().max(1) as u64
    };
    counted.is_some_and(|counted| counted < leaders.iter().map(threads).sum())
}

/// The idle task of each processor, and of those that were taken offline or never started: the kernel has
/// made one for each that it may start (Linux commit 3bb5d2ee396a, "smp, idle: Allocate idle
/// thread for each possible cpu during boot", v3.5), and no register need tell that there is such a processor.
pub(crate) fn idle_tasks(linux: &Linux, ends: &mut WalkEnds) -> Vec<VirtAddr> {
    let mut found = Vec::new();
    let queues = linux.guest.profile.symbol(symbols::runqueues);
    let Some((idle, queues)) = linux.run_queue.idle.zip(queues) else {
        if queues.is_some() || linux.guest.profile.inferred() {
            ends.add(
                IDLE,
                WalkEnd::no_start("where run queues keep them, which nothing tells", None),
            );
        }
        return found;
    };
    let running: BTreeSet<u32> = cpus::processors(linux, ends).into_iter().collect();
    let may_start = cpus::ids(linux).ok().flatten().unwrap_or_default();
    let all: BTreeSet<u32> = running.iter().copied().chain(0..may_start).collect();
    for cpu in all {
        let task = cpus::per_cpu(linux, cpu, queues)
            .and_then(|queue| idle.read(&linux.guest.space, queue));
        let runs = running.contains(&cpu);
        match task {
            // There may be no such processor, and then what is read is not its own.
            Ok(task) if !runs && !idles_on(linux, task, cpu) => {}
            // Each processor has one of its own.
            Ok(task) if may_idle(linux, task) && !found.contains(&task) => {
                ends.join(foreign(linux, task));
                found.push(task);
            }
            // A processor that never came up has none.
            Ok(_) if cpus::online(linux, cpu) == Ok(false) => {}
            task => {
                ends.add(
                    IDLE,
                    WalkEnd::no_start(format!("the idle task of CPU {cpu}"), task.err()),
                );
            }
        }
    }
    found
}

/// Whether an idle task can lie at `task`: none says that it has a number.
fn may_idle(linux: &Linux, task: VirtAddr) -> bool {
    let pid = linux.tasks.pid.read(&linux.guest.space, task);
    list::plausible(&linux.guest, task).is_ok() && pid.map_or(true, |pid| pid == 0)
}

/// Whether the task says that it is on this processor.
fn idles_on(linux: &Linux, task: VirtAddr, cpu: u32) -> bool {
    let on = linux.tasks.cpu;
    let on = on.and_then(|field| field.read(&linux.guest.space, task).ok());
    list::plausible(&linux.guest, task).is_ok() && on == Some(cpu.into())
}

/// The ending of an idle task that does not lead a group of its own, as each does.
fn foreign(linux: &Linux, task: VirtAddr) -> WalkEnds {
    match linux.tasks.group_leader.read(&linux.guest.space, task) {
        Ok(leader) if leader != task => WalkEnds::one(
            IDLE,
            WalkEnd::Inconsistent {
                at: task,
                back_link: leader,
                expected: task,
            },
        ),
        _ => WalkEnds::default(),
    }
}
