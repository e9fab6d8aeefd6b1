//! Memory up to Windows 7: tables of page ranges, a page each, and behind each table its memory in
//! blocks that start with `81 81 xpress`.
//!
//! A block's header has 32 bytes: the signature, then a word with the pages less one (bits 0 to 9)
//! and the compressed bytes less one (bits 10 to 31). The bytes are padded to eight. The pages of a
//! table's ranges, in order, fill its blocks.

use std::ops::Range;

use osier_memory::PAGE_BYTES;

use super::found::{Found, PAGES_MAX, UNIT_PAGES};
use super::memory::{self, Coding, Unit};
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::look::Look;
use crate::xpress::Method;

const XPRESS: &[u8] = b"\x81\x81xpress";
const BLOCK_HEADER: usize = 32;
/// How far behind its place a block's header is looked for, as Volatility does.
const SLACK: usize = 10 << 10;

/// How a table is laid out.
pub(super) struct Form {
    pub(super) name: &'static str,
    /// Bytes of a page number, and so of most fields.
    wide: bool,
    /// Where `NextTable` stands: the page of the next table, 0 in the last.
    next: usize,
    /// Where `EntryCount` stands, four bytes.
    count: usize,
    /// Where the first range stands.
    ranges: usize,
    /// Bytes of a range.
    each: usize,
    /// Where in a range its first page stands; the page past its last follows.
    start: usize,
}

pub(super) const XP32: Form = form(
    "tables of Windows XP to Vista, 32-bit",
    false,
    [4, 12, 16, 16, 4],
);
pub(super) const XP64: Form = form("tables of Windows XP, 64-bit", true, [8, 20, 32, 32, 8]);
pub(super) const VISTA64: Form = form("tables of Windows Vista, 64-bit", true, [8, 16, 24, 16, 0]);
pub(super) const WIN7_32: Form = form("tables of Windows 7, 32-bit", false, [0, 4, 8, 8, 0]);
pub(super) const WIN7_64: Form = form("tables of Windows 7, 64-bit", true, [0, 8, 16, 16, 0]);

const fn form(name: &'static str, wide: bool, places: [usize; 5]) -> Form {
    let [next, count, ranges, each, start] = places;
    Form {
        name,
        wide,
        next,
        count,
        ranges,
        each,
        start,
    }
}

/// A table of ranges.
struct Table {
    next: u64,
    /// First page and the page past the last.
    ranges: Vec<(u64, u64)>,
}

impl Form {
    fn word(&self, page: &[u8], at: usize) -> Option<u64> {
        let mut cursor = Cursor::new(page, at);
        if self.wide {
            cursor.le64("a page number").ok()
        } else {
            cursor.le32("a page number").ok().map(u64::from)
        }
    }

    /// The table at file offset `at`; `None` when there is none.
    fn table(&self, file: Look<'_>, at: usize) -> Option<Table> {
        let page = Cursor::new(file, at)
            .take(PAGE_BYTES as usize, "a table")
            .ok()?;
        let page = &*page;
        let count = Cursor::new(page, self.count).le32("EntryCount").ok()? as usize;
        let mut ranges = Vec::new();
        for index in 0..count {
            let range = self.ranges.checked_add(index.checked_mul(self.each)?)?;
            let first = range.checked_add(self.start)?;
            let past = first.checked_add(if self.wide { 8 } else { 4 })?;
            // A count that the page has no room for ends here.
            let (start, end) = (self.word(page, first)?, self.word(page, past)?);
            if start > end || end > PAGES_MAX {
                return None;
            }
            ranges.push((start, end));
        }
        Some(Table {
            next: self.word(page, self.next)?,
            ranges,
        })
    }
}

/// Whether a table of this form, with memory behind it, lies at page `first`.
pub(super) fn starts(file: Look<'_>, first: u64, form: &Form) -> bool {
    let at = first
        .checked_mul(PAGE_BYTES)
        .and_then(|at| usize::try_from(at).ok());
    first != 0
        && at.is_some_and(|at| {
            let behind = at.saturating_add(PAGE_BYTES as usize);
            form.table(file, at)
                .is_some_and(|table| !table.ranges.is_empty())
                && file.has(behind, XPRESS)
        })
}

