//! Dumps of physical memory: by the header's runs, by a bitmap, by ranges.

use std::sync::Arc;

use osier_memory::{Cause, PAGE_BYTES, PhysRun};

use super::bitmap::BitmapMemory;
use super::body::Body;
use super::excluded::Excluding;
use super::header::{Header, Kind, run_of_pages};
use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::Malformed;
use crate::extent::{self, Extent};
use crate::flat::FlatMemory;
use crate::look::Look;
use crate::sweep;

/// A full dump: after the header, the pages of each run in the header's order.
pub(super) fn full(data: Data, header: &Header) -> Result<Body, Malformed> {
    let runs = header.runs.as_ref().ok_or_else(|| {
        Malformed::new(
            if header.wide { 0x88 } else { 0x64 },
            "the runs of memory that a full dump holds, not the filler PAGE",
        )
    })?;
    let mut extents = Vec::new();
    let mut offset = header.bytes;
    for run in &runs.list {
        extents.push(Extent {
            start: run.start.0,
            len: run.len,
            offset,
        });
        offset = offset.checked_add(run.len).ok_or_else(|| {
            Malformed::new(
                runs.at,
                "runs of memory that a file can hold, below 2^64 bytes in all",
            )
        })?;
    }
    of_extents(data, extents, header.bytes, offset, Vec::new())
}

/// A dump by a list of page ranges (`RDMP`), as the debugger and `LiveKD` write today.
pub(super) fn by_ranges(data: Data, header: &Header) -> Result<Body, Malformed> {
    let at = header.bytes;
    let mut head = Cursor::new(data.look(), at as usize);
    head.le32("the range header")?;
    signature(&mut head, &[b"RDMP"])?;
    signature(&mut head, &[b"DUMP"])?;
    head.le32("the range header's reserved word")?;
    let metadata = head.le64("the bytes of the ranges")?;
    let first_at = head.at() as u64;
    let first = head.le64("the offset of the first page")?;
    head.le64("the range header")?;
    head.le64("the range header's count of pages")?;
    let list = head.at() as u64;
    if first < list || metadata.checked_add(list.saturating_sub(0x10)) != Some(first) {
        return Err(Malformed::new(
            first_at,
            format!("the first page behind {metadata:#x} bytes of ranges, not at {first:#x}"),
        ));
    }
    let mut extents = Vec::new();
    let mut offset = first;
    while head.at() as u64 <= first.saturating_sub(16) {
        let at = head.at() as u64;
        let page = head.le64("the first page of a range")?;
        let count = head.le64("the pages of a range")?;
        if page == 0 {
            break; // the list ends where its room does, or at a range that starts at page 0
        }
        let end =
            run_of_pages(page, count).and_then(|run| Some((run, offset.checked_add(run.len)?)));
        let (run, end) = end.ok_or_else(|| {
            Malformed::new(
                at,
                format!("a range of pages below 2^64 bytes, not {count:#x} from {page:#x}"),
            )
        })?;
        extents.push(Extent {
            start: run.start.0,
            len: run.len,
            offset,
        });
        offset = end;
    }
    let list_end = head.at();
    let mut body = of_extents(
        data,
        extents,
        first,
        offset,
        ram(header).unwrap_or_default(),
    )?;
    body.facts
        .push(("page ranges end", format!("{list_end:#x}")));
    Ok(body)
}

/// The machine's RAM by the header, sorted.
fn ram(header: &Header) -> Option<Vec<PhysRun>> {
    let runs = header.runs.as_ref()?;
    let stretches = runs.list.iter().map(|run| (run.start.0, run.len));
    Some(sweep::join(stretches.collect()))
}

/// The memory of `extents`, whose pages lie in the file from `first` up to `end`.
fn of_extents(
    data: Data,
    extents: Vec<Extent>,
    first: u64,
    end: u64,
    ram: Vec<PhysRun>,
) -> Result<Body, Malformed> {
    let mut anomalies = Vec::new();
    let mut facts = Vec::new();
    measure(&data, first, end, &mut facts, &mut anomalies)?;
    let (extents, twice) = extent::disjoint(extents);
    if twice > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{twice} bytes of memory are held more than once"
        )));
    }
    let held = FlatMemory::new(Bytes::File(data), extents, Cause::NotCaptured);
    Ok(Body {
        memory: Arc::new(Excluding { held, ram }),
        hints: Vec::new(),
        facts,
        anomalies,
    })
}

