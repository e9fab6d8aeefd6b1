//! Memory from Windows 8 on: compression sets, one after another, in a section for the loader and
//! one for the kernel.
//!
//! A set is a word (ranges in bits 0 to 7, compressed bytes in 8 to 29, method in 30 and 31), its
//! ranges (pages less one in bits 0 to 3, page above; four bytes each, or eight of a 64-bit
//! Windows), and the compressed bytes. Methods 0 and 1 are plain, 2 and 3 with Huffman codes; as
//! many bytes as the pages have are not compressed.

use osier_memory::PAGE_BYTES;

use super::found::{Found, PAGES_MAX, UNIT_PAGES};
use super::header::Sections;
use super::memory::{Coding, Range, Unit};
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::look::Look;
use crate::xpress::Method;

/// Reads both sections. What a section's count promises and its sets do not hold is said.
pub(super) fn read(file: Look<'_>, wide: bool, sections: &Sections) -> Found {
    let mut found = Found::default();
    let Sections {
        boot,
        boot_pages,
        kernel,
        kernel_pages,
    } = *sections;
    section(file, wide, ("boot section", boot, boot_pages), &mut found);
    section(
        file,
        wide,
        ("kernel section", kernel, kernel_pages),
        &mut found,
    );
    found
}

fn section(file: Look<'_>, wide: bool, what: (&'static str, u64, u64), found: &mut Found) {
    let (name, page, promised) = what;
    let start = page.saturating_mul(PAGE_BYTES);
    let Ok(at) = usize::try_from(start) else {
        found.anomalies.push(Anomaly::bytes(format!(
            "the {name} at {start:#x} lies past the file's end"
        )));
        return;
    };
    if promised == 0 {
        return;
    }
    let mut head = Cursor::new(file, at);
    let mut pages = 0_u64;
    let mut sets = 0_u64;
    while pages < promised {
        let at = head.at();
        let Some(unit) = set(&mut head, wide) else {
            found.anomalies.push(Anomaly::bytes(format!(
                "at file offset {at:#x}: expected a compression set of the {name}, which promises \
                 {promised} pages and holds {pages}"
            )));
            break;
        };
        pages = pages.saturating_add(unit.pages());
        sets = sets.saturating_add(1);
        found.units.push(unit);
    }
    found.facts.push((
        name,
        format!(
            "{pages} of {promised} pages in {sets} sets from {start:#x} to {:#x}",
            head.at()
        ),
    ));
}

/// The next set; `None` when there is none.
fn set(head: &mut Cursor<'_>, wide: bool) -> Option<Unit> {
    let word = head.le32("a compression set").ok()?;
    let bytes = word >> 8 & 0x3f_ffff;
    let coding = match word >> 30 {
        0 | 1 => Coding::Xpress(Method::Plain),
        _ => Coding::Xpress(Method::Huffman),
    };
    let mut ranges = Vec::new();
    let mut pages = 0_u64;
    for _ in 0..word & 0xff {
        let range = if wide {
            head.le64("a range").ok()?
        } else {
            head.le32("a range").ok()?.into()
        };
        let count = (range & 15).saturating_add(1);
        pages = pages.saturating_add(count);
        let end = (range >> 4).saturating_add(count);
        if pages > UNIT_PAGES || end > PAGES_MAX {
            return None;
        }
        ranges.push(Range {
            page: range >> 4,
            count,
        });
    }
    let offset = head.at() as u64;
    let whole = pages.saturating_mul(PAGE_BYTES);
    if pages == 0 || bytes == 0 || u64::from(bytes) > whole {
        return None;
    }
    head.pass(bytes as usize, "a set's bytes").ok()?;
    let coding = if u64::from(bytes) == whole {
        Coding::Stored
    } else {
        coding
    };
    Some(Unit {
        offset,
        bytes,
        coding,
        ranges,
        unnamed: 0,
    })
}
