//! What the streams of a minidump are made of.

use osier_memory::VirtAddr;
use osier_osi::{CarveWindows, Osi};

use crate::process_memory::ProcessMemory;

/// What the lists of a minidump are made of.
pub(super) struct Subject<'a> {
    pub(super) osi: &'a dyn Osi,
    pub(super) carve: &'a dyn CarveWindows,
    pub(super) taskd: VirtAddr,
    pub(super) memory: &'a ProcessMemory<'a>,
    /// Whether the program is of 64 bits.
    pub(super) wide: bool,
    /// Whether it is of the kernel's width.
    pub(super) native: bool,
}
