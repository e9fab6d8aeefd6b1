//! xz: one stream whose index tells where its blocks lie. A block is decoded as a stream of its
//! own, put together from the file's header, the block, and an index of one record.
//!
//! Source: The .xz File Format 1.2.1, sections 2 to 4.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use osier_memory::Codec;

use crate::look::Look;
use crate::packed::{Block, Decoder};

pub(super) const MAGIC: &[u8] = b"\xfd7zXZ\0";
/// Bytes of the stream header, and of the footer.
const ENDS: usize = 12;
/// The most memory that a decoder may ask for: the dictionary of `xz -9` is 64 MiB.
const MEMORY: u64 = 256 << 20;

/// Decodes blocks of one stream.
pub(super) struct Blocks {
    header: [u8; ENDS],
    /// The blocks' sizes as the index has them: without the padding inside.
    unpadded: Vec<u64>,
}

/// The blocks of the stream that `file` is; `None` when the file is not one whole stream with an
/// index.
pub(super) fn blocks(file: Look<'_>) -> Option<(Vec<Block>, Blocks)> {
    let header: [u8; ENDS] = file.array(0)?;
    let footer: [u8; ENDS] = file.array(file.len().checked_sub(ENDS)?)?;
    let word = |at: usize| {
        Some(u32::from_le_bytes(
            footer.get(at..at.checked_add(4)?)?.try_into().ok()?,
        ))
    };
    if !footer.ends_with(b"YZ")
        || crc32fast::hash(footer.get(4..10)?) != word(0)?
        || footer.get(8..10)? != header.get(6..8)?
    {
        return None;
    }
    let index_bytes = (word(4)? as usize).checked_add(1)?.checked_mul(4)?;
    let index_at = file.len().checked_sub(ENDS)?.checked_sub(index_bytes)?;
    let index = file.get(index_at, index_bytes)?;
    let (body, crc) = index.split_at_checked(index_bytes.checked_sub(4)?)?;
    if crc32fast::hash(body) != u32::from_le_bytes(crc.try_into().ok()?) {
        return None;
    }
    let mut rest = body.strip_prefix(&[0])?;
    let records = number(&mut rest)?;
    let mut blocks = Vec::new();
    let mut unpadded = Vec::new();
    let (mut at, mut start) = (ENDS as u64, 0_u64);
    for _ in 0..records {
        let (size, len) = (number(&mut rest)?, number(&mut rest)?);
        let packed = size.checked_next_multiple_of(4)?;
        unpadded.push(size);
        blocks.push(Block {
            start,
            len,
            at,
            packed,
        });
        at = at.checked_add(packed)?;
        start = start.checked_add(len)?;
    }
    (at == index_at as u64).then_some((blocks, Blocks { header, unpadded }))
}

impl Decoder for Blocks {
    fn codec(&self) -> Codec {
        Codec::Xz
    }

    fn decode(&self, number: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
        let mut index = vec![0, 1];
        push_number(&mut index, *self.unpadded.get(number)?);
        push_number(&mut index, block.len);
        while !index.len().is_multiple_of(4) {
            index.push(0);
        }
        index.extend(crc32fast::hash(&index).to_le_bytes());
        let mut tail = u32::try_from(index.len() / 4)
            .ok()?
            .checked_sub(1)?
            .to_le_bytes()
            .to_vec();
        tail.extend(self.header.get(6..8)?);
        let mut stream = self.header.to_vec();
        stream.extend(packed);
        stream.extend(&index);
        stream.extend(crc32fast::hash(&tail).to_le_bytes());
        stream.extend(&tail);
        stream.extend(b"YZ");
        let mut out = Vec::with_capacity(usize::try_from(block.len).ok()?);
        decoder(stream.as_slice())
            .ok()?
            .take(block.len.checked_add(1)?)
            .read_to_end(&mut out)
            .ok()?;
        Some(out)
    }
}

/// A decoder of the one stream that `file` starts with.
pub(super) fn decoder<R: BufRead>(file: R) -> io::Result<XzDecoder<R>> {
    let stream = Stream::new_stream_decoder(MEMORY, 0)?;
    Ok(XzDecoder::new_stream(file, stream))
}

/// A multibyte integer: seven bits a byte, the least first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
