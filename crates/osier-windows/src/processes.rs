//! The process list: `PsActiveProcessHead`, forwards and backwards, against the table of ids.
//!
//! The System process comes first; the head is no row, and the idle process is not on the list.
//! A process that exited stays on it while somebody holds a handle to it, and is marked by its
//! `exit_time`. One that is in the table of ids alone comes last.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{FoundBy, Handle, Process, WalkEnd, WalkEnds, Walked};

use crate::windows::Windows;
use crate::{cid, process, root};

/// The walk's name in endings.
const WALK: &str = "processes";

/// Every `_EPROCESS`, with the source that named it.
fn all(windows: &Windows) -> (Vec<(VirtAddr, FoundBy)>, WalkEnds) {
    let Walked { nodes, end } = windows.guest.ring(windows.processes_at);
    let links = windows.process.fields.active_process_links;
    let listed: Vec<VirtAddr> = nodes.iter().map(|node| links.container(*node)).collect();
    let mut ends = WalkEnds::one(WALK, end);
    let in_list: HashSet<VirtAddr> = listed.iter().copied().collect();
    let Some((in_table, table_ends)) = cid::processes(windows, &in_list) else {
        let unchecked = listed.into_iter().map(|at| (at, FoundBy::ListUnchecked));
        return (unchecked.collect(), ends);
    };
    let whole = table_ends.is_complete();
    ends.join(table_ends);
    let mut only_table = in_table.clone();
    only_table.retain(|at| !in_list.contains(at));
    let in_table: HashSet<VirtAddr> = in_table.into_iter().collect();
    let source = |at: &VirtAddr| match (in_table.contains(at), whole) {
        (true, _) => FoundBy::Both,
        (false, true) => FoundBy::List,
        (false, false) => FoundBy::ListUnchecked,
    };
    let mut rows: Vec<_> = listed.into_iter().map(|at| (at, source(&at))).collect();
    let only_list = rows.iter().filter(|(_, by)| *by == FoundBy::List).count();
    if only_list > 0 || !only_table.is_empty() {
        let between = "process list and pid table";
        let end = WalkEnd::Disagreement {
            between,
            only_first: only_list,
            only_second: only_table.len(),
        };
        ends.add(between, end);
    }
    rows.extend(only_table.into_iter().map(|at| (at, FoundBy::PidTable)));
    (rows, ends)
}

pub(crate) fn processes(
    windows: &Windows,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let (all, ends) = all(windows);
    for (at, found_by) in all {
        if row(process::row(windows, at, found_by)).is_break() {
            return stopped(&ends);
        }
    }
    ends
}

pub(crate) fn handles(
    windows: &Windows,
    row: &mut dyn FnMut(Handle) -> ControlFlow<()>,
) -> WalkEnds {
    let (all, ends) = all(windows);
    for (taskd, _) in all {
        let asid = root::table_root(windows, taskd);
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
