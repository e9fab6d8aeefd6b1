//! An image of Windows, put back from where the loader mapped it into the shape of its file.
//!
//! What is written is what is in memory: addresses that the loader relocated, data that the program changed.

use std::ops::Range;
use std::path::Path;

use osier_memory::VirtAddr;

use super::image::{Image, Read, Section};
use super::sink::Sink;
use super::{DumpError, Dumped};

/// Writes what stands at addresses.
pub(super) type Write<'a> =
    dyn FnMut(Range<u64>, &mut Sink<'_>, &mut Dumped) -> Result<(), DumpError> + 'a;

/// A part of the file.
struct Part {
    /// Where it is in the file, and where in memory from the base on.
    offset: u64,
    place: u64,
    bytes: u64,
}

/// Writes the file of the image that is mapped at `base` and called `name` to `out`. What is not in memory is a hole,
/// told by its offset in the file.
pub(super) fn file(
    read: &Read<'_>,
    write: &mut Write<'_>,
    base: VirtAddr,
    name: &[u8],
    out: &Path,
) -> Result<Dumped, DumpError> {
    let image = Image::read(read, base).map_err(|absent| {
        DumpError::Absent(format!(
            "what its file looked like is not known, for the image's header cannot be read: {absent}"
        ))
    })?;
    let mut dumped = Dumped::default();
    let mut sink = Sink::create(out)?;
    for part in parts(&image) {
        // Where sections lie over each other in the file, the first one counts.
        let by = sink.at().saturating_sub(part.offset);
        let Some(bytes) = part.bytes.checked_sub(by).filter(|bytes| *bytes > 0) else {
            continue;
        };
        let gap = part.offset.saturating_sub(sink.at());
        sink.zeros(gap)?;
        let start = base.plus(part.place).plus(by).0;
        let offset = sink.at();
        let mut own = Dumped::default();
        write(start..start.saturating_add(bytes), &mut sink, &mut own)?;
        for lost in &own.lost {
            let at = offset.saturating_add(lost.start.saturating_sub(start));
            dumped.lose(VirtAddr(at), lost.bytes, name, &lost.why);
        }
        dumped.memory = dumped.memory.saturating_add(own.memory);
        dumped.ends.join(own.ends);
    }
    dumped.bytes = sink.finish()?;
    Ok(dumped)
}

/// The parts of the file, by offset: its headers, and of each section what the file has and memory keeps.
fn parts(image: &Image) -> Vec<Part> {
    /// Sections begin at multiples of it in a file, whatever their headers say.
    const SECTOR: u32 = 0x200;
    let end = |section: &Section| {
        let bytes = section.virtual_size.get();
        // What stands behind the section's end in its last page came out of the file, too.
        bytes.checked_next_multiple_of(0x1000).unwrap_or(bytes)
    };
    let headers = Part {
        offset: 0,
        place: 0,
        bytes: image.header_bytes.into(),
    };
    let mut parts = vec![headers];
    for section in &image.sections {
        let place = section.virtual_address.get();
        let room = image.bytes.saturating_sub(place);
        let bytes = match section.virtual_size.get() {
            0 => section.size_of_raw_data.get(),
            _ => section.size_of_raw_data.get().min(end(section)),
        };
        let offset = section.pointer_to_raw_data.get();
        parts.push(Part {
            offset: offset.saturating_sub(offset % SECTOR).into(),
            place: place.into(),
            bytes: bytes.min(room).into(),
        });
    }
    parts.retain(|part| part.bytes > 0);
    parts.sort_by_key(|part| part.offset);
    parts
}
