//! The process list: `PsActiveProcessHead`, forwards and backwards.
//!
//! The System process comes first; the head is no row, and the idle process is not on the list.
//! A process that exited stays on it while somebody holds a handle to it, and is marked by its
//! `exit_time`.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{FoundBy, Handle, Process, WalkEnd, WalkEnds, Walked};

use crate::{Windows, process};

/// The walk's name in endings.
pub(crate) const WALK: &str = "processes";

/// Every `_EPROCESS` on the list.
pub(crate) fn listed(windows: &Windows) -> (Vec<VirtAddr>, WalkEnds) {
    let Walked { nodes, end } = windows.guest.ring(windows.processes_at);
    let links = windows.process.fields.active_process_links;
    let all = nodes.iter().map(|node| links.container(*node)).collect();
    (all, WalkEnds::one(WALK, end))
}

pub(crate) fn processes(
    windows: &Windows,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let (all, ends) = listed(windows);
    for at in all {
        if row(process::row(windows, at, FoundBy::ListUnchecked)).is_break() {
            return stopped(&ends);
        }
    }
    ends
}

pub(crate) fn handles(
    windows: &Windows,
    row: &mut dyn FnMut(Handle) -> ControlFlow<()>,
) -> WalkEnds {
    let (all, ends) = listed(windows);
    for taskd in all {
        let asid = process::table_root(windows, taskd);
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
