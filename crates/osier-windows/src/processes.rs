//! The process list: `PsActiveProcessHead`, forwards and backwards, against the table of ids.
//!
//! The System process comes first; the head is no row, and the idle process is not on the list.
//! A process that exited stays on it while somebody holds a handle to it, and is marked by its
//! `exit_time`. One that is in the table of ids alone comes last.

use std::collections::HashSet;

use osier_memory::{Each, VirtAddr};
use osier_osi::{Choice, FoundBy, Process, ProcessName, WalkEnds, Walked, merge};

use crate::windows::Windows;
use crate::{cid, image_name, process};

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

/// The rows of the processes that are wanted, of every one where nobody chooses.
pub(crate) fn processes(
    windows: &Windows,
    mut wanted: Option<Choice<'_>>,
    row: Each<'_, Process>,
) -> WalkEnds {
    let (all, ends) = all(windows);
    for (at, found_by) in all {
        let is_wanted = wanted.as_mut().is_none_or(|wanted| {
            wanted(&ProcessName {
                taskd: at,
                pid: process::pid(windows, at),
                name: image_name::name(windows, at),
            })
        });
        if is_wanted && row(process::row(windows, at, found_by)).is_break() {
            return ends.stopped(WALK);
        }
    }
    ends
}
