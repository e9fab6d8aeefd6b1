//! `mapped-ram`: the pages of a block lie at fixed offsets of the file, with a bitmap before them.
//!
//! After each block of the list stands a header: be32 version 1, be64 page size, be64 the bitmap's
//! and be64 the pages' offset in the file. The bitmap follows at once, one bit for each page, in
//! little-endian words of 64 bits. The pages start at a multiple of 1 MiB and take the block's whole
//! length; the next block of the list follows them. A page whose bit is clear is zero. Channels of
//! `multifd` write their pages to the same places.
//!
//! Offsets count from the start of the file that QEMU wrote to, which is not the stream's start when
//! it was told an offset: the bitmap's own place gives the distance.
//!
//! Source: QEMU `migration/ram.c` (`mapped_ram_setup_ramblock`, `parse_ramblock_mapped_ram`) and
//! `docs/devel/migration/mapped-ram.rst`, 9.0 to 10.0.

use std::borrow::Cow;

use super::pages::{Entry, PAGE, Sent};
use crate::cursor::Cursor;
use crate::error::Malformed;

/// One block's pages.
pub(super) struct Mapped<'a> {
    bitmap: Cow<'a, [u8]>,
    /// The offset of the first page.
    pages: u64,
    count: u64,
    /// The file's length: a file that was cut short ends among the pages.
    end: u64,
}

/// Takes the header of a block of `bytes`, its bitmap and its pages; `None` for a block that is not
/// in the file, because it is shared.
pub(super) fn take<'a>(at: &mut Cursor<'a>, bytes: u64) -> Result<Option<Mapped<'a>>, Malformed> {
    const WHAT: &str = "a header of mapped-ram";
    let start = at.at() as u64;
    let bad = |expected: String| Malformed::new(start, expected);
    let version = at.be32(WHAT)?;
    if version != 1 {
        return Err(bad(format!("{WHAT} in version 1, not {version}")));
    }
    let page = at.be64(WHAT)?;
    if page != PAGE {
        return Err(bad(format!(
            "{WHAT} with pages of {PAGE} bytes, not {page}"
        )));
    }
    let bitmap = at.be64(WHAT)?;
    let pages = at.be64(WHAT)?;
    if (bitmap, pages) == (0, 0) {
        return Ok(None);
    }
    let count = bytes / PAGE;
    // QEMU's offsets less ours.
    let shift = bitmap.checked_sub(at.at() as u64);
    let pages = shift.and_then(|shift| pages.checked_sub(shift));
    let (Some(pages), Ok(words)) = (pages, usize::try_from(count.div_ceil(64))) else {
        return Err(bad(format!(
            "{WHAT} whose bitmap is at {:#x} or later",
            at.at()
        )));
    };
    let bitmap = at.take(words.saturating_mul(8), "a bitmap of mapped-ram")?;
    let end = (at.at() as u64).saturating_add(at.left() as u64);
    let gap = pages.checked_sub(at.at() as u64).ok_or_else(|| {
        bad(format!(
            "{WHAT} whose pages start at {:#x} or later",
            at.at()
        ))
    })?;
    let whole = gap.saturating_add(bytes).min(at.left() as u64);
    at.pass(whole as usize, "the pages of mapped-ram")?;
    Ok(Some(Mapped {
        bitmap,
        pages,
        count,
        end,
    }))
}

impl Mapped<'_> {
    /// Appends the entries of the block's pages.
    pub(super) fn entries(&self, entries: &mut Vec<u64>, sent: &mut Sent) {
        let bits = self
            .bitmap
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 != 0));
        let pages = usize::try_from(self.count).unwrap_or(usize::MAX);
        let mut offset = self.pages;
        for there in bits.take(pages) {
            if there && offset.saturating_add(PAGE) > self.end {
                entries.push(Entry::Absent.encode());
                continue;
            }
            let (entry, count) = if there {
                (Entry::Raw(offset), &mut sent.raw)
            } else {
                (Entry::Fill(0), &mut sent.fill)
            };
            *count = count.saturating_add(1);
            entries.push(entry.encode());
            offset = offset.saturating_add(PAGE);
        }
    }
}
