//! What a kernel said when it stopped the machine by itself.

use osier_memory::VirtAddr;

use crate::Seen;

/// The end of a machine that its own kernel stopped: a panic of Linux, a bugcheck of Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// What the kernel said. Windows: the bugcheck's code and its four parameters, in hexadecimal. Bytes.
    pub message: Seen<Vec<u8>>,
    /// The processor that stopped the machine.
    pub cpu: Seen<u32>,
    /// Its instruction pointer: as the kernel saved it (Windows), or as the snapshot has it (Linux).
    pub ip: Seen<VirtAddr>,
    /// Its stack pointer, likewise.
    pub sp: Seen<VirtAddr>,
}
