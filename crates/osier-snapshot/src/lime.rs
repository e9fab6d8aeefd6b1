//! `LiME` dumps, and AVML's, which are the same with each range compressed.
//!
//! A dump is a sequence of ranges, each behind a header of 32 bytes: magic, version, first and last
//! address (the last one belongs to the range), eight reserved bytes. `LiME` (magic `LiME` as a
//! number, so `EMiL` in the file, version 1) lets the bytes follow as they are. AVML (`AVML`, version
//! 2) lets a framed Snappy stream follow, and behind it the stream's length as a `u64`; a header
//! does not say where the next one is, so opening walks the frames' headers.
//!
//! Sources: LiME `src/lime.h` and `src/main.c` (1.9); AVML `src/image.rs` (0.21).

use std::sync::Arc;

use osier_memory::{Cause, Filter, Machine, PhysicalMemory};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::cache::PageCache;
use crate::cursor::Cursor;
use crate::error::{Malformed, OpenError};
use crate::flat::{self, Extent, FlatMemory};
use crate::format::Format;
use crate::frames::{self, Frame, FramedMemory};
use crate::open::{Input, Snapshot, SnapshotInfo};

const LIME: &[u8] = b"EMiL";
const AVML: &[u8] = b"AVML";
/// Bytes of a range's header.
const HEADER: usize = 32;

/// Whether `file` starts with a range's header.
pub(crate) fn recognises(file: &[u8]) -> bool {
    file.starts_with(LIME) || file.starts_with(AVML)
}

/// What a file holds of the machine's memory.
#[derive(Default)]
struct Ranges {
    /// Whether they are AVML's.
    compressed: bool,
    count: u64,
    plain: Vec<Extent>,
    frames: Vec<Vec<Frame>>,
    anomalies: Vec<Anomaly>,
}

/// A range's header.
struct Header {
    compressed: bool,
    start: u64,
    /// Saturates for a range that claims all of the address space.
    len: u64,
}

/// Opens a dump of `LiME`'s or AVML's.
///
/// # Errors
///
/// The first header is none that is known.
pub(crate) fn open(input: Input<'_>) -> Result<Snapshot, OpenError> {
    let Input { path, map, options } = input;
    let file_bytes = map.len();
    let mut ranges = ranges(map.bytes()).map_err(|bad| bad.in_file(path))?;
    let compressed = ranges.compressed;
    let captured;
    let mut facts = Vec::new();
    let memory: Arc<dyn PhysicalMemory> = if compressed {
        let (frames, twice) = frames::disjoint(ranges.frames);
        facts.push(("frames", frames.len().to_string()));
        held_twice(twice, &mut ranges.anomalies);
        captured = frames.iter().map(|frame| u64::from(frame.len)).sum();
        let outside = Cause::Excluded {
            filter: Filter::Zeros,
        };
        let cache = PageCache::new(options.cache_bytes);
        Arc::new(FramedMemory::new(map, frames, outside, cache))
    } else {
        let (extents, twice) = flat::disjoint(ranges.plain);
        held_twice(twice, &mut ranges.anomalies);
        captured = extents
            .iter()
            .fold(0_u64, |sum, extent| sum.saturating_add(extent.len));
        Arc::new(FlatMemory::new(
            Bytes::Mapped(map),
            extents,
            Cause::NotCaptured,
        ))
    };
    facts.insert(0, ("ranges", ranges.count.to_string()));
    facts.push(("captured bytes", captured.to_string()));
    Ok(Snapshot {
        machine: Machine {
            memory,
            cpus: Vec::new(),
            hints: Vec::new(),
        },
        info: SnapshotInfo {
            format: if compressed {
                Format::Avml
            } else {
                Format::Lime
            },
            file: path.to_owned(),
            file_bytes,
            facts,
            anomalies: ranges.anomalies,
            ram: Vec::new(),
        },
    })
}

fn held_twice(bytes: u64, anomalies: &mut Vec<Anomaly>) {
    if bytes > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{bytes} bytes of memory are held more than once"
        )));
    }
}

