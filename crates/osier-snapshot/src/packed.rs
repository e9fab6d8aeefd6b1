//! A compressed file whose parts decode by themselves: random access without unpacking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osier_memory::{Cause, Chunk, Codec, PAGE_BYTES};

use crate::cache::PageCache;
use crate::data::Data;
use crate::kept::Kept;
use crate::pages::Pages;
use crate::sweep;

/// The most bytes that one block may unpack to. A file of larger ones is unpacked to a scratch
/// file instead: every page that is read would cost a whole block.
pub(crate) const BLOCK_MAX: u64 = 8 << 20;

/// The most bytes that one block may take in the file: none that is worth reading has as many.
const PACKED_MAX: u64 = 2 * BLOCK_MAX;

/// A stretch that decodes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Offset of its first byte in what is unpacked.
    pub(crate) start: u64,
    /// Unpacked length in bytes.
    pub(crate) len: u64,
    /// File offset of its packed bytes.
    pub(crate) at: u64,
    /// Length of its packed bytes.
    pub(crate) packed: u64,
}

/// Decodes blocks.
pub(crate) trait Decoder: Send + Sync {
    /// The compression, for faults.
    fn codec(&self) -> Codec;

    /// The bytes of block `number`, exactly `block.len`; `None` when they do not decode to that.
    fn decode(&self, number: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>>;
}

/// A compressed file, its blocks, and a bounded cache of decoded ones.
pub(crate) struct Packed {
    data: Data,
    /// Sorted and adjacent by `start`; none is empty.
    blocks: Vec<Block>,
    decoder: Box<dyn Decoder>,
    cache: PageCache,
    /// For each block whether it did not decode, so that this is found out once.
    damaged: Vec<AtomicBool>,
    /// Pages that were read, now or by an earlier opening.
    pages: Option<Pages>,
}

/// What is in the cache by this and its number is a page, else a block.
const PAGE: u64 = 1 << 63;

impl Packed {
    /// `None` when the blocks do not lie one behind the other, or one of them is too large.
    pub(crate) fn new(
        data: Data,
        blocks: Vec<Block>,
        decoder: Box<dyn Decoder>,
        cache: PageCache,
        place: Option<Kept>,
    ) -> Option<Self> {
        let mut next = 0_u64;
        for block in &blocks {
            let in_file = block.at.checked_add(block.packed)? <= data.len();
            let small = block.len <= BLOCK_MAX && block.packed <= PACKED_MAX;
            if block.start != next || block.len == 0 || !small || !in_file {
                return None;
            }
            next = next.checked_add(block.len)?;
        }
        let damaged = blocks.iter().map(|_| AtomicBool::new(false)).collect();
        let kept = |place| match Pages::found(place) {
            Ok(pages) if pages.bytes() == next => Some(pages),
            Ok(_) => None, // a file of the same identity that holds something else: nothing is kept of it
            Err(place) => Some(Pages::none(place, next)),
        };
        Some(Self {
            pages: place.and_then(kept),
            data,
            blocks,
            decoder,
            cache,
            damaged,
        })
    }

    /// Length of what is unpacked, in bytes.
    pub(crate) fn len(&self) -> u64 {
        let last = self.blocks.last();
        last.map_or(0, |block| block.start.saturating_add(block.len))
    }

    /// Bytes from `offset` on, to the end of their block, or of their page where pages are kept; empty past the end.
    pub(crate) fn chunk(&self, offset: u64) -> Result<Chunk<'static>, Cause> {
        let Some(pages) = &self.pages else {
            return self.block(offset);
        };
        let into = (offset % PAGE_BYTES) as usize;
        let number = offset / PAGE_BYTES;
        let page: Result<_, ()> = self.cache.get_or_decode(PAGE | number, || {
            pages.get_or_read(number, |start, page| {
                // A page that lies in two blocks, and one that does not decode whole, is not kept.
                let block = self.block(start).map_err(drop)?;
                page.copy_from_slice(block.get(..page.len()).ok_or(())?);
                Ok(())
            })
        });
        if let Ok(page) = page {
            return Ok(Chunk::decoded(page, into));
        }
        let left = (PAGE_BYTES as usize).saturating_sub(into);
        Ok(self.block(offset)?.truncated(left))
    }

    /// The bytes from `offset` to the end of their block; empty past the end.
    fn block(&self, offset: u64) -> Result<Chunk<'static>, Cause> {
        let next = self.blocks.partition_point(|block| block.start <= offset);
        let number = next.saturating_sub(1);
        let Some(block) = self.blocks.get(number) else {
            return Ok(Chunk::borrowed(&[]));
        };
        let damage = Cause::Decode {
            offset: block.at,
            codec: self.decoder.codec(),
        };
        let damaged = self.damaged.get(number).ok_or(damage)?;
        if damaged.load(Ordering::Relaxed) {
            return Err(damage);
        }
        let page = self.cache.get_or_decode(number as u64, || {
            let packed = self.data.read(block.at, block.packed as usize)?;
            self.decoder
                .decode(number, block, &packed)
                .filter(|bytes| bytes.len() as u64 == block.len)
                .map(Arc::from)
                .ok_or_else(|| {
                    damaged.store(true, Ordering::Relaxed);
                    damage
                })
        })?;
        let into = usize::try_from(offset.saturating_sub(block.start)).unwrap_or(usize::MAX);
        Ok(Chunk::decoded(page, into))
    }

    /// Copies bytes from `offset` on into `buf`; returns how many could be read.
    pub(crate) fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
        let filled = sweep::fill(buf, |done, rest| {
            let block = self.block(offset.saturating_add(done));
            block.map(|block| sweep::copy(&block, rest))
        });
        filled.unwrap_or(0)
    }
}
