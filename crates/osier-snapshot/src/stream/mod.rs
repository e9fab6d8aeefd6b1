//! QEMU's migration stream, version 3: `migrate`, `savevm`, and PANDA's `NAME-rr-snp`.
//!
//! An index pass over the `ram` sections notes where each page's bytes lie; after it, reads borrow
//! from the map. The `cpu` sections are decoded through the stream's own description (vmdesc) when
//! there is one, else by the fixed layouts of version 12. Byte tables are in `docs/formats.md`.
//!
//! Sources: QEMU `migration/savevm.c`, `migration/ram.c`, `target/i386/machine.c` (2.9.1 and 7.2);
//! PANDA `panda/src/rr/rr_log.c`.

mod cpu;
mod devices;
mod index;
mod mapped;
mod memory;
mod ram;
mod reader;
mod vmdesc;
mod xbzrle;

use std::path::Path;
use std::sync::Arc;

use osier_memory::{CpuState, Hint, Machine, PhysAddr, PhysRun};

use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::error::{Malformed, OpenError};
use crate::format::Format;
use crate::map::Map;
use crate::open::{Input, OpenOptions, Snapshot, SnapshotInfo};
use crate::panda;
use memory::{Entries, Placed, StreamMemory};
use ram::{Block, PAGE};
use xbzrle::Delta;

pub(crate) use reader::MAGIC;

/// A stream's contents, apart from its pages. This is what an index file keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The machine type of the configuration section.
    pub(crate) machine: Option<String>,
    /// The capabilities that the configuration section names.
    pub(crate) capabilities: Vec<String>,
    /// The RAM blocks, in the order of the list.
    pub(crate) blocks: Vec<Block>,
    /// Names of the sections, in order, without repetitions of `ram`'s parts.
    pub(crate) sections: Vec<String>,
    /// Whether sections end in footers.
    pub(crate) footers: bool,
    /// Number of `ram` parts.
    pub(crate) parts: u64,
    /// Pages sent raw, as fill, compressed, and once more than before.
    pub(crate) sent: ram::Sent,
    /// Pages sent as deltas, which the entries name by number.
    pub(crate) deltas: Vec<Delta>,
    /// The processors.
    pub(crate) cpus: Vec<CpuState>,
    /// Where the processors' fields were known from.
    pub(crate) cpu_layout: String,
    /// The length of the stream's description in bytes; 0 when it has none.
    pub(crate) vmdesc_bytes: u64,
    /// Oddities that were survived.
    pub(crate) anomalies: Vec<Anomaly>,
}

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
pub(crate) fn open_file(input: Input<'_>) -> Result<Snapshot, OpenError> {
    let Input { path, map, options } = input;
    let file_bytes = map.len();
    let cache = options.index_dir.as_deref().map(|dir| (dir, path));
    let stream = open(map, cache, options).map_err(|bad| bad.in_file(path))?;
    let mut facts = stream.facts;
    if let Some(count) = panda::instructions(path) {
        facts.push(("recorded instructions", count.to_string()));
    }
    Ok(Snapshot {
        machine: stream.machine,
        info: SnapshotInfo {
            format: Format::QemuStream,
            file: path.to_owned(),
            file_bytes,
            facts,
            anomalies: stream.anomalies,
            ram: stream.ram,
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
}

/// Opens the stream in `map`, which came out of something else. No index is kept. Offsets in errors
/// are those of the stream.
///
/// # Errors
///
/// The stream contradicts itself, with the offset.
pub(crate) fn open_inside(
    map: Map,
    around: Around<'_>,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let path = around.path;
    if !map.bytes().starts_with(MAGIC) {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!(
                "a {} file whose machine state is no QEMU stream",
                around.format.name()
            ),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    let stream = open(map, None, options).map_err(|bad| bad.in_file(path))?;
    let mut facts = around.facts;
    facts.extend(stream.facts);
    let mut anomalies = around.anomalies;
    anomalies.extend(stream.anomalies);
    Ok(Snapshot {
        machine: stream.machine,
        info: SnapshotInfo {
            format: around.format,
            file: path.to_owned(),
            file_bytes: around.file_bytes,
            facts,
            anomalies,
            ram: stream.ram,
        },
    })
}

/// Opens the stream in `map`. With `cache`, a folder and the stream's path, the index is taken from
/// there or left there.
pub(crate) fn open(
    map: Map,
    cache: Option<(&Path, &Path)>,
    options: &OpenOptions,
) -> Result<Stream, Malformed> {
    let cached = cache.and_then(|(dir, path)| index::Place::of(dir, path, &map));
    if let Some((contents, entries)) = cached.as_ref().and_then(index::Place::load) {
        return machine(map, contents, entries, options);
    }
    let (contents, entries) = reader::read(map.bytes(), &mut |range| map.release(range))?;
    if let Some(place) = &cached {
        place.save(&contents, &entries);
    }
    machine(map, contents, Entries::Owned(entries), options)
}

fn machine(
    map: Map,
    contents: Contents,
    entries: Entries,
    options: &OpenOptions,
) -> Result<Stream, Malformed> {
    let mut anomalies = contents.anomalies.clone();
    let main = main_block(&contents.blocks)?;
    if main.name != "pc.ram" {
        anomalies.push(Anomaly::bytes(format!(
            "the block {:?} is taken for the machine's RAM",
            main.name
        )));
    }
    let machine_type = contents.machine.as_deref();
    let below = options
        .ram_split
        .unwrap_or_else(|| crate::layout::below_4g(machine_type, main.bytes));
    let mut placed = Vec::new();
    let mut ram = Vec::new();
    for (start, len, offset) in crate::layout::stretches(main.bytes, below) {
        placed.push(Placed {
            start,
            len,
            first: main.first.saturating_add(offset / PAGE),
        });
        ram.push(PhysRun {
            start: PhysAddr(start),
            len,
        });
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
    }
    let facts = facts(&contents, main, below);
    if main.absent > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{} pages of {} are not in the stream",
            main.absent, main.name
        )));
    }
    let hints = contents
        .machine
        .into_iter()
        .map(Hint::MachineType)
        .collect();
    let cache = PageCache::new(options.cache_bytes);
    let gaps = main.absent > 0;
    let memory = StreamMemory::new(map, entries, contents.deltas, placed, gaps, cache);
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

/// The block that is the machine's RAM: `pc.ram`, or else the largest that is no device's.
fn main_block(blocks: &[Block]) -> Result<&Block, Malformed> {
    const DEVICES: &[&str] = &[
        "vram", ".rom", ".bios", "/rom@", "flash", "vga", "qxl", "virtio",
    ];
    let pc_ram = blocks.iter().find(|block| block.name == "pc.ram");
    let largest = || {
        blocks
            .iter()
            .filter(|block| !DEVICES.iter().any(|device| block.name.contains(device)))
            .max_by_key(|block| block.bytes)
    };
    pc_ram.or_else(largest).ok_or_else(|| {
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        Malformed::new(
            0,
            format!("a RAM block pc.ram among the blocks {}", names.join(", ")),
        )
    })
}

fn facts(contents: &Contents, main: &Block, below: u64) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(machine) = &contents.machine {
        facts.push(("machine type", machine.clone()));
    }
    if !contents.capabilities.is_empty() {
        facts.push(("capabilities", contents.capabilities.join(", ")));
    }
    facts.push(("RAM bytes", main.bytes.to_string()));
    facts.push(("RAM below 4 GiB", below.min(main.bytes).to_string()));
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
