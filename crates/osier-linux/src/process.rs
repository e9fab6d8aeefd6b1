//! One process: from its `task_struct` to a row.

use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{Process, Seen};

use crate::Linux;

pub(crate) fn by_handle(_linux: &Linux, _taskd: VirtAddr) -> Seen<Process> {
    Seen::not_in_this_kernel()
}

/// The address space of the process at `taskd`: its own `mm->pgd`.
pub(crate) fn address_space(_linux: &Linux, _taskd: VirtAddr) -> Seen<AddressSpace> {
    Seen::not_in_this_kernel()
}
