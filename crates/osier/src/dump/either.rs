//! A process in whichever form its own system's debuggers open.

use std::path::Path;

use osier_memory::VirtAddr;

use super::core_file::process_core;
use super::minidump::process_minidump;
use super::{DumpError, Dumped};
use crate::Guest;

/// Writes the process at `taskd` to `out` in the form that its own system's debuggers open: of Linux an ELF core
/// ([`process_core`]), of Windows a minidump ([`process_minidump`]).
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`].
pub fn process(guest: &Guest, taskd: VirtAddr, out: &Path) -> Result<Dumped, DumpError> {
    let osi = guest.provider();
    let windows = osi.carve().is_some_and(|carve| carve.windows().is_some());
    if windows {
        process_minidump(guest, taskd, out)
    } else {
        process_core(guest, taskd, out)
    }
}
