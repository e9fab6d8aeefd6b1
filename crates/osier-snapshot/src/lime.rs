//! `LiME` dumps, and AVML's, which are the same with each range compressed.
//!
//! A dump is a sequence of ranges, each behind a header of 32 bytes: magic, version, first and last
//! address (the last one belongs to the range), eight reserved bytes. `LiME` (magic `LiME` as a
//! number, so `EMiL` in the file, version 1) lets the bytes follow as they are. AVML (`AVML`, version
//! 2) lets a framed Snappy stream follow, and behind it the stream's length as a `u64`; a header
//! does not say where the next one is, so opening walks the frames' headers.
//!
//! Sources: LiME `src/lime.h` and `src/main.c` (1.9); AVML `src/image.rs` (0.21).

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use osier_memory::{Cause, Filter, Machine, PAGE_BYTES, PhysRun, PhysicalMemory};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::cache::PageCache;
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::extent::{self, Extent};
use crate::flat::FlatMemory;
use crate::format::Format;
use crate::frames::{self, Frame, FramedMemory};
use crate::look::Look;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use crate::written::{WriteError, in_pieces};

const LIME: &[u8; 4] = b"EMiL";
const AVML: &[u8; 4] = b"AVML";
/// Bytes of a range's header.
const HEADER: usize = size_of::<RangeHeader>();

/// A range's header as it stands in the file: `lime_mem_range_header`.
#[derive(FromBytes, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct RangeHeader {
    magic: [u8; 4],
    version: U32,
    /// The address of the first byte, and of the last.
    first: U64,
    last: U64,
    reserved: [u8; 8],
}

/// Writes `ranges` of `memory` as `LiME` version 1: a header before each range.
///
/// # Errors
///
/// [`WriteError`]: the file, or a page that cannot be read.
pub fn write_lime(
    memory: &dyn PhysicalMemory,
    ranges: &[PhysRun],
    out: &mut dyn Write,
) -> Result<(), WriteError> {
    for &range in ranges {
        let header = RangeHeader {
            magic: *LIME,
            version: 1.into(),
            first: range.start.0.into(),
            last: range.end().0.saturating_sub(1).into(), // no range is empty
            reserved: [0; 8],
        };
        out.write_all(header.as_bytes())?;
        in_pieces(memory, range, |_, bytes| out.write_all(bytes))?;
    }
    Ok(())
}

/// Whether `file` starts with a range's header.
pub(crate) fn recognises(file: Look<'_>) -> bool {
    file.starts_with(LIME) || file.starts_with(AVML)
}

/// Bytes of a file without a first header that are searched for the second: on a PC the first range
/// ends below 1 MiB.
const FIRST_RANGE: usize = 4 << 20;

/// The magic of the first header that is found in `file`, which starts with none. Only of a file that is
/// not whole pages, as raw memory is: its ranges' headers make the difference.
fn lost_its_first(file: Look<'_>) -> Option<&'static [u8; 4]> {
    if recognises(file) || (file.len() as u64).is_multiple_of(PAGE_BYTES) {
        return None;
    }
    let head = file.some(0, FIRST_RANGE);
    [LIME, AVML].into_iter().find(|magic| {
        let mut places = Look::Bytes(&head).find(0, *magic);
        places.any(|at| is_header(file, at, *magic == AVML, |_| false))
    })
}

/// Whether `file` starts with no header of a range, and has one all the same: what lies before it was
/// overwritten.
pub(crate) fn recognises_the_rest(file: Look<'_>) -> bool {
    lost_its_first(file).is_some()
}

/// What a file holds of the machine's memory.
#[derive(Default)]
struct Ranges {
    /// Whether they are AVML's.
    compressed: bool,
    count: u64,
    plain: Vec<Extent>,
    frames: Vec<Vec<Frame>>,
    /// File offset of the bytes of the range that was read last: 0 before the first.
    body: usize,
    /// The address past the highest of all ranges read.
    end: u64,
    anomalies: Vec<Anomaly>,
}

/// What a range's header says.
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
/// The first header is not one that is known.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let mut ranges = ranges(data.look()).map_err(|bad| bad.in_file(path))?;
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
        let cache = PageCache::new(options.cache_bytes());
        Arc::new(FramedMemory::new(data.clone(), frames, outside, cache))
    } else {
        let (extents, twice) = extent::disjoint(ranges.plain);
        held_twice(twice, &mut ranges.anomalies);
        captured = extents
            .iter()
            .fold(0_u64, |sum, extent| sum.saturating_add(extent.len));
        Arc::new(FlatMemory::new(
            Bytes::File(data.clone()),
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
        info: SnapshotInfo::new(
            if compressed {
                Format::Avml
            } else {
                Format::Lime
            },
            path,
            file_bytes,
            facts,
            ranges.anomalies,
        ),
    })
}

