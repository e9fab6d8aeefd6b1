//! Memory that lies in framed Snappy streams, as AVML writes it.
//!
//! A stream is a sequence of chunks: a type, a length of three bytes, and that many bytes. Type 0 is
//! a CRC-32C and a Snappy block, whose first varint is its unpacked length; type 1 a CRC-32C and bare
//! bytes; `ff` names the format; 80 to fe are passed over. A chunk unpacks to at most 64 KiB.
//! Lengths are enough to know which memory lies where, so nothing is decoded before it is read.
//!
//! Source: `framing_format.txt` of Google's Snappy.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{Cause, Chunk, Codec, Fault, PhysAddr, PhysRun, PhysicalMemory, Visit};

use crate::cache::PageCache;
use crate::data::{self, Data};
use crate::look::Look;
use crate::sweep;

/// The chunk that names the format.
const IDENTIFIER: &[u8] = b"\xff\x06\0\0sNaPpY";
/// The most bytes that a chunk unpacks to.
const FRAME_MAX: u32 = 1 << 16;

/// A chunk of data, and the memory that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Guest-physical address of the first byte that is used.
    pub(crate) start: u64,
    /// File offset of the chunk's header.
    pub(crate) offset: u64,
    /// Bytes that are used; never 0.
    pub(crate) len: u32,
    /// Unpacked bytes before the first that is used.
    pub(crate) skip: u32,
}

/// Whether the chunk that names the format lies at `at`.
pub(crate) fn starts(file: Look<'_>, at: usize) -> bool {
    file.has(at, IDENTIFIER)
}

/// Walks the chunks at `at` in `file` until they hold `len` bytes: the memory from `start` on.
/// Returns the frames, the bytes that they hold (less than `len` when the chunks end or make no
/// sense before), and the offset behind the last.
pub(crate) fn walk(file: Look<'_>, at: usize, start: u64, len: u64) -> (Vec<Frame>, u64, usize) {
    let mut frames = Vec::new();
    let mut at = at;
    let mut held = 0_u64;
    while held < len {
        let Some((unpacked, next)) = chunk(file, at) else {
            break;
        };
        let used = u64::from(unpacked).min(len.saturating_sub(held)) as u32;
        if used > 0 {
            frames.push(Frame {
                start: start.saturating_add(held),
                offset: at as u64,
                len: used,
                skip: 0,
            });
        }
        held = held.saturating_add(u64::from(used));
        at = next;
    }
    (frames, held, at)
}

/// The chunk at `at`: the bytes that it unpacks to, and the offset of the next.
fn chunk(file: Look<'_>, at: usize) -> Option<(u32, usize)> {
    /// Bytes of the length that a Snappy block starts with.
    const LENGTH: usize = 5;
    let [kind, a, b, c] = file.array(at)?;
    let len = u32::from_le_bytes([a, b, c, 0]) as usize;
    let body = at.checked_add(4)?;
    let next = body.checked_add(len)?;
    if next > file.len() {
        return None;
    }
    let unpacked = match kind {
        0 => {
            let block = file.get(body.checked_add(4)?, len.checked_sub(4)?.min(LENGTH))?;
            u32::try_from(snap::raw::decompress_len(&block).ok()?).ok()?
        }
        1 => u32::try_from(len.checked_sub(4)?).ok()?,
        0x80..=0xff => 0,
        _ => return None, // reserved, and not to be passed over
    };
    (unpacked <= FRAME_MAX).then_some((unpacked, next))
}

/// The frames of all `ranges` by address, without what is held before: where two ranges hold the
/// same memory, the one that starts lower counts. Also the number of bytes that were held more than
/// once.
pub(crate) fn disjoint(mut ranges: Vec<Vec<Frame>>) -> (Vec<Frame>, u64) {
    ranges.sort_by_key(|frames| frames.first().map(|frame| (frame.start, frame.offset)));
    let mut frames = ranges.concat();
    drop(ranges);
    let mut end = 0_u64;
    let mut twice = 0_u64;
    frames.retain_mut(|frame| {
        let skip = end.saturating_sub(frame.start).min(u64::from(frame.len)) as u32;
        twice = twice.saturating_add(u64::from(skip));
        frame.start = frame.start.saturating_add(u64::from(skip));
        frame.skip = skip;
        frame.len = frame.len.saturating_sub(skip);
        end = end.max(frame.start.saturating_add(u64::from(frame.len)));
        frame.len > 0
    });
    (frames, twice)
}

