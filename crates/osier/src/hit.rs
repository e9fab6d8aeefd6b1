//! The row of a place where something was found.

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::Seen;

/// Bytes of a match that are shown.
pub const MOST_SHOWN: usize = 256;
/// A place where a pattern was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The process: whose memory was searched, or the first that has the page in its table. Not applicable to the
    /// kernel's memory, and to a page that no process has.
    pub pid: Seen<u32>,
    /// The virtual address, in that process or in the kernel.
    pub address: Seen<VirtAddr>,
    /// The physical address; not applicable to zeros that were never touched.
    pub phys: Seen<PhysAddr>,
    /// The mapping around it: the file's path, a name in brackets, a kernel module. Bytes.
    pub mapping: Seen<Vec<u8>>,
    /// What was looked for, as it was given; of YARA the rule's name.
    pub rule: String,
    /// What was found there, at most [`MOST_SHOWN`] bytes of it.
    pub matched: Vec<u8>,
}
