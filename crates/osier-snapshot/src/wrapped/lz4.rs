//! LZ4 frames. A frame of independent blocks that tells its size is read block by block: every
//! block but the last is then full, for their sizes must add up.
//!
//! Source: LZ4 Frame Format Description 1.6.4.

use osier_memory::Codec;

use super::packed::{Block, Decoder};

pub(super) const MAGIC: &[u8] = b"\x04\x22\x4d\x18";
/// The bit of a block's size that says "not compressed".
const STORED: u32 = 1 << 31;

/// Decodes blocks; a stored one is known by its length.
pub(super) struct Blocks {
    stored: Vec<bool>,
}

/// The blocks of the one frame that `file` is; `None` when they depend on one another, or when the
/// frame does not tell its size.
pub(super) fn blocks(file: &[u8]) -> Option<(Vec<Block>, Blocks)> {
    let flags = *file.get(4)?;
    let version_one = flags >> 6 == 1;
    let [independent, sums, sized, dictionary] =
        [0x20, 0x10, 0x08, 0x01].map(|bit| flags & bit != 0);
    if !version_one || !independent || !sized || dictionary {
        return None;
    }
    let block_max = match file.get(5)? >> 4 & 7 {
        4 => 1_u64 << 16,
        5 => 1 << 18,
        6 => 1 << 20,
        7 => 1 << 22,
        _ => return None,
    };
    let total = u64::from_le_bytes(file.get(6..14)?.try_into().ok()?);
    let mut at = 15_usize; // the byte before is the header's checksum
    let mut blocks = Vec::new();
    let mut stored = Vec::new();
    let mut start = 0_u64;
    loop {
        let size = u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?);
        at = at.checked_add(4)?;
        if size == 0 {
            break;
        }
        let packed = size & !STORED;
        let len = total.checked_sub(start)?.min(block_max);
        blocks.push(Block {
            start,
            len,
            at: at as u64,
            packed: packed.into(),
        });
        stored.push(size & STORED != 0);
        start = start.checked_add(len)?;
        let sum = if sums { 4 } else { 0 };
        at = at.checked_add(packed as usize)?.checked_add(sum)?;
    }
    let tail = if flags & 4 != 0 { 4 } else { 0 };
    let whole = start == total && at.checked_add(tail)? == file.len();
    whole.then_some((blocks, Blocks { stored }))
}

impl Decoder for Blocks {
    fn codec(&self) -> Codec {
        Codec::Lz4
    }

    fn decode(&self, number: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
        if *self.stored.get(number)? {
            return Some(packed.to_vec());
        }
        lz4_flex::block::decompress(packed, usize::try_from(block.len).ok()?).ok()
    }
}
