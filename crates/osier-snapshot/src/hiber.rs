//! Windows hibernation files: `hiberfil.sys` of Windows XP to 11.
//!
//! A page of header (`PO_MEMORY_IMAGE`), the processor's state, and compressed memory in units of
//! at most 16 pages. Up to Windows 7 tables of page ranges stand before the units they describe
//! ([`tables`]); from Windows 8 on each unit has its ranges before it, in two sections ([`sets`]).
//! Units are decoded when one of their pages is read. What no range names was not saved: Windows
//! leaves out pages that it need not restore.
//!
//! Sources: `PO_MEMORY_IMAGE`, `_PO_HIBER_PERF` and `_KPROCESSOR_STATE` of Microsoft's kernel PDBs
//! for the offsets; Matthieu Suiche's `Hibr2Bin` and Volatility 2 for the tables; Sylve, Marziale and
//! Richard, "Modern Windows hibernation file analysis" (2017), and Volatility 3's and `LeechCore`'s
//! readers for the sets.

mod found;
mod header;
mod memory;
mod sets;
mod state;
mod tables;

use std::path::Path;
use std::sync::Arc;

use osier_memory::{Hint, Machine, PAGE_BYTES, PhysAddr};

use self::header::{Header, Layout};
use self::memory::HiberMemory;
use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::data::Data;
use crate::error::{Malformed, NotRead, OpenError};
use crate::format::Format;
use crate::look::Look;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};

/// What a hibernation file starts with: hibernated, resumed (its memory is outdated but there),
/// being resumed, and kept to be resumed time and again.
const SIGNATURES: [&[u8; 4]; 7] = [
    b"hibr", b"HIBR", b"wake", b"WAKE", b"rstr", b"RSTR", b"HORM",
];

/// Whether the file is a hibernation file.
pub(crate) fn recognises(head: Look<'_>) -> bool {
    SIGNATURES.iter().any(|known| head.starts_with(*known))
}

/// Opens a hibernation file.
///
/// # Errors
///
/// The header is cut short or of no known form, or no unit of memory is where it says.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let cache = PageCache::new(options.cache_bytes());
    let (machine, facts, anomalies) =
        parse(data.clone(), cache).map_err(|error| error.in_file(path))?;
    Ok(Snapshot {
        machine,
        info: SnapshotInfo::new(Format::Hibernation, path, file_bytes, facts, anomalies),
    })
}

type Parsed = (Machine, Vec<(&'static str, String)>, Vec<Anomaly>);

fn parse(data: Data, cache: PageCache<u32>) -> Result<Parsed, NotRead> {
    let file = data.look();
    let header = Header::parse(file)?;
    let (found, first) = match &header.layout {
        Layout::Sets(sections) => (sets::read(file, header.wide, sections), sections.boot),
        Layout::Tables { first, form } => (tables::read(file, *first, form), *first),
    };
    let first = first.saturating_mul(PAGE_BYTES);
    if found.units.is_empty() {
        return Err(Malformed::new(
            first.min(data.len()),
            format!(
                "compressed memory, the first of it at {first:#x}; a file of {:#x} bytes has none there",
                data.len()
            ),
        )
        .into());
    }
    let mut facts = header.facts;
    let mut anomalies = header.anomalies;
    facts.extend(found.facts);
    anomalies.extend(found.anomalies);
    let mut hints = Vec::new();
    let mut cpus = Vec::new();
    match state::read(file, header.wide) {
        Some(state) => {
            facts.push(("processor state", state.said));
            hints.push(Hint::TableRoot(PhysAddr(state.cr3)));
            cpus.extend(state.cpu);
        }
        None => anomalies.push(Anomaly::processors("no processor state behind the header")),
    }
    let (memory, twice) = HiberMemory::new(data, found.units, cache);
    facts.push(("pages of memory", memory.pages().to_string()));
    if twice > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{twice} pages of memory are held more than once"
        )));
    }
    let machine = Machine {
        memory: Arc::new(memory),
        cpus,
        hints,
    };
    Ok((machine, facts, anomalies))
}
