//! A kernel's list of processes and its table of ids, merged into one.

use foldhash::HashSet;
use osier_memory::VirtAddr;

use crate::found_by::{FoundBy, ProcessSource};
use crate::walk::WalkEnds;

/// What a kernel's list and its table name together: the list's in its order, then what is in the table
/// alone, each with the sources that name it. `head` is what the list hangs on, where that is a process
/// that no table has; it comes first. What is on the list and not in the table is known to be missing
/// there only where the table is `whole`; then the endings say so as `between`, as of what the table has alone.
///
/// `table` is `None` where there is none to ask.
pub fn merge(
    head: Option<VirtAddr>,
    listed: impl IntoIterator<Item = VirtAddr>,
    table: Option<(&[VirtAddr], bool)>,
    between: &'static str,
    ends: &mut WalkEnds,
) -> Vec<(VirtAddr, FoundBy)> {
    let on_list = FoundBy::source(ProcessSource::List);
    let Some((table, whole)) = table else {
        let all = head.into_iter().chain(listed);
        return all.map(|at| (at, on_list)).collect();
    };
    let in_table: HashSet<VirtAddr> = table.iter().copied().collect();
    let mut met: HashSet<VirtAddr> = head.into_iter().collect();
    let mut rows: Vec<_> = head
        .map(|at| (at, on_list.and(ProcessSource::PidTable)))
        .into_iter()
        .collect();
    let mut only_list = 0_usize;
    for at in listed {
        met.insert(at);
        let found_by = match (in_table.contains(&at), whole) {
            (true, _) => on_list.and(ProcessSource::PidTable),
            (false, true) => on_list.missing(ProcessSource::PidTable),
            (false, false) => on_list,
        };
        only_list = only_list.saturating_add(found_by.lacks(ProcessSource::PidTable).into());
        rows.push((at, found_by));
    }
    let of_list = rows.len();
    let only_table = table.iter().copied().filter(|at| met.insert(*at));
    let off_list = FoundBy::source(ProcessSource::PidTable).missing(ProcessSource::List);
    rows.extend(only_table.map(|at| (at, off_list)));
    ends.disagree(between, only_list, rows.len().saturating_sub(of_list));
    rows
}
