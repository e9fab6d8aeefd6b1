//! Rows of the kernel's log.

use osier_memory::VirtAddr;

use crate::Seen;

/// A record of the kernel's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number since boot, from 0; before v3.5 the kernel keeps none.
    pub seq: Seen<u64>,
    /// Nanoseconds since boot, by the clock of the processor that wrote it.
    pub time: Seen<u64>,
    /// How grave it is: 0, an emergency, to 7, for debugging.
    pub level: Seen<u8>,
    /// Who speaks: syslog's number, 0 for the kernel.
    pub facility: Seen<u8>,
    /// Who wrote it: `T` and the thread's id, or `C` and the processor's number where no thread did.
    pub caller: Seen<Vec<u8>>,
    /// The text, which may have several lines. Bytes.
    pub text: Seen<Vec<u8>>,
    /// Its descriptor or record.
    pub address: VirtAddr,
}
