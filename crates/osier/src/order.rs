//! Orders of the process list.

use osier_osi::SeenExt as _;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};

use osier_memory::VirtAddr;
use osier_osi::{Process, ProcessExtra};

/// An order of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As the kernel's list has them, from `init_task` on.
    #[default]
    List,
    /// By pid; processes whose pid could not be read come last.
    Pid,
    /// As PANDA lists them. Linux: the kernel's ring, begun after the current process and ended with
    /// it. Windows: the list, its first process last. PANDA walks the list alone: what only another
    /// source names stays behind it.
    Panda,
}

/// Puts `processes` (in the list's order) into `order`. `current` is the `taskd` of the process
/// that runs on processor 0; without it PANDA's order of Linux is the list's.
pub fn arrange(processes: &mut [Process], order: Order, current: Option<VirtAddr>) {
    match order {
        Order::List => {}
        Order::Pid => {
            processes.sort_by_key(|process| {
                let pid = process.pid.value();
                (pid.is_none(), pid, process.taskd)
            });
        }
        Order::Panda => {
            let windows = |process: &Process| matches!(process.extra, ProcessExtra::Windows(_));
            let off = |process: &Process| process.found_by.is_off_the_list();
            let listed = processes.iter().position(off).unwrap_or(processes.len());
            let ring = processes.get_mut(..listed).unwrap_or_default();
            let at = if ring.first().is_some_and(windows) {
                Some(0)
            } else {
                ring.iter()
                    .position(|process| Some(process.taskd) == current)
            };
            if let Some(at) = at {
                ring.rotate_left(at.saturating_add(1));
            }
        }
    }
}

/// The place of a process in the tree of parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Index of the process in the list that was given.
    pub index: usize,
    /// What to draw before its name.
    pub branch: String,
}

/// The same, for whoever draws no lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Index of the process in the list that was given.
    pub index: usize,
    /// How many parents stand above it; 0 at the margin.
    pub depth: usize,
    /// Whether it is its parent's last child.
    pub last: bool,
}

/// The tree of `processes`, depth first, children in the list's order. Every process stands in it
/// once: one whose parent is unknown, absent or its own descendant stands at the margin.
pub fn nested<P: Borrow<Process>>(processes: &[P]) -> Vec<Nested> {
    let mut by_pid = HashMap::new();
    let all = || processes.iter().map(Borrow::borrow).enumerate();
    for (index, process) in all() {
        if let Some(pid) = process.pid.value() {
            by_pid.entry(pid).or_insert(index);
        }
    }
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, process) in all() {
        let parent = process.ppid.value().and_then(|ppid| by_pid.get(&ppid));
        match parent {
            Some(&parent) if parent != index => children.entry(parent).or_default().push(index),
            _ => roots.push(index),
        }
    }
    let mut met = HashSet::new();
    let mut placed = Vec::with_capacity(processes.len());
    // Processes on a ring of parents hang from no root; each such ring is entered where the list
    // meets it first.
    for root in roots.into_iter().chain(0..processes.len()) {
        let mut stack = vec![Nested {
            index: root,
            depth: 0,
            last: true,
        }];
        while let Some(one) = stack.pop() {
            if !met.insert(one.index) {
                continue;
            }
            placed.push(one);
            let own = children.get(&one.index).map_or(&[][..], Vec::as_slice);
            for (nth, &child) in own.iter().rev().enumerate() {
                stack.push(Nested {
                    index: child,
                    depth: one.depth.saturating_add(1),
                    last: nth == 0,
                });
            }
        }
    }
    placed
}

/// As [`nested`], with the lines of the tree.
pub fn tree<P: Borrow<Process>>(processes: &[P]) -> Vec<Leaf> {
    let mut rails = Vec::new();
    let leaf = |one: Nested| {
        // What stands at the margin has no line, and those below it none of it.
        rails.truncate(one.depth);
        let mut branch: String = rails.iter().skip(1).copied().collect();
        if one.depth > 0 {
            branch.push_str(if one.last { "└─ " } else { "├─ " });
        }
        rails.push(if one.last { "   " } else { "│  " });
        Leaf {
            index: one.index,
            branch,
        }
    };
    nested(processes).into_iter().map(leaf).collect()
}

#[cfg(test)]
mod tests {
    use osier_osi::{Absent, FoundBy, LinuxProcess, ProcessSource, SeenExt as _};

    use super::*;

    fn process(pid: u32, ppid: u32) -> Process {
        Process {
            taskd: VirtAddr(u64::from(pid) * 0x1000),
            pid: Ok(pid),
            ppid: Ok(ppid),
            name: Ok(b"p".to_vec()),
            asid: Err(Absent::not_in_this_kernel()),
            pgd: Err(Absent::not_in_this_kernel()),
            create_time: Ok(0),
            start: Ok(0),
            found_by: FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable),
            extra: ProcessExtra::Linux(LinuxProcess {
                uid: Ok(0),
                gid: Ok(0),
                state: Err(Absent::not_in_this_kernel()),
                threads: Ok(1),
                exe: Err(Absent::not_in_this_kernel()),
                cmdline: Err(Absent::not_in_this_kernel()),
                kernel_thread: Ok(false),
                wide: None,
            }),
        }
    }

    fn drawn(list: &[Process]) -> Vec<String> {
        let line =
            |leaf: &Leaf| format!("{}{}", leaf.branch, list[leaf.index].pid.value().unwrap());
        tree(list).iter().map(line).collect()
    }

    #[test]
    fn panda_ends_with_the_current_process() {
        let mut list = vec![process(0, 0), process(1, 0), process(2, 0), process(3, 1)];
        arrange(&mut list, Order::Panda, Some(VirtAddr(0x1000)));
        let pids: Vec<_> = list.iter().map(|p| p.pid.value().unwrap()).collect();
        assert_eq!(pids, [2, 3, 0, 1]);
        // PANDA does not show one that is on no list.
        let mut list = vec![process(0, 0), process(1, 0), process(2, 0), process(3, 1)];
        list[3].found_by = FoundBy::source(ProcessSource::PidTable).missing(ProcessSource::List);
        arrange(&mut list, Order::Panda, Some(VirtAddr(0)));
        let pids: Vec<_> = list.iter().map(|p| p.pid.value().unwrap()).collect();
        assert_eq!(pids, [1, 2, 0, 3]);
    }

    #[test]
    fn a_tree_holds_every_process_once() {
        let list = [
            process(0, 0),
            process(1, 0),
            process(2, 0),
            process(5, 1),
            process(6, 1),
            process(7, 99),
        ];
        assert_eq!(
            drawn(&list),
            ["0", "├─ 1", "│  ├─ 5", "│  └─ 6", "└─ 2", "7"]
        );
        // Two processes that call each other parent.
        assert_eq!(drawn(&[process(8, 9), process(9, 8)]), ["8", "└─ 9"]);
    }
}
