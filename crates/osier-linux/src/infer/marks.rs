//! `task_struct.flags`: the kernel's own threads are marked (`PF_KTHREAD`), and no program is.
//!
//! The kernel's threads are `init_task`, process 2 and whoever descends from it; everybody who has memory of
//! his own and descends from process 1 is a program.

use foldhash::HashMap;
use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, all, only};
use super::tasks::Tasks;
use crate::memory::PF_KTHREAD;

/// Whose child a task is, in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The kernel's: `init_task`, process 2, or one that descends from it.
    Kernel,
    /// Process 1, or one that descends from it.
    Program,
}

/// Finds `flags`.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn find(
    ground: &Ground<'_>,
    tasks: &Tasks,
    real_parent: u64,
    mm: u64,
) -> Result<u64, Unproven> {
    let lines = lines(ground, tasks, real_parent);
    if !lines.values().any(|line| *line == Line::Program) {
        return Err(Unproven::Without("a program"));
    }
    let found = tasks.room.clone().step_by(4).filter(|offset| {
        all(&tasks.leaders, |task| {
            let at = task.plus(*offset);
            let flags = ground.int(at)?;
            // Half of an address is no set of marks.
            let half = ground.word() == 8 && ground.int(at.plus(4))? >= 0xffff_0000;
            if half || flags >= 0x8000_0000 {
                return Some(false);
            }
            let marked = flags & PF_KTHREAD != 0;
            let has_memory = !ground.pointer(task.plus(mm))?.is_null();
            match lines.get(task)? {
                Line::Kernel if !has_memory => Some(marked),
                Line::Program => Some(!marked),
                Line::Kernel => None,
            }
        })
    });
    only(found.collect())
}

/// Of which line each task is, as far as its parents tell.
fn lines(ground: &Ground<'_>, tasks: &Tasks, real_parent: u64) -> HashMap<VirtAddr, Line> {
    let mut lines = HashMap::from_iter([(tasks.init, Line::Kernel)]);
    for task in &tasks.leaders {
        match tasks.tgid(ground, *task) {
            Some(1) => lines.insert(*task, Line::Program),
            Some(2) => lines.insert(*task, Line::Kernel),
            _ => None,
        };
    }
    for task in &tasks.leaders {
        let mut way = Vec::new();
        let mut at = *task;
        while !lines.contains_key(&at) && way.len() < tasks.leaders.len() {
            way.push(at);
            let parent = ground.pointer(at.plus(real_parent));
            let Some(parent) = parent.and_then(|at| ground.pointer(at.plus(tasks.leader))) else {
                break;
            };
            at = parent;
        }
        // Who the idle task made, but for the first two, is of neither.
        if let Some(line) = lines.get(&at).copied().filter(|_| at != tasks.init) {
            lines.extend(way.into_iter().map(|task| (task, line)));
        }
    }
    lines
}
