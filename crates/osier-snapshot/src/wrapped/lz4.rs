//! LZ4 frames. Where every frame has independent blocks and tells its size, blocks are read one by
//! one: every block of a frame but its last is then full, for their sizes must add up.
//!
//! A block has a checksum of its own or has none. A frame that has one over all its content alone
//! (as `lz4` writes it) is decoded whole once, and the CRC-32 of each block is kept in the cache
//! folder for later openings: `OSIERL4`, four bytes for each block.
//!
//! Source: LZ4 Frame Format Description 1.6.4.

use std::hash::Hasher;

use osier_memory::Codec;
use twox_hash::XxHash32;

use crate::kept::Kept;
use crate::look::Look;
use crate::packed::{Block, Decoder};

pub(super) const MAGIC: &[u8] = b"\x04\x22\x4d\x18";
/// What `lz4 -l` writes: blocks without an end mark, up to the end or the next magic.
pub(super) const LEGACY: &[u8] = b"\x02\x21\x4c\x18";
/// The bit of a block's size that says "not compressed".
const STORED: u32 = 1 << 31;
/// The most that a block of a legacy frame packs to: `LZ4_compressBound` of 8 MiB.
const LEGACY_MAX: u32 = (8 << 20) + (8 << 20) / 255 + 16;
/// The last byte is the version: raise it with every change to the layout.
const KEPT: [u8; 8] = *b"OSIERL4\x02";

/// Where a frame ends in its file.
pub(super) struct Extent {
    pub(super) bytes: usize,
    /// Whether it is all there.
    pub(super) whole: bool,
}

/// The header of a frame.
struct Header {
    bytes: usize,
    /// Whether each block decodes by itself, without another or a dictionary.
    independent: bool,
    block_sums: bool,
    content_sum: bool,
    total: Option<u64>,
    block_max: u64,
}

impl Header {
    /// The header at `start`.
    fn read(file: Look<'_>, start: usize) -> Option<Self> {
        let [flags, sizes] = file.array(start.checked_add(4)?)?;
        let [independent, block_sums, sized, content_sum, dictionary] =
            [0x20, 0x10, 0x08, 0x04, 0x01].map(|bit| flags & bit != 0);
        if !file.has(start, MAGIC) || flags >> 6 != 1 {
            return None;
        }
        let block_max = match sizes >> 4 & 7 {
            4 => 1_u64 << 16,
            5 => 1 << 18,
            6 => 1 << 20,
            7 => 1 << 22,
            _ => return None,
        };
        let mut bytes = 7_usize; // the last is the header's checksum
        let mut total = None;
        if sized {
            total = Some(u64::from_le_bytes(file.array(start.checked_add(6)?)?));
            bytes = bytes.checked_add(8)?;
        }
        if dictionary {
            bytes = bytes.checked_add(4)?;
        }
        Some(Self {
            bytes,
            independent: independent && !dictionary,
            block_sums,
            content_sum,
            total,
            block_max,
        })
    }
}

fn word(file: Look<'_>, at: usize) -> Option<u32> {
    file.array(at).map(u32::from_le_bytes)
}

/// The extent of the frame at `start`; `None` when its header is none.
pub(super) fn extent(file: Look<'_>, start: usize) -> Option<Extent> {
    let upto = |end: usize, whole| {
        let bytes = end.checked_sub(start)?;
        Some(Extent { bytes, whole })
    };
    let cut = upto(file.len(), false);
    if file.has(start, LEGACY) {
        let mut at = start.checked_add(LEGACY.len())?;
        while let Some(packed) = word(file, at).filter(|packed| *packed <= LEGACY_MAX) {
            at = at.checked_add(4)?.checked_add(packed as usize)?;
        }
        // A rest of less than a word, or a block that goes on behind the file's end, is cut.
        return if at == file.len() || word(file, at).is_some() {
            upto(at, true)
        } else {
            cut
        };
    }
    let header = Header::read(file, start)?;
    let sum = if header.block_sums { 4 } else { 0 };
    let mut at = start.checked_add(header.bytes)?;
    loop {
        let Some(size) = word(file, at) else {
            return cut;
        };
        at = at.checked_add(4)?;
        if size == 0 {
            break;
        }
        let packed = (size & !STORED) as usize;
        at = at.checked_add(packed)?.checked_add(sum)?;
    }
    let at = at.checked_add(if header.content_sum { 4 } else { 0 })?;
    if at > file.len() {
        return cut;
    }
    upto(at, true)
}

/// Decodes blocks.
pub(super) struct Blocks {
    /// Of each block.
    how: Vec<How>,
}

/// How a block is decoded and checked.
#[derive(Clone, Copy)]
struct How {
    /// Its bytes are not compressed.
    stored: bool,
    /// XXH32 of its packed bytes, where it has one.
    sum: Option<u32>,
    /// CRC-32 of what it decodes to.
    crc: Option<u32>,
}

