//! QEMU's migration stream, version 3: `migrate`, `savevm`, and PANDA's `NAME-rr-snp`.
//!
//! An index pass over the `ram` sections notes where each page's bytes lie; after it, a page is copied
//! or decoded from there. The `cpu` sections are decoded through the stream's own description (vmdesc) when
//! there is one, else by the fixed layouts of version 12. Byte tables are in `docs/formats.md`.
//!
//! Sources: QEMU `migration/savevm.c`, `migration/ram.c`, `target/i386/machine.c` (2.9.1 and 7.2);
//! PANDA `panda/src/rr/rr_log.c`.

mod contents;
mod cpu;
mod devices;
mod index;
mod mapped;
mod marks;
mod memory;
mod pages;
mod place;
mod ram;
mod reader;
mod srat;
mod vmdesc;
mod xbzrle;

use std::path::Path;
use std::sync::Arc;

use osier_memory::{Cause, Hint, Machine, PhysRun};

use crate::anomaly::Anomaly;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::format::Format;
use crate::layout::{self, Kind};
use crate::recording;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use contents::{Broken, Contents};
use memory::{Causes, Entries, Pages, Placed, StreamMemory};
use pages::PAGE;
use place::{Clues, Places};

pub(crate) use reader::MAGIC;

/// The block with ACPI's tables, as the firmware is handed them.
const TABLES: &str = "/rom@etc/acpi/tables";

/// An opened stream.
pub(crate) struct Stream {
    pub(crate) machine: Machine,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) anomalies: Vec<Anomaly>,
    /// The main RAM block in block order.
    pub(crate) ram: Vec<PhysRun>,
}

/// Opens a stream in a file of its own.
///
/// # Errors
///
/// The stream contradicts itself, with the offset.
pub(crate) fn open_file(
    path: &Path,
    data: &Data,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let cache = options.index_dir.as_deref().map(|dir| (dir, path));
    let stream = open(data.clone(), cache, &[], options).map_err(|bad| bad.in_file(path))?;
    let mut facts = stream.facts;
    if let Some(count) = recording::instructions(path) {
        facts.push(("recorded instructions", count.to_string()));
    }
    Ok(Snapshot {
        machine: stream.machine,
        info: SnapshotInfo {
            ram: stream.ram,
            ..SnapshotInfo::new(
                Format::QemuStream,
                path,
                file_bytes,
                facts,
                stream.anomalies,
            )
        },
    })
}

/// What holds a stream, when it is no file of its own.
pub(crate) struct Around<'a> {
    pub(crate) path: &'a Path,
    pub(crate) format: Format,
    pub(crate) file_bytes: u64,
    /// What is said before the stream's own facts.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) anomalies: Vec<Anomaly>,
    /// Where memory was plugged in, by the blocks' names, when that is known.
    pub(crate) plugged: Vec<(String, u64)>,
}