fn held_twice(bytes: u64, anomalies: &mut Vec<Anomaly>) {
    if bytes > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{bytes} bytes of memory are held more than once"
        )));
    }
}

/// Walks the headers of `file`. Where one is not in its place, the next is looked for: what it
/// describes is in the file all the same.
fn ranges(file: Look<'_>) -> Result<Ranges, Malformed> {
    let mut ranges = Ranges {
        compressed: file.starts_with(AVML) || lost_its_first(file) == Some(AVML),
        ..Ranges::default()
    };
    let mut at = 0_usize;
    while at < file.len() {
        let expected = match header(file, at) {
            Ok(header) if header.compressed == ranges.compressed => {
                at = take(file, at, &header, &mut ranges);
                if at > file.len() {
                    at = overrun(file, at, &mut ranges);
                }
                continue;
            }
            Ok(_) => "the header of a range as the first".to_owned(),
            Err(bad) => bad.expected,
        };
        at = go_on(file, at, &expected, &mut ranges);
    }
    if ranges.count == 0 {
        header(file, 0)?; // not even the first is one
    }
    Ok(ranges)
}

/// Takes the range whose header lies at `at`; returns where the next one should be, which may be past
/// the file's end.
fn take(file: Look<'_>, at: usize, header: &Header, ranges: &mut Ranges) -> usize {
    ranges.compressed = header.compressed;
    ranges.count = ranges.count.saturating_add(1);
    ranges.end = ranges.end.max(header.start.saturating_add(header.len));
    let body = at.saturating_add(HEADER);
    ranges.body = body;
    if header.compressed {
        compressed(file, body, header, ranges)
    } else {
        plain(body, header, ranges)
    }
}

/// Goes on where the header at `at` is not what was `expected`: with that header itself, when all but
/// its magic is right, or with the next one that is found. `LiME` promises a range's length and then
/// writes fewer or more bytes when a page cannot be read, so the next header may lie before `at` too.
fn go_on(file: Look<'_>, at: usize, expected: &str, ranges: &mut Ranges) -> usize {
    if let Some(header) = without_magic(file, at, ranges) {
        ranges.anomalies.push(Anomaly::bytes(format!(
            "at file offset {at:#x}: expected {expected}; its range is read all the same, as another \
             header or the file's end lies where it ends"
        )));
        return take(file, at, &header, ranges);
    }
    let next = search(file, ranges, |header| header.start >= ranges.end);
    let Some(next) = next else {
        ranges.anomalies.push(Anomaly::bytes(format!(
            "at file offset {at:#x}: expected {expected}; no other follows, and nothing after it is read"
        )));
        return file.len();
    };
    let torn = tear(at, next, ranges);
    ranges.anomalies.push(Anomaly::bytes(format!(
        "at file offset {at:#x}: expected {expected}; the next is at {next:#x}, where reading goes on\
         {torn}"
    )));
    next
}

/// The range that was read last would end at `end`, past the file's end. Either the file is cut short,
/// or the range: then another header lies in it. Returns where reading goes on.
fn overrun(file: Look<'_>, end: usize, ranges: &mut Ranges) -> usize {
    let start = ranges.plain.last().map_or(0, |last| last.start);
    let Some(next) = search(file, ranges, |_| false) else {
        ranges.anomalies.push(Anomaly::bytes(format!(
            "the file is cut short: it ends {} bytes before the end of the range at {start:#x}",
            end.saturating_sub(file.len()),
        )));
        return file.len();
    };
    let torn = tear(end, next, ranges);
    ranges.anomalies.push(Anomaly::bytes(format!(
        "the range at {start:#x} would end at file offset {end:#x}, past the file's end; another header \
         is at {next:#x}, where reading goes on{torn}"
    )));
    next
}

/// Ends the range that was read last at the header at `next`, which was expected at `at`; what to say
/// of it.
fn tear(at: usize, next: usize, ranges: &mut Ranges) -> String {
    let body = ranges.body as u64;
    let Some(last) = ranges.plain.last_mut().filter(|last| last.offset == body) else {
        return String::new();
    };
    last.len = last.len.min((next as u64).saturating_sub(body));
    let start = last.start;
    ranges.plain.retain(|extent| extent.len > 0);
    format!(
        "; the range at {start:#x} before it is {} bytes too {}, and from somewhere in it on its bytes \
         may be as many off",
        next.abs_diff(at),
        if next < at { "short" } else { "long" }
    )
}

