//! Kernel modules.

use std::ops::ControlFlow;

use osier_osi::{Module, WalkEnds};
use osier_profile::{Embed, Field, Resolver, layout};

use crate::Linux;

layout! {
    /// Fields read from `struct module`.
    pub(crate) struct Modules: "module" {
        /// The ring of modules.
        list: Field<Embed<()>>,
        /// The name.
        name: Field<Embed<()>>,
    }
}

pub(crate) fn modules(_linux: &Linux, _row: &mut dyn FnMut(Module) -> ControlFlow<()>) -> WalkEnds {
    WalkEnds::default()
}