/// Opens the stream in `map`, which came out of something else. No index is kept. Offsets in errors
/// are those of the stream.
///
/// # Errors
///
/// The stream contradicts itself, with the offset.
pub(crate) fn open_inside(
    data: &Data,
    around: Around<'_>,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let path = around.path;
    if !data.look().starts_with(MAGIC) {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!(
                "a {} file whose machine state is no QEMU stream",
                around.format.name()
            ),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    let stream = open(data.clone(), None, &around.plugged, options);
    data.whole(path)?;
    let stream = stream.map_err(|bad| bad.in_file(path))?;
    let mut facts = around.facts;
    facts.extend(stream.facts);
    let mut anomalies = around.anomalies;
    anomalies.extend(stream.anomalies);
    Ok(Snapshot {
        machine: stream.machine,
        info: SnapshotInfo {
            ram: stream.ram,
            scratch_bytes: data.scratch_bytes(),
            ..SnapshotInfo::new(around.format, path, around.file_bytes, facts, anomalies)
        },
    })
}

/// Opens the stream in `map`. With `cache`, a folder and the stream's path, the index is taken from
/// there or left there.
pub(crate) fn open(
    data: Data,
    cache: Option<(&Path, &Path)>,
    plugged: &[(String, u64)],
    options: &OpenOptions,
) -> Result<Stream, Malformed> {
    let cached = cache.and_then(|(dir, path)| index::IndexFile::of(dir, path, &data));
    if let Some((contents, entries)) = cached.as_ref().and_then(index::IndexFile::load) {
        return machine(data, contents, entries, plugged, options);
    }
    let (contents, entries) = reader::read(data.look())?;
    // What could not be read whole is not kept.
    if let Some(place) = cached
        .as_ref()
        .filter(|_| entries.len() as u64 <= data.len() && !data.has_lost())
    {
        place.save(&contents, &entries);
    }
    machine(data, contents, Entries::Owned(entries), plugged, options)
}

fn machine(
    data: Data,
    mut contents: Contents,
    entries: Entries,
    plugged: &[(String, u64)],
    options: &OpenOptions,
) -> Result<Stream, Malformed> {
    for block in &mut contents.blocks {
        let told = plugged.iter().find(|(name, _)| *name == block.name);
        block.plugged = told.map(|(_, start)| *start).or(block.plugged);
    }
    let mut anomalies = contents.anomalies.clone();
    let pages = Pages::new(
        data,
        entries,
        contents.deltas.clone(),
        options.cache_bytes(),
    );
    let ranges = affinities(&contents, &pages);
    let clues = Clues {
        kind: kind(&contents),
        clock: contents.clock,
        ranges: &ranges,
        whole: contents.broken.is_none() && contents.footers,
        told: options.ram_split,
    };
    let places = place::place(&contents.blocks, &clues).ok_or_else(|| {
        let names: Vec<&str> = contents.blocks.iter().map(|b| b.name.as_str()).collect();
        let expected = format!("a RAM block pc.ram among the blocks {}", names.join(", "));
        Malformed::new(0, expected)
    })?;
    anomalies.extend(places.anomalies.iter().cloned());
    let mapped = contents
        .capabilities
        .iter()
        .any(|name| name == "mapped-ram");
    let mut placed = Vec::new();
    let mut gaps = false;
    for piece in &places.pieces {
        placed.push(Placed {
            start: piece.start,
            len: piece.len,
            first: piece.block.first.saturating_add(piece.offset / PAGE),
        });
        gaps |= piece.block.absent > 0;
    }
    for block in &contents.blocks {
        // What virtio-mem lends no memory for is not sent.
        let wanted = places
            .pieces
            .iter()
            .any(|piece| std::ptr::eq(piece.block, block));
        if wanted && block.absent > 0 && !place::is_device(block) {
            anomalies.push(Anomaly::bytes(format!(
                "{} pages of {} are not in the stream",
                block.absent, block.name
            )));
        }
    }
    let bios = contents.blocks.iter().find(|block| block.name == "pc.bios");
    if let Some(bios) = bios
        && let Some(start) = crate::layout::FOUR_GIB.checked_sub(bios.bytes)
        && placed
            .iter()
            .all(|p| p.start.saturating_add(p.len) <= start || p.start > start)
    {
        placed.push(Placed {
            start,
            len: bios.bytes,
            first: bios.first,
        });
        gaps |= bios.absent > 0;
    }
    let facts = facts(&contents, &places);
    let hints = contents
        .machine
        .into_iter()
        .map(Hint::MachineType)
        .collect();
    let causes = Causes {
        absent: match contents.broken {
            Some(Broken { at, cut: true }) => Cause::FileShort { offset: at },
            _ => Cause::NotCaptured,
        },
        // With mapped-ram the pages of a block stand before the next block's name.
        outside: if places.unplaced || contents.broken.is_some() && mapped {
            Cause::NotCaptured
        } else {
            Cause::NoRam
        },
    };
    let ram = places.ram;
    let memory = StreamMemory::new(pages, placed, gaps, causes);
    Ok(Stream {
        machine: Machine {
            memory: Arc::new(memory),
            cpus: contents.cpus,
            hints,
        },
        facts,
        anomalies,
        ram,
    })
}

/// The entries of the SRAT, where something may depend on them.
fn affinities(contents: &Contents, pages: &Pages) -> Vec<srat::Affinity> {
    /// The most bytes of tables that are looked at.
    const MOST: u64 = 4 << 20;
    let candidates = place::candidates(&contents.blocks);
    let ram: u64 = candidates
        .iter()
        .map(|b| b.bytes)
        .fold(0, u64::saturating_add);
    let plain = candidates.len() == 1 && (contents.clock.is_some() || ram < 2 << 30);
    let mut blocks = contents.blocks.iter();
    match blocks.find(|block| block.name == TABLES) {
        Some(tables) if !plain || ram > layout::AMD_HOLE / 2 => {
            srat::find(&pages.block(tables, MOST))
        }
        _ => Vec::new(),
    }
}

/// What is known of the machine by names.
fn kind(contents: &Contents) -> Kind<'_> {
    let bridge = |name: &String| name.ends_with("/mch");
    Kind {
        machine: contents.machine.as_deref(),
        q35: contents.sections.iter().any(bridge),
        acpi: contents.blocks.iter().any(|block| block.name == TABLES),
    }
}

fn facts(contents: &Contents, places: &Places<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(machine) = &contents.machine {
        facts.push(("machine type", machine.clone()));
    }
    if !contents.capabilities.is_empty() {
        facts.push(("capabilities", contents.capabilities.join(", ")));
    }
    facts.push(("RAM bytes", places.ram_bytes.to_string()));
    facts.push(("RAM below 4 GiB", places.below.to_string()));
    if places.below < places.ram_bytes {
        facts.push(("RAM is divided by", places.said_by.to_owned()));
    }
    let pieces: Vec<String> = places
        .pieces
        .iter()
        .map(|piece| format!("{} at {:#x}", piece.block.name, piece.start))
        .collect();
    if places
        .pieces
        .iter()
        .any(|piece| piece.block.name != "pc.ram")
    {
        facts.push(("RAM lies", pieces.join(", ")));
    }
    let blocks: Vec<String> = contents
        .blocks
        .iter()
        .map(|block| format!("{} {}", block.name, block.bytes))
        .collect();
    facts.push(("RAM blocks", blocks.join(", ")));
    facts.push(("sections", contents.sections.join(", ")));
    facts.push(("RAM parts", contents.parts.to_string()));
    let sent = &contents.sent;
    facts.push((
        "pages sent",
        format!(
            "{} raw, {} fill, {} compressed, {} as deltas",
            sent.raw, sent.fill, sent.compressed, sent.delta
        ),
    ));
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    facts.push(("section footers", yes(contents.footers)));
    facts.push(("description", yes(contents.vmdesc_bytes > 0)));
    if !contents.cpu_layout.is_empty() {
        facts.push(("processor fields", contents.cpu_layout.clone()));
    }
    facts
}
