//! The process list: `PsActiveProcessHead`, forwards and backwards, against the table of ids.
//!
//! The System process comes first; the head is no row, and the idle process is not on the list.
//! A process that exited stays on it while somebody holds a handle to it, and is marked by its
//! `exit_time`. One that is in the table of ids alone comes last.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{FoundBy, Handle, Process, WalkEnds, Walked, merge};

use crate::windows::Windows;
use crate::{cid, process, root};

/// The walk's name in endings.
const WALK: &str = "processes";

/// Every `_EPROCESS`, with the source that named it.
pub(crate) fn all(windows: &Windows) -> (Vec<(VirtAddr, FoundBy)>, WalkEnds) {
    const BETWEEN: &str = "process list and pid table";
    let Walked { nodes, end } = windows
        .guest
        .started_ring(windows.processes_at, "processes");
    let links = windows.process.fields.active_process_links;
    let listed: Vec<VirtAddr> = nodes.iter().map(|node| links.container(*node)).collect();
    let mut ends = WalkEnds::one(WALK, end);
    let in_list: HashSet<VirtAddr> = listed.iter().copied().collect();
    let table = cid::processes(windows, &in_list).map(|(in_table, table_ends)| {
        let whole = table_ends.is_complete();
        ends.join(table_ends);
        (in_table, whole)
    });
    let table = table.as_ref().map(|(all, whole)| (all.as_slice(), *whole));
    (merge(None, listed, table, BETWEEN, &mut ends), ends)
}

pub(crate) fn processes(
    windows: &Windows,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let (all, ends) = all(windows);
    for (at, found_by) in all {
        if row(process::row(windows, at, found_by)).is_break() {
            return ends.stopped(WALK);
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
            return ends.stopped(WALK);
        }
    }
    ends
}