/// The header at `at`, of which all but the magic and the version is right: another lies where its
/// range ends, or the file's end.
fn without_magic(file: Look<'_>, at: usize, ranges: &Ranges) -> Option<Header> {
    if ranges.compressed {
        return None;
    }
    let record: RangeHeader = file.record(at)?;
    let (start, last) = (record.first.get(), record.last.get());
    let header = Header {
        compressed: false,
        start,
        len: last.checked_sub(start)?.checked_add(1)?,
    };
    (record.reserved == [0; 8] && fits(file, at, &header)).then_some(header)
}

/// Whether the range of the header at `at` ends where another header or the file's end is.
fn fits(file: Look<'_>, at: usize, header: &Header) -> bool {
    let body = at.saturating_add(HEADER);
    let end = usize::try_from(header.len).map_or(usize::MAX, |len| body.saturating_add(len));
    end == file.len() || self::header(file, end).is_ok()
}

/// The next header behind the one that was read last.
fn search(file: Look<'_>, ranges: &Ranges, likely: impl Fn(&Header) -> bool) -> Option<usize> {
    let magic = if ranges.compressed { AVML } else { LIME };
    file.find(ranges.body, magic)
        .find(|&at| is_header(file, at, ranges.compressed, &likely))
}

/// Whether a header is at `at` where none was expected: its reserved bytes are 0, and its range ends
/// where another header or the file's end is (an AVML range begins with the name of its format), or it
/// is `likely`.
fn is_header(
    file: Look<'_>,
    at: usize,
    compressed: bool,
    likely: impl Fn(&Header) -> bool,
) -> bool {
    let Ok(header) = header(file, at) else {
        return false;
    };
    let body = at.saturating_add(HEADER);
    let reserved = file.array(body.saturating_sub(8));
    let sure = if compressed {
        frames::starts(file, body)
    } else {
        fits(file, at, &header)
    };
    reserved == Some([0; 8]) && (sure || likely(&header))
}

/// The header at `at`.
fn header(file: Look<'_>, at: usize) -> Result<Header, Malformed> {
    let record: Option<RangeHeader> = file.record(at);
    let record = record.ok_or_else(|| {
        Malformed::ended(at as u64, format!("the header of a range ({HEADER} bytes)"))
    })?;
    let compressed = match (&record.magic, record.version.get()) {
        (LIME, 1) => false,
        (AVML, 2) => true,
        _ => {
            return Err(Malformed::new(
                at as u64,
                "the header of a range: EMiL of version 1 or AVML of version 2",
            ));
        }
    };
    let (start, last) = (record.first.get(), record.last.get());
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
fn plain(body: usize, header: &Header, ranges: &mut Ranges) -> usize {
    ranges.plain.push(Extent {
        start: header.start,
        len: header.len,
        offset: body as u64,
    });
    usize::try_from(header.len).map_or(usize::MAX, |len| body.saturating_add(len))
}

/// Takes the range whose frames lie at `body`; returns the offset behind it, or that of the next
/// range where its frames do not lead there.
fn compressed(file: Look<'_>, body: usize, header: &Header, ranges: &mut Ranges) -> usize {
    let (frames, held, end) = frames::walk(file, body, header.start, header.len);
    ranges.frames.push(frames);
    // The trailer counts the stream's bytes.
    let mut trailer = Cursor::new(file, end);
    let length = trailer.le64("the length of the stream");
    let is = end.saturating_sub(body) as u64;
    if held == header.len && length.as_ref().is_ok_and(|length| *length == is) {
        return trailer.at();
    }
    if held == header.len && file.len() == end {
        return end; // cut behind the last byte that matters
    }
    let next = search(file, ranges, |_| false);
    let goes_on = next.map_or_else(
        || "nothing after them is read".to_owned(),
        |next| format!("the next range's header is at {next:#x}, where reading goes on"),
    );
    ranges.anomalies.push(Anomaly::bytes(if held < header.len {
        format!(
            "the frames at file offset {body:#x} end at {end:#x} and hold {held} of the {} bytes of \
             the range at {:#x}; {goes_on}",
            header.len, header.start
        )
    } else {
        format!(
            "at file offset {end:#x}: expected the length of the stream before, {is} bytes; {goes_on}"
        )
    }));
    next.unwrap_or(file.len())
}
