//! Pages of a stream, where their bytes are, and the blocks that they make.

/// Bytes of a page; x86's.
pub(crate) const PAGE: u64 = 4096;

/// Where a page's bytes are. Encoded in eight bytes: the kind in the top byte, a file offset or a
/// fill byte below it. All zero means absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The stream does not send the page.
    Absent,
    /// 4,096 bytes at this file offset.
    Raw(u64),
    /// Every byte is this one.
    Fill(u8),
    /// zlib data after a big-endian `u32` length at this file offset.
    Zlib(u64),
    /// A delta against an earlier sending: its number among the stream's deltas.
    Xbzrle(u64),
}

const KIND_SHIFT: u32 = 56;
const VALUE: u64 = (1 << KIND_SHIFT) - 1;

impl Entry {
    pub(crate) const fn encode(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Raw(offset) => 1 << KIND_SHIFT | offset & VALUE,
            Self::Fill(byte) => 2 << KIND_SHIFT | byte as u64,
            Self::Zlib(offset) => 3 << KIND_SHIFT | offset & VALUE,
            Self::Xbzrle(number) => 4 << KIND_SHIFT | number & VALUE,
        }
    }

    pub(crate) const fn decode(word: u64) -> Self {
        let value = word & VALUE;
        match word >> KIND_SHIFT {
            1 => Self::Raw(value),
            2 => Self::Fill(value as u8),
            3 => Self::Zlib(value),
            4 => Self::Xbzrle(value),
            _ => Self::Absent,
        }
    }
}

/// A RAM block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its name.
    pub(crate) name: String,
    /// Its length in bytes; whole pages.
    pub(crate) bytes: u64,
    /// The number of its first page among all entries.
    pub(crate) first: u64,
    /// How many of its pages the stream does not send; known after the pass.
    pub(crate) absent: u64,
    /// Of memory that was plugged in and whose place is told: where it starts in guest-physical memory.
    /// 0 when `virtio-mem` lends it, and its place could not be read.
    pub(crate) plugged: Option<u64>,
}

/// How pages were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) raw: u64,
    pub(crate) fill: u64,
    pub(crate) compressed: u64,
    /// As a delta against an earlier sending.
    pub(crate) delta: u64,
    /// Pages that were sent whole once more; the last sending counts.
    pub(crate) repeated: u64,
}

impl Sent {
    /// Whether no page was sent.
    pub(crate) fn none(&self) -> bool {
        (self.raw, self.fill, self.compressed, self.delta) == (0, 0, 0, 0)
    }
}
