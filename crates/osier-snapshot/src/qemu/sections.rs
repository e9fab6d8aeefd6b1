//! The stream's sections, from its magic to its description.

use std::path::Path;
use std::sync::Arc;

use osier_memory::{CpuState, Hint};
use serde_json::Value;

use super::cache::{self, Fingerprint};
use super::cpu;
use super::memory::{Places, StreamBlock, StreamMemory};
use super::ram::{Ram, Window, cache_name};
use crate::bytes::Cursor;
use crate::error::Malformed;
use crate::map::FileMap;

const MAGIC: &[u8] = b"QEVM\0\0\0\x03";
const EOF: u8 = 0x00;
const START: u8 = 0x01;
const PART: u8 = 0x02;
const END: u8 = 0x03;
const FULL: u8 = 0x04;
const SUBSECTION: u8 = 0x05;
const VMDESCRIPTION: u8 = 0x06;
const CONFIGURATION: u8 = 0x07;
const FOOTER: u8 = 0x7e;

/// A stream, read.
pub(crate) struct Stream {
    pub(crate) memory: StreamMemory,
    pub(crate) cpus: Vec<CpuState>,
    pub(crate) hints: Vec<Hint>,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) anomalies: Vec<String>,
}

/// Whether the file starts as a stream does.
pub(crate) fn recognise(data: &[u8]) -> bool {
    data.starts_with(b"QEVM")
}

/// Reads the stream in `map`. The index of its pages is taken from and kept in `index_dir`.
pub(crate) fn read(
    map: FileMap,
    path: &Path,
    index_dir: Option<&Path>,
    split: Option<u64>,
) -> Result<Stream, Malformed> {
    if !map.starts_with(MAGIC) {
        return Err(Malformed::new(4, "the stream's version is not 3"));
    }
    let mut facts = Vec::new();
    let mut anomalies = Vec::new();
    let mut at = Window::new(&map, MAGIC.len() as u64);
    let machine_type = configuration(&map, &mut at)?;
    let cached = index_dir.map(|dir| dir.join(cache_name(path)));
    let stream = Fingerprint::of(path, &map);
    let known = cached
        .as_deref()
        .zip(stream)
        .and_then(|(file, stream)| cache::load(file, stream));
    let (blocks, after_ram, counts) = if let Some(index) = known {
        let counts = [index.raw_pages, index.fill_pages, index.repeated];
        let places = Arc::new(index.map);
        let blocks = index.blocks.into_iter().map(|block| StreamBlock {
            name: block.name,
            bytes: block.bytes,
            places: Places::Cached {
                map: places.clone(),
                at: block.places,
            },
        });
        (blocks.collect::<Vec<_>>(), index.after_ram, counts)
    } else {
        let (ram, after_ram) = ram_sections(&map, &mut at)?;
        if let (Some(file), Some(stream)) = (&cached, stream) {
            cache::save(file, stream, &ram, after_ram);
        }
        let counts = [ram.raw_pages, ram.fill_pages, ram.repeated];
        let blocks = ram.blocks.into_iter().map(|block| StreamBlock {
            name: block.name,
            bytes: block.bytes,
            places: Places::Owned(block.pages),
        });
        (blocks.collect(), after_ram, counts)
    };
    let [raw_pages, fill_pages, repeated] = counts;
    let vmdesc = description(&map, after_ram);
    let (cpus, end) = processors(&map, after_ram, vmdesc.as_ref(), &mut anomalies);
    if !machine_type.is_empty() {
        facts.push(("machine-type", machine_type.clone()));
    }
    let list = blocks.iter().map(|b| format!("{} {:#x}", b.name, b.bytes));
    facts.push(("ram-blocks", list.collect::<Vec<_>>().join(", ")));
    facts.push(("raw-pages", raw_pages.to_string()));
    facts.push(("fill-pages", fill_pages.to_string()));
    facts.push((
        "vmdesc",
        if vmdesc.is_some() { "yes" } else { "no" }.to_owned(),
    ));
    if repeated > 0 {
        anomalies.push(format!(
            "{repeated} pages are sent more than once; the last counts"
        ));
    }
    if let Some(end) = end
        && end < map.len() as u64
    {
        let extra = (map.len() as u64).saturating_sub(end);
        anomalies.push(format!(
            "{extra} bytes follow the stream's end and are not part of it"
        ));
    }
    let hints = vec![Hint::MachineType(machine_type.clone())];
    let memory = StreamMemory::new(map, blocks, &machine_type, split);
    Ok(Stream {
        memory,
        cpus,
        hints,
        facts,
        anomalies,
    })
}

/// Passes the configuration section, when there is one; returns the machine type.
fn configuration(map: &FileMap, at: &mut Window<'_>) -> Result<String, Malformed> {
    let mut cursor = Cursor::new(map, at.offset());
    if cursor.peek() != Some(CONFIGURATION) {
        return Ok(String::new());
    }
    cursor.skip(1, "the configuration section")?;
    let len = cursor.be32("the machine type's length")? as usize;
    let name = cursor.take(len, "the machine type")?;
    let name: String = name.iter().map(|&byte| char::from(byte)).collect();
    if cursor.peek() == Some(SUBSECTION) {
        // Subsections of the configuration carry no length; the ram section follows them.
        let from = usize::try_from(cursor.offset()).unwrap_or(usize::MAX);
        let near = map
            .get(from..map.len().min(from.saturating_add(4096)))
            .unwrap_or_default();
        let start = near
            .windows(9)
            .position(|w| matches!(w, [START, _, _, _, _, 3, b'r', b'a', b'm']));
        let problem = "no ram section within 4 KiB of the configuration section";
        let start = start.ok_or_else(|| Malformed::new(cursor.offset(), problem))?;
        cursor.skip(start, "the configuration's subsections")?;
    }
    let passed = cursor.offset().saturating_sub(at.offset());
    at.skip(passed);
    Ok(name)
}

