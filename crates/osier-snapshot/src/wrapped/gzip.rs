//! gzip with an index: one pass decodes the file and notes, at block boundaries a mebibyte or more
//! apart, what it takes to go on from there. The index is kept in the cache folder, so that later
//! openings decode only what is read.
//!
//! A kept index holds, little-endian: the number of points, the table of the points (eight words each,
//! see [`encode`]), and the windows: up to 32 KiB of output before each point, deflated.
//!
//! Sources: RFC 1951, RFC 1952; the idea is that of zlib's `examples/zran.c`.

use std::io::BufRead;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use osier_memory::Codec;

use crate::cursor::Cursor;
use crate::data::{Data, Reader};
use crate::kept::Kept;
use crate::look::Look;
use crate::packed::{BLOCK_MAX, Block, Decoder};

pub(super) const MAGIC: &[u8] = b"\x1f\x8b\x08";
/// The last byte is the version: raise it with every change to the layout.
const KEPT: [u8; 8] = *b"OSIERGZ\x03";
/// Least unpacked bytes between two points.
const SPAN: u64 = 1 << 20;
/// Bytes of output that a block may refer back to.
const WINDOW: usize = 32 << 10;
/// The buffer of the pass; a power of two, as the decoder demands.
const BUFFER: usize = 4 * WINDOW;
/// Words of a point in the table.
const WORDS: usize = 8;

/// A place from which decoding can go on.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// The stretch up to the next point, or to the end of the member's data.
    block: Block,
    /// Bits of the byte before that belong to the next block, and that byte's upper bits.
    bits: u8,
    bit_buffer: u8,
    /// CRC-32 of the stretch's unpacked bytes.
    crc: u32,
    /// Offset of the window among the windows, and its deflated length; 0 when there is none.
    window: (u64, u64),
}

/// Decodes stretches, with the kept index behind.
pub(super) struct Points {
    table: Vec<Point>,
    kept: Data,
    /// Offset of the windows in the kept index.
    windows: u64,
}

/// The stretches of a file, from the index kept at `place`, which is made when it
/// is not there. `None` when the file is not one that an index serves, or the index cannot be kept.
pub(super) fn blocks(
    data: &Data,
    place: &Kept,
    progress: &mut dyn FnMut(u64),
) -> Option<(Vec<Block>, Points)> {
    let mut known = place.open(KEPT).and_then(read);
    if known.is_none() {
        let (points, windows) = index(data, progress)?;
        let table: Vec<u8> = points.iter().flat_map(encode).collect();
        let saved = place.save(KEPT, |out| {
            out.write_all(&(points.len() as u64).to_le_bytes())?;
            out.write_all(&table)?;
            out.write_all(&windows)
        });
        saved.ok()?;
        known = place.open(KEPT).and_then(read);
    }
    let points = known?;
    let blocks = points.table.iter().map(|point| point.block).collect();
    Some((blocks, points))
}

impl Decoder for Points {
    fn codec(&self) -> Codec {
        Codec::Gzip
    }

    fn decode(&self, number: usize, block: &Block, packed: &[u8]) -> Option<Vec<u8>> {
        let point = self.table.get(number)?;
        let window = self.window(point)?;
        let mut out = window.clone();
        out.resize(out.len().checked_add(usize::try_from(block.len).ok()?)?, 0);
        let mut state = DecompressorOxide::from_block_boundary_state(&BlockBoundaryState {
            num_bits: point.bits,
            bit_buf: point.bit_buffer,
            ..BlockBoundaryState::default()
        });
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (_, _, written) = decompress(&mut state, packed, &mut out, window.len(), flags);
        let bytes = out.split_off(window.len());
        (written as u64 == block.len && crc32fast::hash(&bytes) == point.crc).then_some(bytes)
    }
}

impl Points {
    fn window(&self, point: &Point) -> Option<Vec<u8>> {
        let (offset, len) = point.window;
        if len == 0 {
            return Some(Vec::new());
        }
        let start = self.windows.checked_add(offset)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= 2 * WINDOW)?;
        let deflated = self.kept.read(start, len).ok()?;
        decompress_to_vec_with_limit(&deflated, WINDOW).ok()
    }
}

/// Reads a kept index.
fn read(kept: Data) -> Option<Points> {
    const COUNT: usize = 8;
    let count = u64::from_le_bytes(kept.look().array(0)?);
    let bytes = usize::try_from(count).ok()?.checked_mul(8 * WORDS)?;
    let table = kept.look().get(COUNT, bytes)?;
    let points = table
        .chunks_exact(8 * WORDS)
        .map(decode)
        .collect::<Option<_>>()?;
    let windows = COUNT.checked_add(table.len())? as u64;
    drop(table);
    Some(Points {
        table: points,
        kept,
        windows,
    })
}

/// The words of a point: the four of its block in order, bits and bit buffer, CRC-32, offset and
/// length of the window.
fn encode(point: &Point) -> impl Iterator<Item = u8> {
    let Block {
        start,
        len,
        at,
        packed,
    } = point.block;
    let bits = u64::from(point.bits) << 8 | u64::from(point.bit_buffer);
    let (window, window_len) = point.window;
    let words = [
        start,
        len,
        at,
        packed,
        bits,
        point.crc.into(),
        window,
        window_len,
    ];
    words.into_iter().flat_map(u64::to_le_bytes)
}

