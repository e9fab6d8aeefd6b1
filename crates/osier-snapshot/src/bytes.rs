//! The bytes of a snapshot by offset: in a file, or decoded block by block out of a compressed one.

use osier_memory::{Cause, Chunk};

use crate::data::Data;
use crate::packed::Packed;

/// A snapshot's bytes. An offset counts in what is unpacked.
pub(crate) enum Bytes {
    /// The file itself.
    File(Data),
    /// What a compressed file holds.
    Packed(Box<Packed>),
}

impl Bytes {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(data) => data.len(),
            Self::Packed(packed) => packed.len(),
        }
    }

    /// The longest stretch from `offset` on that costs no copy, at most `max` bytes; never empty.
    /// `None` where bytes are copied out of the file.
    ///
    /// # Errors
    ///
    /// The bytes end before `offset`, or cannot be decoded.
    pub(crate) fn chunk(&self, offset: u64, max: u64) -> Option<Result<Chunk<'_>, Cause>> {
        let chunk = match self {
            Self::Packed(packed) => packed.chunk(offset),
            Self::File(data) => {
                let bytes = data.here()?;
                let rest = usize::try_from(offset).ok();
                let rest = rest.and_then(|offset| bytes.get(offset..));
                Ok(Chunk::borrowed(rest.unwrap_or_default()))
            }
        };
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Some(match chunk.map(|chunk| chunk.truncated(max)) {
            Ok(chunk) if chunk.is_empty() => Err(Cause::FileShort { offset }),
            chunk => chunk,
        })
    }

    /// Copies bytes from `offset` on into `buf`, past all caches; returns how many could be read.
    pub(crate) fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        match self {
            Self::File(data) => match data.read_at(offset, buf) {
                Ok(()) => buf.len(),
                Err(_) => 0,
            },
            Self::Packed(packed) => packed.fill(offset, buf),
        }
    }
}
