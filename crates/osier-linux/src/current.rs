//! What runs on each processor.

use std::ops::ControlFlow;

use osier_osi::{Current, WalkEnds};

use crate::Linux;

pub(crate) fn current(
    _linux: &Linux,
    _row: &mut dyn FnMut(Current) -> ControlFlow<()>,
) -> WalkEnds {
    WalkEnds::default()
}
