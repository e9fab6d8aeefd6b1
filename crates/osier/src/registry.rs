//! The systems that Osier reads besides Linux and Windows. A provider is a crate or a folder that
//! implements [`System`], and a line here.

use osier_osi::System;

/// Each is looked for after those two, in this order.
pub(crate) const SYSTEMS: &[&dyn System] = &[];
