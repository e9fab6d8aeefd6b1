//! What the pass over a stream finds, apart from the pages.

use osier_memory::CpuState;

use super::pages::{Block, Sent};
use super::place::Clock;
use super::xbzrle::Delta;
use crate::anomaly::Anomaly;

/// A stream's contents, apart from its pages. This is what an index file keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The machine type of the configuration section.
    pub(crate) machine: Option<String>,
    /// The capabilities that the configuration section names.
    pub(crate) capabilities: Vec<String>,
    /// The RAM blocks, in the order of the list.
    pub(crate) blocks: Vec<Block>,
    /// Names of the sections, in order, without repetitions of `ram`'s parts.
    pub(crate) sections: Vec<String>,
    /// Whether sections end in footers.
    pub(crate) footers: bool,
    /// Number of `ram` parts.
    pub(crate) parts: u64,
    /// Pages sent raw, as fill, compressed, and once more than before.
    pub(crate) sent: Sent,
    /// Pages sent as deltas, which the entries name by number.
    pub(crate) deltas: Vec<Delta>,
    /// The processors.
    pub(crate) cpus: Vec<CpuState>,
    /// Where the processors' fields were known from.
    pub(crate) cpu_layout: String,
    /// The length of the stream's description in bytes; 0 when it has none.
    pub(crate) vmdesc_bytes: u64,
    /// What the clock's CMOS says of RAM.
    pub(crate) clock: Option<Clock>,
    /// Where the stream breaks off or makes no sense any more, when it does so before its end.
    pub(crate) broken: Option<Broken>,
    /// Oddities that were survived.
    pub(crate) anomalies: Vec<Anomaly>,
}

/// How far a stream could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The file offset that was not passed.
    pub(crate) at: u64,
    /// Whether the file ends there.
    pub(crate) cut: bool,
}
