//! What lies behind all that an ELF core's headers speak of.

use super::layout::{Header, Section};
use crate::anomaly::Anomaly;
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

/// Where what `header` describes ends besides segments: itself, the headers of so many `segments`, and the
/// sections.
pub(super) fn described(file: Look<'_>, wide: bool, header: &Header, segments: u64) -> u64 {
    let table = |start: u64, entry: u16, count: u64| {
        start.saturating_add(u64::from(entry).saturating_mul(count))
    };
    let programs = table(header.phoff, header.phentsize, segments);
    let mut end = programs.max(header.ehsize.into());
    if header.shoff > 0 {
        // The first header is there even when it only counts program headers.
        let count = u64::from(header.shnum);
        end = end.max(table(header.shoff, header.shentsize, count.max(1)));
        for number in 0..count {
            let at = table(header.shoff, header.shentsize, number);
            let section = Section::read(file, wide, at);
            end = end.max(section.and_then(|section| section.end()).unwrap_or(0));
        }
    }
    end
}