/// Compares what is promised between `first` and `end` with the file's length.
fn measure(
    data: &Data,
    first: u64,
    end: u64,
    facts: &mut Vec<(&'static str, String)>,
    anomalies: &mut Vec<Anomaly>,
) -> Result<(), Malformed> {
    let promised = end.saturating_sub(first);
    let len = data.len();
    if promised == 0 {
        return Err(Malformed::new(
            first,
            "at least one page of memory; the header promises none",
        ));
    }
    if len <= first {
        return Err(Malformed::new(
            len,
            format!(
                "{promised} bytes of memory ({} pages) from {first:#x} on; the file ends here, before \
                 the first",
                promised / PAGE_BYTES
            ),
        ));
    }
    facts.push(("bytes of memory", promised.to_string()));
    if len < end {
        anomalies.push(Anomaly::bytes(format!(
            "the file is cut short: {} of {promised} bytes of memory are missing from {len:#x} on",
            end.saturating_sub(len)
        )));
    } else if len > end {
        facts.push(("bytes after memory", len.saturating_sub(end).to_string()));
    }
    Ok(())
}

fn signature(head: &mut Cursor<'_>, any_of: &[&[u8; 4]]) -> Result<(), Malformed> {
    let at = head.at() as u64;
    let found = head.take(4, "a signature")?;
    if any_of.iter().any(|known| known.as_slice() == &*found) {
        return Ok(());
    }
    let names: Vec<String> = any_of
        .iter()
        .map(|name| name.escape_ascii().to_string())
        .collect();
    Err(Malformed::new(
        at,
        format!("the signature {}", names.join(" or ")),
    ))
}

/// Where a bitmap and its pages lie.
struct BitmapHeader {
    bits_at: u64,
    bits: u64,
    first: u64,
    pages: u64,
}

/// A summary or bitmap dump: a header of its own, a bit for each page, the pages whose bit is set.
pub(super) fn by_bitmap(data: &Data, header: &Header) -> Result<Body, Malformed> {
    let found = bitmap_header(data.look(), header)?;
    let BitmapHeader {
        bits_at,
        bits,
        first,
        pages,
    } = found;
    let bitmap_end = bits_at.saturating_add(bits.div_ceil(8));
    if bitmap_end > data.len() {
        return Err(Malformed::new(
            bits_at,
            format!(
                "a bitmap of {bits} bits up to {bitmap_end:#x}; the file ends at {:#x}",
                data.len()
            ),
        ));
    }
    if first < bitmap_end {
        return Err(Malformed::new(
            header.bytes,
            format!("the first page behind the bitmap's end at {bitmap_end:#x}, not at {first:#x}"),
        ));
    }
    let mut anomalies = Vec::new();
    let bytes = usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX);
    let map = Cursor::new(data.look(), bits_at as usize).take(bytes, "the bitmap")?;
    let held = BitmapMemory::new(data.clone(), map.into_owned(), bits, first);
    let set = held.set();
    let mut facts = vec![("bitmap", format!("{bits} pages, {set} of them in the dump"))];
    if set != pages {
        anomalies.push(Anomaly::bytes(format!(
            "the bitmap has {set} pages, its header counts {pages}"
        )));
    }
    let end = set
        .checked_mul(PAGE_BYTES)
        .and_then(|bytes| first.checked_add(bytes))
        .ok_or_else(|| Malformed::new(header.bytes, "pages that a file can hold"))?;
    measure(data, first, end, &mut facts, &mut anomalies)?;
    let all = || run_of_pages(0, bits).into_iter().collect();
    Ok(Body {
        memory: Arc::new(Excluding {
            held,
            ram: ram(header).unwrap_or_else(all),
        }),
        hints: Vec::new(),
        facts,
        anomalies,
    })
}

/// The header of a bitmap, in the form that the dump's type has.
fn bitmap_header(file: Look<'_>, header: &Header) -> Result<BitmapHeader, Malformed> {
    let at = header.bytes as usize;
    let mut head = Cursor::new(file, at);
    signature(&mut head, &[b"SDMP", b"FDMP"])?;
    signature(&mut head, &[b"DUMP"])?;
    head.le32("DumpOptions")?;
    if header.kind == Kind::Summary {
        let first = head.le32("HeaderSize")?.into();
        let bits = head.le32("BitmapSize")?.into();
        let pages = head.le32("Pages")?.into();
        let bits_at = header
            .bytes
            .saturating_add(if header.wide { 0x28 } else { 0x20 });
        return Ok(BitmapHeader {
            bits_at,
            bits,
            first,
            pages,
        });
    }
    let mut head = Cursor::new(file, at.saturating_add(0x20));
    let first = head.le64("HeaderSize")?;
    let pages = head.le64("Pages")?;
    let bits = head.le64("BitmapSize")?;
    Ok(BitmapHeader {
        bits_at: head.at() as u64,
        bits,
        first,
        pages,
    })
}
