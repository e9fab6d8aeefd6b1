//! The threads of one process, and which of them has what they share.
//!
//! A process's leader may exit while other threads of it live on. It gives up its memory, its
//! descriptors, its directories and its namespaces then (`exit_mm`, `exit_files`, `exit_fs`,
//! `exit_task_namespaces`), and stays as a zombie; the process has all of them still, by its other
//! threads. `/proc/PID` asks the leader and shows nothing; `/proc/PID/task/TID` shows them.

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen, WalkEnd, WalkEnds, Walked};
use osier_profile::{Field, Ptr, SInt};

use crate::pid::Numbered;
use crate::{Linux, list};

/// The walk's name in endings.
pub(crate) const WALK: &str = "threads";
/// `PF_EXITING`.
pub(crate) const PF_EXITING: u64 = 0x4;

/// The task of the process of `leader` that has what `field` leads to, which the threads of a process share: the leader
/// itself, or, where it has exited and has it no more, a thread that has. It is the leader, too, where nobody has it.
///
/// # Errors
/// A thread lives, and who has it cannot be told.
pub(crate) fn bearer(linux: &Linux, leader: VirtAddr, field: Field<Ptr<()>>) -> Seen<VirtAddr> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    if field.read(space, leader) != Ok(VirtAddr(0)) || !has_begun_to_exit(linux, leader) {
        return Ok(leader);
    }
    let by_number = layout.pid.read(space, leader) == layout.tgid.read(space, leader);
    match layout.group_leader.read(space, leader) {
        Ok(own) if own == leader => {}
        // A thread that exits has nothing, whatever others have.
        _ if !by_number => return Ok(leader),
        Ok(other) => {
            let rule = "the first task of a process leads itself (group_leader)";
            let at = Some(layout.group_leader.place(leader));
            return Err(Absent::implausible(other.0, rule, at));
        }
        Err(fault) => return Err(Absent::unreadable(fault)),
    }
    let (mut tasks, ends) = listed(linux, leader);
    let unlisted = numbered(linux).and_then(|numbered| numbered.by_leader.get(&leader));
    tasks.extend(unlisted.into_iter().flatten());
    let mut lost = None;
    let mut found: Option<(VirtAddr, VirtAddr)> = None;
    for task in tasks {
        if task == leader || !linux.guest.can_be_object(task) {
            continue;
        }
        match layout.group_leader.read(space, task) {
            Ok(own) if own == leader => {}
            Ok(_) => continue,
            Err(fault) => {
                lost = Some(fault);
                continue;
            }
        }
        match (field.read(space, task), found) {
            (Ok(object), _) if object.is_null() => {}
            (Ok(object), None) => found = Some((task, object)),
            (Ok(object), Some((_, first)))
                if field.offset == layout.mm.offset && object != first =>
            {
                let rule = "the threads of a process have one memory (mm)";
                return Err(Absent::implausible(object.0, rule, Some(field.place(task))));
            }
            (Ok(_), Some(_)) => {}
            (Err(fault), _) => lost = Some(fault),
        }
    }
    let counted = live(linux, leader);
    match (found, lost, counted) {
        (Some((task, _)), _, Some((0, at))) if !has_begun_to_exit(linux, task) => {
            let rule = "a process counts its threads that have not begun to exit (signal->live)";
            Err(Absent::implausible(0, rule, Some(at)))
        }
        (Some((task, _)), ..) => Ok(task),
        (None, _, Some((0, _))) => Ok(leader),
        (None, Some(fault), _) => Err(Absent::unreadable(fault)),
        (None, None, counted) => match (broken(&ends), counted) {
            (Some(fault), _) => Err(Absent::unreadable(fault)),
            (None, None) => Ok(leader),
            (None, Some((living, at))) => {
                let rule = "a task that exits is counted out of those that live (signal->live)";
                Err(Absent::implausible(living.cast_unsigned(), rule, Some(at)))
            }
        },
    }
}

/// Why a list of threads could not be read to its end.
fn broken(ends: &WalkEnds) -> Option<Fault> {
    ends.0.iter().find_map(|(_, end)| match end {
        WalkEnd::BrokenLink { fault, .. } => Some(*fault),
        WalkEnd::NoStart { fault, .. } => *fault,
        _ => None,
    })
}

/// Whether the task says that it has begun to exit.
fn has_begun_to_exit(linux: &Linux, task: VirtAddr) -> bool {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let flags = layout.flags.and_then(|field| field.read(space, task).ok());
    let state = layout
        .exit_state
        .and_then(|field| field.read(space, task).ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0) || state.is_some_and(|state| state != 0)
}

/// How many threads of the process have not begun to exit (`signal->live`), and where that stands; `None` where it
/// cannot be read.
fn live(linux: &Linux, leader: VirtAddr) -> Option<(i64, VirtAddr)> {
    let space = &linux.guest.space;
    let field: Field<SInt> = linux.signal.live?;
    let signal = linux.tasks.signal?.read(space, leader).ok()?;
    if !linux.guest.can_be_object(signal) {
        return None;
    }
    Some((field.read(space, signal).ok()?, field.place(signal)))
}

/// The threads of the pid table; `None` when it is not known whole.
pub(crate) fn numbered(linux: &Linux) -> Option<&Numbered> {
    let read = || {
        let table = linux.tabled()?;
        if !table.ends.is_complete() {
            return None;
        }
        let mut by_leader: HashMap<_, Vec<_>> = HashMap::new();
        for task in &table.threads {
            let leader = linux.tasks.group_leader.read(&linux.guest.space, *task);
            by_leader.entry(leader.ok()?).or_default().push(*task);
        }
        let strays = table.strays;
        Some(Numbered { by_leader, strays })
    };
    linux.numbered.get_or_init(read).as_ref()
}

/// The tasks of the thread group of `leader`.
pub(crate) fn listed(linux: &Linux, leader: VirtAddr) -> (Vec<VirtAddr>, WalkEnds) {
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
    let head = link.place(leader);
    // Kernels until v3.x never made a ring of the boot processor's idle task.
    if linux.init_task == Some(leader)
        && linux
            .guest
            .space
            .read_pointer(head)
            .is_ok_and(VirtAddr::is_null)
    {
        return (vec![leader], WalkEnds::one(WALK, WalkEnd::Closed));
    }
    let Walked { nodes, end } = list::ring(&linux.guest, head);
    let others = nodes.iter().map(|at| link.container(*at));
    let tasks = std::iter::once(leader).chain(others).collect();
    (tasks, WalkEnds::one(WALK, end))
}

fn no_start(missing: &str, fault: Option<osier_memory::Fault>) -> WalkEnds {
    WalkEnds::one(WALK, WalkEnd::no_start(missing, fault))
}
