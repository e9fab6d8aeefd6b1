//! The mappings of a process.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Mapping, Seen, WalkEnds};
use osier_profile::{Field, Ptr, Resolver, UInt, layout};

use crate::Linux;

layout! {
    /// Fields read from `mm_struct`.
    pub(crate) struct Mm: "mm_struct" {
        /// The page-table root, virtual.
        pgd: Field<Ptr<()>>,
        /// First address of the heap.
        start_brk: Field<UInt>,
    }
}

pub(crate) fn mappings(
    _linux: &Linux,
    _taskd: VirtAddr,
    _row: &mut dyn FnMut(Mapping) -> ControlFlow<()>,
) -> WalkEnds {
    WalkEnds::default()
}

/// `start_brk` and `brk`.
pub(crate) fn heap_bounds(_linux: &Linux, _taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
    Seen::not_in_this_kernel()
}