/// Reads all `ram` sections; returns the offset after the last.
fn ram_sections(map: &FileMap, at: &mut Window<'_>) -> Result<(Ram, u64), Malformed> {
    let file_bytes = map.len() as u64;
    let mut ram = Ram::default();
    let mut ram_id = None;
    loop {
        let offset = at.offset();
        let kind = at.u8("a section's type")?;
        if kind == FOOTER {
            at.be32("a section's footer")?;
            continue;
        }
        if !matches!(kind, START | PART | END) {
            if ram_id.is_none() {
                let problem = format!("section type {kind:#x} before any ram section");
                return Err(Malformed::new(offset, problem));
            }
            return Ok((ram, offset));
        }
        let id = at.be32("a section's id")?;
        if kind == START {
            let name = at.name("a section's name")?;
            at.be32("a section's instance")?;
            let version = at.be32("a section's version")?;
            if name != "ram" {
                let problem = format!("section {name:?} is sent in parts, which only ram is here");
                return Err(Malformed::new(offset, problem));
            }
            if version != 4 {
                let problem = format!("ram section version {version}, not 4");
                return Err(Malformed::new(offset, problem));
            }
            ram_id = Some(id);
        } else if ram_id != Some(id) {
            return Err(Malformed::new(
                offset,
                format!("section {id} goes on but never began"),
            ));
        }
        ram.payload(at, file_bytes)?;
        if kind == END {
            let mut footer = Cursor::new(map, at.offset());
            if footer.peek() == Some(FOOTER) {
                footer.skip(5, "a section's footer")?;
            }
            return Ok((ram, footer.offset()));
        }
    }
}

/// The stream's description of itself, at its end.
fn description(map: &FileMap, after_ram: u64) -> Option<Value> {
    let tail = map.get(usize::try_from(after_ram).ok()?..)?;
    // The text starts with the page size; its length stands before it.
    let finder = [&b"{\"page_size\""[..], &b"{ \"page_size\""[..]];
    let (text, start) = finder.iter().find_map(|text| {
        let start = tail.windows(text.len()).rposition(|w| w == *text)?;
        Some((text, start))
    })?;
    debug_assert!(!text.is_empty());
    let header = tail.get(start.checked_sub(5)?..start)?;
    let [VMDESCRIPTION, len @ ..] = header else {
        return None;
    };
    let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
    serde_json::from_slice(tail.get(start..start.checked_add(len)?)?).ok()
}

/// Finds and reads the `cpu` sections; returns the stream's end too, when it is plain.
fn processors(
    map: &FileMap,
    after_ram: u64,
    vmdesc: Option<&Value>,
    anomalies: &mut Vec<String>,
) -> (Vec<CpuState>, Option<u64>) {
    const HEADER: usize = 17; // type, id, "cpu" with its length, instance, version
    let from = usize::try_from(after_ram).unwrap_or(usize::MAX);
    let tail = map.get(from..).unwrap_or_default();
    let described = vmdesc.and_then(cpu::Layout::described);
    let mut cpus: Vec<CpuState> = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = tail.get(at..)
        && let Some(hit) = rest.windows(HEADER).position(|w| {
            matches!(
                w,
                [
                    FULL,
                    _,
                    _,
                    _,
                    _,
                    3,
                    b'c',
                    b'p',
                    b'u',
                    0,
                    0,
                    _,
                    _,
                    0,
                    0,
                    0,
                    3..=64
                ]
            )
        })
    {
        let start = at.saturating_add(hit);
        at = start.saturating_add(HEADER);
        let payload = after_ram.saturating_add(at as u64);
        let mut header = Cursor::new(
            map,
            after_ram.saturating_add(start as u64).saturating_add(9),
        );
        let Ok(instance) = header.be32("the processor's index") else {
            break;
        };
        let layout = described.clone().or_else(|| cpu::guess(map, payload));
        let Some(layout) = layout else { continue };
        match cpu::read(map, payload, &layout, instance) {
            Ok(state) if state.index as usize == cpus.len() => {
                cpus.push(state);
                at = at.saturating_add(0x521);
            }
            Ok(_) => {}
            Err(fault) => {
                anomalies.push(format!(
                    "cpu section at {:#x}: {}",
                    fault.offset, fault.problem
                ));
            }
        }
    }
    if cpus.is_empty() {
        anomalies.push("the stream holds no cpu section".to_owned());
    }
    let end = vmdesc.and_then(|_| {
        let tail_start = tail.windows(11).rposition(|w| w == b"\"page_size\"")?;
        let brace = tail.get(..tail_start)?.iter().rposition(|&b| b == b'{')?;
        let len = tail.get(brace.checked_sub(4)?..brace)?;
        let len = u64::from(u32::from_be_bytes(len.try_into().ok()?));
        after_ram.checked_add(brace as u64)?.checked_add(len)
    });
    let _ = EOF;
    (cpus, end)
}
