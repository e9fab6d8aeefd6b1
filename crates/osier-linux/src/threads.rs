//! The threads of a process.
//!
//! A process's threads are on `signal->thread_head` (Linux commit 0c740d0afc3b ("introduce
//! `for_each_thread()` to replace the buggy `while_each_thread()`"), v3.14), before that on the ring
//! `thread_group` through the leader. The idle tasks of processors other than the first are on no
//! list at all: they have no number, and only their processor's run queue names them. They share
//! pid 0 with `init_task`, so they are its threads here.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Thread, WalkEnd, WalkEnds, Walked};
use osier_profile::{Field, Ptr, layout};

use crate::list;
use crate::{Linux, current, process, tasks};

/// The walk's name in endings.
const WALK: &str = "threads";
/// The name in endings of the way to the idle tasks.
const IDLE: &str = "idle tasks";

layout! {
    /// Fields read from `struct rq`.
    pub(crate) struct RunQueue: "rq" {
        /// The processor's idle task.
        idle: Option<Field<Ptr<()>>>,
    }
}

/// The row of the thread at `task`.
pub(crate) fn row(linux: &Linux, task: VirtAddr) -> Thread {
    Thread {
        pid: process::pid(linux, task),
        tid: process::id(linux, linux.tasks.pid, task),
        name: process::name(linux, task),
        task,
        state: process::state(linux, task),
    }
}

pub(crate) fn threads(
    linux: &Linux,
    taskd: VirtAddr,
    row: &mut dyn FnMut(Thread) -> ControlFlow<()>,
) -> WalkEnds {
    let (mut members, mut ends) = group(linux, taskd);
    if tasks::init_task(linux) == Some(taskd) {
        members.extend(idle_tasks(linux, &mut ends));
    }
    // The leader is shown even when nothing leads to it.
    let leader = (!members.contains(&taskd)).then_some(taskd);
    let mut once = HashSet::new();
    for task in leader.into_iter().chain(members) {
        if once.insert(task) && show(linux, task, row) {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    ends
}

fn show(linux: &Linux, task: VirtAddr, to: &mut dyn FnMut(Thread) -> ControlFlow<()>) -> bool {
    to(row(linux, task)).is_break()
}

/// The tasks of the thread group of `leader`.
fn group(linux: &Linux, leader: VirtAddr) -> (Vec<VirtAddr>, WalkEnds) {
    let layout = &linux.tasks;
    let by_signal = layout
        .signal
        .zip(layout.thread_node)
        .zip(linux.signal.thread_head);
    if let Some(((signal, node), head)) = by_signal {
        return match signal.read(&linux.guest.space, leader) {
            Ok(signal) => {
                let Walked { nodes, end } = list::ring(&linux.guest, head.place(signal));
                let tasks = nodes.iter().map(|at| node.container(*at)).collect();
                (tasks, WalkEnds::one(WALK, end))
            }
            Err(fault) => (
                Vec::new(),
                no_start("the process's signal_struct", Some(fault)),
            ),
        };
    }
    let Some(link) = layout.thread_group else {
        let ends = no_start("thread_head and thread_group in the profile", None);
        return (Vec::new(), ends);
    };
    let Walked { nodes, end } = list::ring(&linux.guest, link.place(leader));
    let others = nodes.iter().map(|at| link.container(*at));
    let tasks = std::iter::once(leader).chain(others).collect();
    (tasks, WalkEnds::one(WALK, end))
}

/// The idle task of each processor.
fn idle_tasks(linux: &Linux, ends: &mut WalkEnds) -> Vec<VirtAddr> {
    let mut found = Vec::new();
    let Some((idle, queues)) = linux
        .run_queue
        .idle
        .zip(linux.guest.profile.symbol("runqueues"))
    else {
        return found;
    };
    for cpu in current::processors(linux, ends) {
        let task = current::per_cpu(linux, cpu, queues)
            .and_then(|queue| idle.read(&linux.guest.space, queue));
        match task {
            Ok(task) if list::plausible(&linux.guest, task).is_ok() => {
                ends.join(foreign(linux, task));
                found.push(task);
            }
            // A processor that never came up has none.
            Ok(_) if current::online(linux, cpu) == Ok(false) => {}
            task => {
                let missing = format!("the idle task of CPU {cpu}");
                let fault = task.err();
                ends.add(IDLE, WalkEnd::NoStart { missing, fault });
            }
        }
    }
    found
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

fn no_start(missing: &str, fault: Option<osier_memory::Fault>) -> WalkEnds {
    let missing = missing.to_owned();
    WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault })
}