/// The memory of framed streams.
pub(crate) struct FramedMemory {
    data: Data,
    /// Sorted, disjoint.
    frames: Vec<Frame>,
    runs: Vec<PhysRun>,
    /// What a byte outside all frames means.
    outside: Cause,
    /// The frames' used bytes and those before them, by the address where the used ones start: a range
    /// that begins amid the frames of another has frames at the same offsets.
    decoded: PageCache,
}

impl FramedMemory {
    /// The memory of `frames`, which must be sorted and disjoint. Bytes outside of them fault with
    /// `outside`.
    pub(crate) fn new(data: Data, frames: Vec<Frame>, outside: Cause, decoded: PageCache) -> Self {
        let held = |frame: &Frame| (frame.start, u64::from(frame.len));
        let runs = sweep::join(frames.iter().map(held).collect());
        Self {
            data,
            frames,
            runs,
            outside,
            decoded,
        }
    }

    /// The frame that holds `pa`, and the bytes in it before `pa`, unused ones not counted.
    fn frame(&self, pa: PhysAddr) -> Option<(&Frame, usize)> {
        let next = self.frames.partition_point(|frame| frame.start <= pa.0);
        let frame = self.frames.get(next.checked_sub(1)?)?;
        let into = pa.0.wrapping_sub(frame.start);
        (into < u64::from(frame.len)).then_some((frame, into as usize))
    }

    /// The used bytes of `frame`, from the kept ones or decoded now.
    fn bytes(&self, frame: &Frame) -> Result<Chunk<'_>, Cause> {
        let bytes = self.decoded.get_or_decode(frame.start, || {
            let mut bytes = vec![0; frame.skip.saturating_add(frame.len) as usize];
            self.decode(frame, &mut bytes)?;
            Ok(Arc::from(bytes))
        })?;
        Ok(Chunk::decoded(bytes, frame.skip as usize).truncated(frame.len as usize))
    }

    /// Decodes the first bytes of `frame` into `buf`.
    fn decode(&self, frame: &Frame, buf: &mut [u8]) -> Result<(), Cause> {
        let offset = frame.offset;
        let mut head = [0; 4];
        let failed = |error| data::cause(&error, offset);
        self.data.read_at(offset, &mut head).map_err(failed)?;
        let [_, a, b, c] = head;
        let body = u32::from_le_bytes([a, b, c, 0]) as usize;
        let chunk = self.data.read(offset, body.saturating_add(head.len()))?;
        snap::read::FrameDecoder::new(IDENTIFIER.chain(chunk.as_slice()))
            .read_exact(buf)
            .map_err(|_| Cause::Decode {
                offset,
                codec: Codec::Snappy,
            })
    }

    /// Fills `buf` from `pa` on; returns the bytes filled. Frames that are wanted whole pass by the
    /// cache.
    fn fill(&self, pa: PhysAddr, buf: &mut [u8]) -> usize {
        let filled = sweep::fill(buf, |done, rest| {
            let (frame, into) = self.frame(pa.plus(done)).ok_or(self.outside)?;
            let len = frame.len as usize;
            if into == 0
                && frame.skip == 0
                && let Some(whole) = rest.get_mut(..len)
            {
                return self.decode(frame, whole).map(|()| len);
            }
            Ok(sweep::copy(&self.bytes(frame)?.advanced(into), rest))
        });
        filled.unwrap_or(0)
    }
}

impl PhysicalMemory for FramedMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let (frame, into) = self.frame(pa).ok_or(Fault::at_phys(self.outside, pa))?;
        let bytes = self
            .bytes(frame)
            .map_err(|cause| Fault::at_phys(cause, pa))?;
        Ok(bytes.advanced(into))
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        sweep::in_windows(&self.runs, run, window, |pa, buf| self.fill(pa, buf), visit)
    }
}
