//! Zstandard: a row of frames. Where every frame tells its size, each is a block; the usual file of
//! one large frame is unpacked instead.
//!
//! Source: RFC 8878, section 3.1.

use std::io::{self, Read};

use osier_memory::Codec;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::member::{Doubt, Own, differs};
use crate::look::Look;
use crate::packed::{Block, Decoder};

pub(super) const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// The first byte of a skippable frame's magic is any of sixteen.
const SKIPPABLE: u64 = 0x184d_2a50;

/// Decodes frames.
pub(super) struct Frames;

/// The frames of `file`, found by their headers and those of their blocks; `None` when one of them
/// does not tell its size.
pub(super) fn blocks(file: Look<'_>) -> Option<(Vec<Block>, Frames)> {
    let mut blocks = Vec::new();
    let mut start = 0_u64;
    let mut at = 0_usize;
    while at < file.len() {
        let (packed, len) = match skippable(file, at) {
            Some(packed) => (packed, 0),
            None => frame(file, at)?,
        };
        if len > 0 {
            blocks.push(Block {
                start,
                len,
                at: at as u64,
                packed,
            });
        }
        start = start.checked_add(len)?;
        at = at.checked_add(usize::try_from(packed).ok()?)?;
    }
    (at == file.len()).then_some((blocks, Frames))
}

/// The packed and unpacked length of the frame at `start`.
fn frame(file: Look<'_>, start: usize) -> Option<(u64, u64)> {
    if !file.has(start, MAGIC) {
        return None;
    }
    let [descriptor] = file.array(start.checked_add(4)?)?;
    let single = descriptor & 0x20 != 0;
    let dictionary = match descriptor & 3 {
        3 => 4,
        bytes => usize::from(bytes),
    };
    let mut at = start
        .checked_add(5)?
        .checked_add(usize::from(!single))?
        .checked_add(dictionary)?;
    let size_bytes = match descriptor >> 6 {
        0 if single => 1,
        0 => return None,
        code => 1_usize.checked_shl(code.into())?,
    };
    let len = le(file, at, size_bytes)?.checked_add(if size_bytes == 2 { 256 } else { 0 })?;
    at = at.checked_add(size_bytes)?;
    loop {
        let header = le(file, at, 3)?;
        let stored = match (header >> 1) & 3 {
            1 => 1, // a run of one byte
            _ => header >> 3,
        };
        at = at
            .checked_add(3)?
            .checked_add(usize::try_from(stored).ok()?)?;
        if header & 1 == 1 {
            break;
        }
    }
    if descriptor & 4 != 0 {
        at = at.checked_add(4)?; // checksum
    }
    (at <= file.len()).then_some((at.checked_sub(start)? as u64, len))
}

fn le(file: Look<'_>, at: usize, width: usize) -> Option<u64> {
    let bytes = file.get(at, width)?;
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(bytes.iter().rev().fold(0, fold))
}

impl Decoder for Frames {
    fn codec(&self) -> Codec {
        Codec::Zstd
    }

    fn decode(&self, _: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(usize::try_from(block.len).ok()?);
        let mut frame = stream(packed).ok()?;
        // A byte more, so that the frame's end is reached, and with it the checksum.
        frame
            .by_ref()
            .take(block.len.checked_add(1)?)
            .read_to_end(&mut out)
            .ok()?;
        checksum(&frame.decoder).is_ok().then_some(out)
    }
}

/// A decoder of the frame that `packed` begins with. What it holds grows with what was unpacked, up to the frame's
/// window, which is no larger than `zstd --long=31` makes it.
pub(super) fn stream<R: Read>(packed: R) -> io::Result<StreamingDecoder<R, FrameDecoder>> {
    const MOST: u64 = 1 << 31;
    StreamingDecoder::new_with_max_window_size(packed, MOST).map_err(|error| match error {
        FrameDecoderError::WindowSizeTooBig { requested, .. } => io::Error::other(Own(format!(
            "its window of {} MiB is larger than the 2048 MiB that are read",
            requested >> 20
        ))),
        error => io::Error::other(error),
    })
}

/// The whole length of the skippable frame at `at`. They are LZ4's too.
pub(super) fn skippable(file: Look<'_>, at: usize) -> Option<u64> {
    if u64::from(u32::from_le_bytes(file.array(at)?)) & 0xffff_fff0 != SKIPPABLE {
        return None;
    }
    u64::from(u32::from_le_bytes(file.array(at.checked_add(4)?)?)).checked_add(8)
}

/// Holds the content checksum of a frame that was read whole against its bytes.
pub(super) fn checksum(frame: &FrameDecoder) -> Result<(), Doubt> {
    match (
        frame.get_checksum_from_data(),
        frame.get_calculated_checksum(),
    ) {
        (Some(wanted), Some(sum)) => differs("content checksum (XXH64)", sum, wanted),
        _ => Ok(()), // the frame has none
    }
}