/// Walks the headers of `file`. What follows the first bad one is an anomaly, not an error: the
/// ranges before it are whole.
fn ranges(file: &[u8]) -> Result<Ranges, Malformed> {
    let mut ranges = Ranges::default();
    let mut at = 0_usize;
    while at < file.len() {
        let header = match header(file, at) {
            Ok(header) => header,
            Err(bad) if at == 0 => return Err(bad),
            Err(bad) => {
                ranges.anomalies.push(Anomaly::bytes(format!(
                    "at file offset {:#x}: expected {}; nothing after it is read",
                    bad.offset, bad.expected
                )));
                break;
            }
        };
        if at > 0 && header.compressed != ranges.compressed {
            ranges.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: expected the header of a range as the first; nothing after \
                 it is read"
            )));
            break;
        }
        ranges.compressed = header.compressed;
        ranges.count = ranges.count.saturating_add(1);
        let body = at.saturating_add(HEADER);
        at = if header.compressed {
            compressed(file, body, &header, &mut ranges)
        } else {
            plain(file, body, &header, &mut ranges)
        };
    }
    Ok(ranges)
}

/// The header at `at`.
fn header(file: &[u8], at: usize) -> Result<Header, Malformed> {
    let mut cursor = Cursor::new(file, at);
    let magic = cursor.take(LIME.len(), "the header of a range")?;
    let version = cursor.le32("the version of a range")?;
    let compressed = match (magic, version) {
        (LIME, 1) => false,
        (AVML, 2) => true,
        _ => {
            return Err(Malformed::new(
                at as u64,
                "the header of a range: EMiL of version 1 or AVML of version 2",
            ));
        }
    };
    let start = cursor.le64("the first address of a range")?;
    let last = cursor.le64("the last address of a range")?;
    cursor.le64("the reserved bytes of a range")?;
    let len = last.checked_sub(start).ok_or_else(|| {
        Malformed::new(
            (at as u64).saturating_add(16),
            format!("a last address of at least the first ({start:#x}), not {last:#x}"),
        )
    })?;
    Ok(Header {
        compressed,
        start,
        len: len.saturating_add(1),
    })
}

/// Takes the range whose bytes lie at `body`; returns the offset behind it.
fn plain(file: &[u8], body: usize, header: &Header, ranges: &mut Ranges) -> usize {
    let left = file.len().saturating_sub(body) as u64;
    if header.len > left {
        ranges.anomalies.push(Anomaly::bytes(format!(
            "the file is cut short: it ends {} bytes before the end of the range at {:#x}",
            header.len.saturating_sub(left),
            header.start
        )));
    }
    ranges.plain.push(Extent {
        start: header.start,
        len: header.len,
        offset: body as u64,
    });
    usize::try_from(header.len.min(left))
        .unwrap_or(usize::MAX)
        .saturating_add(body)
}

/// Takes the range whose frames lie at `body`; returns the offset behind it.
fn compressed(file: &[u8], body: usize, header: &Header, ranges: &mut Ranges) -> usize {
    let (frames, held, end) = frames::walk(file, body, header.start, header.len);
    ranges.frames.push(frames);
    if held < header.len {
        ranges.anomalies.push(Anomaly::bytes(format!(
            "the frames at file offset {body:#x} end at {end:#x} and hold {held} of the {} bytes of \
             the range at {:#x}",
            header.len, header.start
        )));
        return file.len();
    }
    // The trailer counts the stream's bytes.
    let mut trailer = Cursor::new(file, end);
    match trailer.le64("the length of the stream") {
        Ok(length) if length == end.saturating_sub(body) as u64 => trailer.at(),
        Ok(length) => {
            ranges.anomalies.push(Anomaly::bytes(format!(
                "at file offset {end:#x}: the stream is said to be of {length} bytes and is of {}",
                end.saturating_sub(body)
            )));
            trailer.at()
        }
        Err(_) => file.len(),
    }
}
