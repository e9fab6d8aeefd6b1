//! The threads of a process.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Thread, WalkEnds};

use crate::Linux;

pub(crate) fn threads(
    _linux: &Linux,
    _taskd: VirtAddr,
    _row: &mut dyn FnMut(Thread) -> ControlFlow<()>,
) -> WalkEnds {
    WalkEnds::default()
}