fn decode(bytes: &[u8]) -> Option<Point> {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let [start, len, at, packed, bits, crc, window, window_len] = words;
    Some(Point {
        block: Block {
            start,
            len,
            at,
            packed,
        },
        bits: (bits >> 8) as u8 & 7,
        bit_buffer: bits as u8,
        crc: crc as u32,
        window: (window, window_len),
    })
}

/// Decodes a file once and returns its points and their windows; `None` when it is damaged, when
/// something follows its members, or when a stretch between boundaries is too long.
fn index(data: &Data, progress: &mut dyn FnMut(u64)) -> Option<(Vec<Point>, Vec<u8>)> {
    let mut points = Vec::new();
    let mut windows = Vec::new();
    let mut at = 0;
    let mut start = 0;
    while at < data.len() {
        let header = header_bytes(data.look(), usize::try_from(at).ok()?)?;
        let packed = data.reader(at.checked_add(header as u64)?);
        at = member(
            data,
            packed,
            &mut start,
            &mut points,
            &mut windows,
            progress,
        )?;
    }
    Some((points, windows))
}

/// Decodes one member, whose data is `packed`; returns the offset behind its trailer.
fn member(
    data: &Data,
    mut packed: Reader,
    start: &mut u64,
    points: &mut Vec<Point>,
    windows: &mut Vec<u8>,
    progress: &mut dyn FnMut(u64),
) -> Option<u64> {
    let first = *start;
    let begin = |start: u64, at: u64| Point {
        block: Block {
            start,
            len: 0,
            at,
            packed: 0,
        },
        bits: 0,
        bit_buffer: 0,
        crc: 0,
        window: (0, 0),
    };
    let mut state = DecompressorOxide::default();
    let mut buffer = vec![0; BUFFER];
    let mut out_at = 0;
    let mut whole = crc32fast::Hasher::new();
    let mut part = crc32fast::Hasher::new();
    let mut point = begin(*start, packed.offset());
    loop {
        let here = packed.offset();
        let input = packed.fill_buf().ok()?;
        let more = here.checked_add(input.len() as u64)? < data.len();
        let flags =
            TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY | if more { TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
        let (status, read, written) = decompress(&mut state, input, &mut buffer, out_at, flags);
        packed.consume(read);
        let at = packed.offset();
        let end = out_at.checked_add(written)?;
        let bytes = buffer.get(out_at..end)?;
        whole.update(bytes);
        part.update(bytes);
        out_at = end % BUFFER;
        *start = start.checked_add(written as u64)?;
        point.block.len = start.checked_sub(point.block.start)?;
        if point.block.len > BLOCK_MAX {
            return None;
        }
        let done = match status {
            TINFLStatus::BlockBoundary => false,
            TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => continue,
            TINFLStatus::Done => true,
            _ => return None,
        };
        if !done && point.block.len < SPAN {
            continue;
        }
        point.block.packed = at.checked_sub(point.block.at)?;
        point.crc = std::mem::take(&mut part).finalize();
        if point.block.len > 0 {
            points.push(point);
        }
        progress(at);
        if done {
            break;
        }
        point = begin(*start, at);
        let boundary = state.block_boundary_state()?;
        (point.bits, point.bit_buffer) = (boundary.num_bits, boundary.bit_buf);
        let have = usize::try_from(start.checked_sub(first)?).unwrap_or(WINDOW);
        let window = window_before(&buffer, out_at, have.min(WINDOW));
        let deflated = compress_to_vec(&window, 1);
        point.window = (windows.len() as u64, deflated.len() as u64);
        windows.extend(deflated);
    }
    let mut trailer = Cursor::new(data.look(), usize::try_from(packed.offset()).ok()?);
    let right = trailer.le32("CRC32").ok()? == whole.finalize()
        && trailer.le32("ISIZE").ok()? == start.checked_sub(first)? as u32;
    right.then(|| trailer.at() as u64)
}

/// The last `len` bytes of output before `out_at` in the wrapping buffer.
fn window_before(buffer: &[u8], out_at: usize, len: usize) -> Vec<u8> {
    let (before, after) = buffer.split_at_checked(out_at).unwrap_or_default();
    let skip = buffer.len().saturating_sub(len);
    after.iter().chain(before).skip(skip).copied().collect()
}

/// Bytes of the member header at `start`.
pub(super) fn header_bytes(file: Look<'_>, start: usize) -> Option<usize> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let [flags] = file.array(start.checked_add(3)?)?;
    if !file.has(start, MAGIC) {
        return None;
    }
    let mut at = start.checked_add(10)?;
    if flags & EXTRA != 0 {
        let len = u16::from_le_bytes(file.array(at)?);
        at = at.checked_add(2)?.checked_add(len.into())?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            at = file.find(at, b"\0").next()?.checked_add(1)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        at = at.checked_add(2)?;
    }
    at.checked_sub(start)
}
