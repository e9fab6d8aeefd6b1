//! The task list: thread-group leaders, forwards and backwards, against the pid table.

use std::ops::ControlFlow;

use osier_osi::{Handle, Process, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, layout};

use crate::{AttachError, Linux};

layout! {
    /// Fields read from `task_struct`.
    pub(crate) struct Tasks: "task_struct" {
        /// The ring of thread-group leaders.
        tasks: Field<Embed<()>>,
        /// Thread id.
        pid: Field<SInt>,
        /// Process id.
        tgid: Field<SInt>,
        /// Its memory; null for a thread of the kernel.
        mm: Field<Ptr<()>>,
    }
}

pub(crate) fn confirm(_linux: &Linux) -> Result<(), AttachError> {
    Ok(())
}

pub(crate) fn processes(
    _linux: &Linux,
    _row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    WalkEnds::default()
}

pub(crate) fn handles(_linux: &Linux, _row: &mut dyn FnMut(Handle) -> ControlFlow<()>) -> WalkEnds {
    WalkEnds::default()
}
