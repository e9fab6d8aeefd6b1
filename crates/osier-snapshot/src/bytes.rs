//! The bytes of a snapshot by offset: mapped, or decoded block by block out of a compressed file.

use osier_memory::{Cause, Chunk};

use crate::map::Map;
use crate::wrapped::Packed;

/// A snapshot's bytes. An offset counts in what is unpacked.
pub(crate) enum Bytes {
    /// The file itself.
    Mapped(Map),
    /// What a compressed file holds.
    Packed(Box<Packed>),
}

impl Bytes {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len(),
            Self::Packed(packed) => packed.len(),
        }
    }

    /// The longest cheap stretch from `offset` on, at most `max` bytes; never empty.
    ///
    /// # Errors
    ///
    /// The bytes end before `offset`, or cannot be decoded.
    pub(crate) fn chunk(&self, offset: u64, max: u64) -> Result<Chunk<'_>, Cause> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let chunk = match self {
            Self::Packed(packed) => packed.chunk(offset)?.truncated(max),
            Self::Mapped(map) => {
                let rest = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| map.bytes().get(offset..))
                    .unwrap_or_default();
                Chunk::borrowed(rest).truncated(max)
            }
        };
        if chunk.is_empty() {
            return Err(Cause::FileShort { offset });
        }
        Ok(chunk)
    }

    /// Copies bytes from `offset` on into `buf`, past the map; returns how many could be had.
    pub(crate) fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        match self {
            Self::Mapped(map) => match map.read_at(offset, buf) {
                Ok(()) => buf.len(),
                Err(_) => 0,
            },
            Self::Packed(packed) => packed.fill(offset, buf),
        }
    }
}
