//! What lies behind all that an ELF core's headers speak of.

use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::look::Look;

/// Zeros that are looked through; the file's end is no further in any file that was only padded.
const PADDING: usize = 16 << 20;
/// Bytes that are looked at together.
const STEP: usize = 64 << 10;

/// What is said of the bytes of `file` from `described` on, where the headers have no more to say. `magic`
/// are the first bytes of an ELF file.
pub(super) fn behind(file: Look<'_>, described: u64, magic: &[u8]) -> Option<Anomaly> {
    let at = usize::try_from(described).ok()?;
    let count = file.len().checked_sub(at).filter(|count| *count > 0)?;
    if file.has(at, magic) {
        return Some(Anomaly::bytes(format!(
            "another ELF file of {count} bytes begins at file offset {at:#x}, behind this core: it is not read"
        )));
    }
    let mut looked = 0_usize;
    while looked < count.min(PADDING) {
        let bytes = file.some(at.saturating_add(looked), STEP);
        if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
            break;
        }
        looked = looked.saturating_add(bytes.len());
    }
    Some(if looked >= count {
        Anomaly::harmless(format!("{count} zeros behind the last segment"))
    } else {
        Anomaly::bytes(format!(
            "{count} bytes from file offset {at:#x} on belong to no segment: they are not read"
        ))
    })
}

/// Where what the headers describe ends besides segments: the headers themselves, those of so many
/// `segments` among them, and the sections.
pub(super) fn described(file: Look<'_>, wide: bool, segments: u64) -> Option<u64> {
    let (places, sizes) = if wide { (32, 52) } else { (28, 40) };
    let mut places = Cursor::new(file, places);
    let mut word = || {
        if wide {
            places.le64("an offset").ok()
        } else {
            places.le32("an offset").ok().map(u64::from)
        }
    };
    let (programs, sections) = (word()?, word()?);
    let mut sizes = Cursor::new(file, sizes);
    let mut half = || sizes.le16("a size").ok().map(u64::from);
    let (header, entry, _) = (half()?, half()?, half()?);
    let (section, count) = (half()?, half()?);
    let table =
        |start: u64, entry: u64, count: u64| start.saturating_add(entry.saturating_mul(count));
    let mut end = header.max(table(programs, entry, segments));
    if sections > 0 {
        // The first header is there even when it only counts program headers.
        end = end.max(table(sections, section, count.max(1)));
        for number in 0..count {
            end = end.max(section_end(file, wide, table(sections, section, number)).unwrap_or(0));
        }
    }
    Some(end)
}

/// Where the contents of the section end whose header is at `at`; `None` for one that has none in the file.
fn section_end(file: Look<'_>, wide: bool, at: u64) -> Option<u64> {
    const NOBITS: u32 = 8;
    let at = usize::try_from(at).ok()?;
    if Cursor::new(file, at.checked_add(4)?).le32("sh_type").ok()? == NOBITS {
        return None;
    }
    let mut place = Cursor::new(file, at.checked_add(if wide { 24 } else { 16 })?);
    let (offset, size) = if wide {
        (place.le64("sh_offset").ok()?, place.le64("sh_size").ok()?)
    } else {
        let offset = place.le32("sh_offset").ok()?;
        (offset.into(), place.le32("sh_size").ok()?.into())
    };
    offset.checked_add(size)
}
