//! Cores of Xen guests (`xl dump-core`): ELF files whose memory lies in sections, without program
//! headers.
//!
//! `.xen_pages` holds pages one after another; `.xen_pfn` names their page frames (`u64` each, a
//! guest with its own page tables), or `.xen_p2m` does (`u64` frame, `u64` machine frame, a
//! paravirtualised guest). The note `Xen` of type 2000001 in `.note.Xen` tells the number of processors and
//! pages, and the page's size.
//!
//! Source: Xen `docs/misc/dump-core-format.txt`, `tools/include/xenctrl.h` (4.17).

use std::borrow::Cow;

use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::extent::Extent;
use crate::look::Look;

/// `XEN_ELFNOTE_DUMPCORE_HEADER`.
const HEADER_NOTE: &[u8] = b"\x04\0\0\0\x20\0\0\0\x01\0\0\x02Xen\0";
/// Frames that the writer could not map.
const INVALID: u64 = u64::MAX;

/// What a core says.
pub(crate) struct XenCore {
    /// In the order of the file.
    pub(crate) extents: Vec<Extent>,
    /// Whether the frames are those of a paravirtualised guest, whose page tables hold others.
    pub(crate) paravirtualised: bool,
    /// The number of virtual processors.
    pub(crate) processors: u64,
    /// Oddities that were survived.
    pub(crate) anomalies: Vec<Anomaly>,
}

/// A section: file offset and length.
type Span = (u64, u64);

/// Reads the sections of `file`; `None` when none of them is Xen's.
pub(crate) fn read(file: Look<'_>, wide: bool) -> Result<Option<XenCore>, Malformed> {
    let Some(pages) = section(file, wide, b".xen_pages")? else {
        return Ok(None);
    };
    let header = match section(file, wide, b".note.Xen")? {
        Some(notes) => header(&bytes(file, notes)),
        None => None,
    };
    let (processors, promised, page) = header.unwrap_or((0, None, 4096));
    if !page.is_power_of_two() || page < 4096 {
        return Err(Malformed::new(
            pages.0,
            format!("pages of 4096 bytes, not {page}"),
        ));
    }
    let plain = section(file, wide, b".xen_pfn")?;
    let mapped = section(file, wide, b".xen_p2m")?;
    let paravirtualised = plain.is_none();
    let (frames, step) = match (plain, mapped) {
        (Some(frames), _) => (frames, 8),
        (None, Some(frames)) => (frames, 16),
        (None, None) => return Err(Malformed::new(pages.0, "a section .xen_pfn or .xen_p2m")),
    };
    let mut extents: Vec<Extent> = Vec::new();
    let mut offset = pages.0;
    let end = pages.0.saturating_add(pages.1);
    let mut anomalies = Vec::new();
    if end > file.len() as u64 {
        anomalies.push(Anomaly::bytes(
            "the file is cut short: it ends before its pages do",
        ));
    }
    let end = end.min(file.len() as u64);
    let frames = bytes(file, frames);
    let named = frames.chunks_exact(step).len() as u64;
    let held = pages.1 >> page.trailing_zeros();
    if named != held || promised.is_some_and(|promised| promised != held) {
        anomalies.push(Anomaly::bytes(format!(
            "the core has {held} pages, names {named} page frames, and its note says {} pages",
            promised.unwrap_or(held)
        )));
    }
    if paravirtualised {
        anomalies.push(Anomaly::bytes("a paravirtualised guest: memory is by the guest's page frames, its page tables hold the \
             machine's"));
    }
    for entry in frames.chunks_exact(step) {
        let frame = entry
            .first_chunk()
            .map_or(INVALID, |frame| u64::from_le_bytes(*frame));
        if offset >= end {
            break;
        }
        if let Some(start) = frame.checked_mul(page).filter(|_| frame != INVALID) {
            match extents.last_mut() {
                Some(last)
                    if last.start.checked_add(last.len) == Some(start)
                        && last.offset.saturating_add(last.len) == offset =>
                {
                    last.len = last.len.saturating_add(page);
                }
                _ => extents.push(Extent {
                    start,
                    len: page,
                    offset,
                }),
            }
        }
        offset = offset.saturating_add(page);
    }
    Ok(Some(XenCore {
        extents,
        paravirtualised,
        processors,
        anomalies,
    }))
}

/// Processors, pages and page size, out of the notes.
fn header(notes: &[u8]) -> Option<(u64, Option<u64>, u64)> {
    let at = memchr::memmem::find(notes, HEADER_NOTE)?;
    let mut cursor = Cursor::new(notes, at.checked_add(HEADER_NOTE.len())?);
    let _magic = cursor.le64("xch_magic").ok()?;
    let processors = cursor.le64("xch_nr_vcpus").ok()?;
    let pages = cursor.le64("xch_nr_pages").ok()?;
    Some((processors, Some(pages), cursor.le64("xch_page_size").ok()?))
}

/// What the file holds of a section.
fn bytes(file: Look<'_>, (offset, len): Span) -> Cow<'_, [u8]> {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    file.some(at, usize::try_from(len).unwrap_or(usize::MAX))
}

/// The section called `name`.
fn section(file: Look<'_>, wide: bool, name: &[u8]) -> Result<Option<Span>, Malformed> {
    let mut head = Cursor::new(file, if wide { 40 } else { 32 });
    let table = if wide {
        head.le64("e_shoff")?
    } else {
        head.le32("e_shoff")?.into()
    };
    let mut head = Cursor::new(file, if wide { 58 } else { 46 });
    let entry = u64::from(head.le16("e_shentsize")?);
    let count = head.le16("e_shnum")?;
    let names = head.le16("e_shstrndx")?;
    let header = |number: u16| -> Result<(u32, Span), Malformed> {
        let at = table.saturating_add(entry.saturating_mul(number.into()));
        let at = usize::try_from(at).map_err(|_| Malformed::new(at, "a section header"))?;
        let mut cursor = Cursor::new(file, at);
        let name = cursor.le32("sh_name")?;
        cursor.le32("sh_type")?;
        let mut word = |name: &str| {
            if wide {
                cursor.le64(name)
            } else {
                cursor.le32(name).map(u64::from)
            }
        };
        word("sh_flags")?;
        word("sh_addr")?;
        Ok((name, (word("sh_offset")?, word("sh_size")?)))
    };
    if table == 0 || names >= count {
        return Ok(None);
    }
    let names = bytes(file, header(names)?.1);
    for number in 0..count {
        let (at, place) = header(number)?;
        let rest = names.get(at as usize..).unwrap_or_default();
        if rest.split(|byte| *byte == 0).next() == Some(name) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