/// Reads all tables from page `first` on.
pub(super) fn read(file: Look<'_>, first: u64, form: &Form) -> Found {
    let mut found = Found::default();
    let mut page = first;
    let mut tables = 0_u64;
    while page != 0 {
        let at = usize::try_from(page.saturating_mul(PAGE_BYTES)).unwrap_or(usize::MAX);
        let Some(table) = form.table(file, at) else {
            found.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: expected a table of page ranges"
            )));
            break;
        };
        tables = tables.saturating_add(1);
        // A table's blocks end before the next table.
        let behind = at.saturating_add(PAGE_BYTES as usize);
        let end = match table.next {
            next if next <= page => file.len(),
            next => usize::try_from(next.saturating_mul(PAGE_BYTES)).unwrap_or(usize::MAX),
        };
        blocks(file, behind..end.min(file.len()), &table, &mut found);
        // Tables lie in ascending order: one that points back would go round for ever.
        if table.next != 0 && table.next <= page {
            found.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: the next table at page {:#x} does not lie behind this one",
                table.next
            )));
            break;
        }
        page = table.next;
    }
    found.facts.push(("tables", tables.to_string()));
    found
}

/// The blocks of one table, which lie in the bytes `lie` of `file`.
fn blocks(file: Look<'_>, lie: Range<usize>, table: &Table, found: &mut Found) {
    let Range { start: mut at, end } = lie;
    let mut ranges = table.ranges.iter().copied();
    let mut open = (0, 0);
    loop {
        while open.0 == open.1 {
            match ranges.next() {
                Some(range) => open = range,
                None => return,
            }
        }
        let Some((mut unit, pages, next)) = block(file, at..end) else {
            let left = ranges.fold(open.1.saturating_sub(open.0), |sum, (start, end)| {
                sum.saturating_add(end.saturating_sub(start))
            });
            found.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: expected a compressed block; {left} pages of this table have none"
            )));
            return;
        };
        let mut room = pages;
        while room > 0 {
            if open.0 == open.1 {
                match ranges.next() {
                    Some(range) => open = range,
                    None => break,
                }
                continue;
            }
            let count = room.min(open.1.saturating_sub(open.0));
            unit.ranges.push(memory::Range {
                page: open.0,
                count,
            });
            open.0 = open.0.saturating_add(count);
            room = room.saturating_sub(count);
        }
        if room > 0 {
            found.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: the last block of a table has {room} pages more than the table"
            )));
            unit.unnamed = room;
        }
        found.units.push(unit);
        at = next;
    }
}

/// The block at the start of `lie` or a little behind it, its pages, and where the next one may start.
fn block(file: Look<'_>, lie: Range<usize>) -> Option<(Unit, u64, usize)> {
    let at = lie.start;
    let at = if file.has(at, XPRESS) {
        at
    } else {
        let window = file.some(at, lie.end.checked_sub(at)?.min(SLACK));
        at.checked_add(memchr::memmem::find(&window, XPRESS)?)?
    };
    let word = Cursor::new(file, at.checked_add(XPRESS.len())?)
        .le32("a block's sizes")
        .ok()?;
    let pages = u64::from(word & 0x3ff).saturating_add(1);
    let bytes = (word >> 10).saturating_add(1);
    let offset = at.checked_add(BLOCK_HEADER)?;
    let end = offset.checked_add((bytes as usize).next_multiple_of(8))?;
    let whole = pages.saturating_mul(PAGE_BYTES);
    let held = offset.checked_add(bytes as usize)? <= lie.end;
    if pages > UNIT_PAGES || u64::from(bytes) > whole || !held {
        return None;
    }
    let coding = if u64::from(bytes) == whole {
        Coding::Stored
    } else {
        Coding::Xpress(Method::Plain)
    };
    let unit = Unit {
        offset: offset as u64,
        bytes,
        coding,
        ranges: Vec::new(),
        unnamed: 0,
    };
    Some((unit, pages, end))
}