/// Blocks as they were found.
struct Found {
    blocks: Vec<Block>,
    how: Vec<How>,
    /// Checksums of frames whose blocks have none: of the blocks from one number up to another.
    contents: Vec<(usize, usize, u32)>,
}

/// The blocks of the frames that `file` is; `None` when they depend on one another, when a frame does
/// not tell its size, when there is nowhere to keep what a pass over them finds out, or when that pass
/// finds a checksum wrong.
pub(super) fn blocks(
    file: Look<'_>,
    place: Option<&Kept>,
    progress: &mut dyn FnMut(u64),
) -> Option<(Vec<Block>, Blocks)> {
    let Found {
        blocks,
        mut how,
        contents,
    } = find(file)?;
    if !contents.is_empty() {
        let place = place?;
        let known = place.load(KEPT).and_then(|kept| {
            let (words, rest) = kept.as_chunks();
            let crcs: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
            (crcs.len() == how.len() && rest.is_empty()).then_some(crcs)
        });
        let crcs = if let Some(crcs) = known {
            crcs
        } else {
            let crcs = verify(file, &blocks, &how, &contents, progress)?;
            let kept = place.save(KEPT, |out| {
                crcs.iter()
                    .try_for_each(|crc| out.write_all(&crc.to_le_bytes()))
            });
            drop(kept); // it costs time, not answers
            crcs
        };
        for (how, crc) in how.iter_mut().zip(crcs) {
            how.crc = Some(crc);
        }
    }
    Some((blocks, Blocks { how }))
}

fn find(file: Look<'_>) -> Option<Found> {
    let mut found = Found {
        blocks: Vec::new(),
        how: Vec::new(),
        contents: Vec::new(),
    };
    let mut base = 0_usize;
    let mut start = 0_u64;
    while base < file.len() {
        if let Some(skip) = super::zstd::skippable(file, base) {
            base = base.checked_add(usize::try_from(skip).ok()?)?;
            continue;
        }
        let header = Header::read(file, base)?;
        if !header.independent {
            return None;
        }
        let end = start.checked_add(header.total?)?;
        let first = found.blocks.len();
        let mut at = base.checked_add(header.bytes)?;
        loop {
            let size = word(file, at)?;
            at = at.checked_add(4)?;
            if size == 0 {
                break;
            }
            let packed = size & !STORED;
            let len = end.checked_sub(start)?.min(header.block_max);
            found.blocks.push(Block {
                start,
                len,
                at: at as u64,
                packed: packed.into(),
            });
            start = start.checked_add(len)?;
            at = at.checked_add(packed as usize)?;
            let mut sum = None;
            if header.block_sums {
                sum = Some(word(file, at)?);
                at = at.checked_add(4)?;
            }
            found.how.push(How {
                stored: size & STORED != 0,
                sum,
                crc: None,
            });
        }
        if start != end {
            return None;
        }
        if header.content_sum {
            let sum = word(file, at)?;
            at = at.checked_add(4)?;
            if !header.block_sums && found.blocks.len() > first {
                found.contents.push((first, found.blocks.len(), sum));
            }
        }
        base = at;
    }
    (base == file.len()).then_some(found)
}

/// Decodes all blocks and holds the frames' content checksums against them; the CRC-32 of each.
fn verify(
    file: Look<'_>,
    blocks: &[Block],
    how: &[How],
    contents: &[(usize, usize, u32)],
    progress: &mut dyn FnMut(u64),
) -> Option<Vec<u32>> {
    let mut crcs = Vec::new();
    let mut contents = contents.iter().peekable();
    let mut content = XxHash32::with_seed(0);
    for (number, (block, how)) in (0_usize..).zip(blocks.iter().zip(how)) {
        let at = usize::try_from(block.at).ok()?;
        let packed = file.get(at, usize::try_from(block.packed).ok()?)?;
        let bytes = decode(how, block, &packed)?;
        crcs.push(crc32fast::hash(&bytes));
        if contents.peek().is_some_and(|(first, ..)| *first == number) {
            content = XxHash32::with_seed(0);
        }
        content.write(&bytes);
        let next = number.checked_add(1)?;
        if let Some((_, _, sum)) = contents.next_if(|(_, end, _)| *end == next)
            && content.finish_32() != *sum
        {
            return None;
        }
        progress(block.at.saturating_add(block.packed));
    }
    Some(crcs)
}

fn decode(how: &How, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
    if how
        .sum
        .is_some_and(|sum| XxHash32::oneshot(0, packed) != sum)
    {
        return None;
    }
    let bytes = if how.stored {
        packed.to_vec()
    } else {
        lz4_flex::block::decompress(packed, usize::try_from(block.len).ok()?).ok()?
    };
    let right =
        bytes.len() as u64 == block.len && how.crc.is_none_or(|crc| crc32fast::hash(&bytes) == crc);
    right.then_some(bytes)
}

impl Decoder for Blocks {
    fn codec(&self) -> Codec {
        Codec::Lz4
    }

    fn decode(&self, number: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
        decode(self.how.get(number)?, block, packed)
    }
}
