//! The stream's frame: magic, configuration, sections, end, description.

use super::contents::{Broken, Contents};
use super::devices::{self, Section};
use super::marks::{
    COMMAND, CONFIGURATION, END, FOOTER, FULL, PART, START, SUBSECTION, VMDESCRIPTION,
};
use super::pages::Block;
use super::place::Clock;
use super::ram::{self, Capabilities, Ram};
use super::{cpu, vmdesc};
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;

/// The first bytes of a stream.
pub(crate) const MAGIC: &[u8] = b"QEVM";

/// The most bytes of a section, and of a `virtio-mem` section, which has a bit for each of its units,
/// that are looked at.
const PAYLOAD: usize = 1 << 20;
const LENT: usize = 16 << 20;

/// Reads all of `file`; returns its contents and its page entries.
pub(crate) fn read(file: Look<'_>) -> Result<(Contents, Vec<u64>), Malformed> {
    let mut at = Cursor::new(file, MAGIC.len());
    let version = at.be32("the stream's version")?;
    if version != 3 {
        return Err(Malformed::new(
            4,
            format!("stream version 3, not {version}"),
        ));
    }
    let mut contents = Contents::default();
    let capabilities = configuration(&mut at, &mut contents)?;
    let mut ram = Ram::new(capabilities);
    let mut early = Vec::new();
    let read = ram_sections(&mut at, &mut contents, &mut ram, &mut early);
    ram.count_absent();
    if let Err(bad) = read {
        // What was read up to there is good, if it is anything.
        if ram.sent.none() {
            return Err(bad);
        }
        contents.broken = Some(broken(&bad, file, &ram, &mut contents.anomalies));
    }
    if ram.other_channels && !capabilities.mapped_ram && ram.blocks.iter().any(|b| b.absent > 0) {
        contents.anomalies.push(Anomaly::bytes("the stream was written with multifd: pages that it does not hold went over other channels"));
    }
    contents.blocks = ram.blocks;
    contents.deltas = ram.deltas;
    contents.sent = ram.sent;
    if ram.sent.repeated > 0 {
        contents.anomalies.push(Anomaly::harmless(format!(
            "{} pages are sent more than once; the last sending counts",
            ram.sent.repeated
        )));
    }
    let mut found = match contents.broken {
        None => devices::find(&mut at, contents.footers),
        Some(_) => devices::by_name(&at),
    };
    contents.anomalies.append(&mut found.anomalies);
    for section in &found.sections {
        if contents.sections.last() != Some(&section.name) {
            contents.sections.push(section.name.clone());
        }
    }
    let description = match found.end {
        Some(end) => {
            let cpus = found
                .sections
                .iter()
                .filter(|section| section.name == "cpu");
            let cpus: Vec<u32> = cpus.map(|section| section.instance).collect();
            description(file, end, &cpus, &mut contents)
        }
        None => None,
    };
    processors(file, &found.sections, description.as_ref(), &mut contents);
    early.append(&mut found.sections);
    memory_clues(file, &early, &mut contents);
    Ok((contents, ram.entries))
}

/// Takes the configuration section, when there is one.
fn configuration(at: &mut Cursor<'_>, contents: &mut Contents) -> Result<Capabilities, Malformed> {
    let mut capabilities = Capabilities::default();
    if at.peek() != Some(CONFIGURATION) {
        return Ok(capabilities);
    }
    at.u8("the configuration section")?;
    let start = at.at() as u64;
    let len = at.be32("the machine type's length")?;
    if len > 256 {
        return Err(Malformed::new(start, "a machine type of at most 256 bytes"));
    }
    let name = at.take(len as usize, "the machine type")?;
    let name = std::str::from_utf8(&name)
        .map_err(|_| Malformed::new(start, "a machine type of printable characters"))?;
    contents.machine = Some(name.to_owned());
    while at.peek() == Some(SUBSECTION) {
        let start = at.at() as u64;
        at.u8("a subsection")?;
        let name = ram::name(at, "a subsection's name")?;
        at.be32("a subsection's version")?;
        match name.as_str() {
            "configuration/target-page-bits" => {
                at.be32("the page bits")?;
            }
            "configuration/uuid" => {
                at.pass(16, "the machine's UUID")?;
            }
            "configuration/capabilities" => {
                let count = at.be32("the number of capabilities")?;
                for _ in 0..count {
                    let capability = ram::name(at, "a capability")?;
                    capabilities.mapped_ram |= capability == "mapped-ram";
                    capabilities.ignore_shared |= capability == "x-ignore-shared";
                    contents.capabilities.push(capability);
                }
            }
            _ => {
                return Err(Malformed::new(
                    start,
                    format!("a known part of the configuration, not {name:?}"),
                ));
            }
        }
    }
    Ok(capabilities)
}

/// Takes the sections from the first up to and with `ram`'s END; up to the devices where `ram` has
/// no END, as the capability `background-snapshot` writes it. Sections before RAM go to `early`.
fn ram_sections(
    at: &mut Cursor<'_>,
    contents: &mut Contents,
    ram: &mut Ram,
    early: &mut Vec<Section>,
) -> Result<(), Malformed> {
    let mut id = None;
    loop {
        let start = at.at() as u64;
        if at.peek() == Some(FULL) && id.is_some() {
            return Ok(());
        }
        match at.u8("a section")? {
            // Devices that are needed before RAM (`early_setup`).
            FULL => early.push(devices::pass(at, start)?),
            COMMAND => {
                at.be16("a command")?;
                let len = at.be16("a command's length")?;
                at.pass(usize::from(len), "a command's data")?;
            }
            START if id.is_none() => {
                let section = devices::header(at)?;
                if section.name != "ram" {
                    return Err(Malformed::new(
                        start,
                        format!("the section \"ram\", not {:?}", section.name),
                    ));
                }
                if section.version != 4 {
                    return Err(Malformed::new(
                        start,
                        format!("the section \"ram\" in version 4, not {}", section.version),
                    ));
                }
                id = Some(section.id);
                contents.sections.push(section.name);
                ram.payload(at)?;
                contents.footers = at.peek() == Some(FOOTER);
                footer(at, contents.footers, id)?;
            }
            kind @ (PART | END) => {
                let here = at.be32("a section's number")?;
                if Some(here) != id {
                    return Err(Malformed::new(start, "a part of the section \"ram\""));
                }
                ram.payload(at)?;
                footer(at, contents.footers, id)?;
                if kind == END {
                    return Ok(());
                }
                contents.parts = contents.parts.saturating_add(1);
            }
            kind => {
                return Err(Malformed::new(
                    start,
                    format!("a section of RAM, not the type {kind:#x}"),
                ));
            }
        }
    }
}

/// Says how far the stream could be read: up to `bad`.
fn broken(bad: &Malformed, file: Look<'_>, ram: &Ram, anomalies: &mut Vec<Anomaly>) -> Broken {
    let cut = bad.ended;
    let left: u64 = ram.blocks.iter().map(|block| block.absent).sum();
    anomalies.push(Anomaly::bytes(if cut {
        format!(
            "the stream is cut short: it ends at file offset {:#x} inside its RAM, before {left} pages",
            file.len()
        )
    } else {
        format!(
            "the stream is damaged: at file offset {:#x}: expected {}; nothing of its RAM is read behind \
             that, and {left} pages are missing",
            bad.offset, bad.expected
        )
    }));
    if ram.blocks.iter().map(|block| block.bytes).sum::<u64>() < ram.total {
        anomalies.push(Anomaly::bytes(format!(
            "of {} bytes of RAM blocks the list names {} blocks before it breaks off",
            ram.total,
            ram.blocks.len()
        )));
    }
    Broken {
        at: if cut { file.len() as u64 } else { bad.offset },
        cut,
    }
}

/// Takes from the sections what they say of where RAM lies.
fn memory_clues(file: Look<'_>, sections: &[Section], contents: &mut Contents) {
    for section in sections {
        if section.name == "mc146818rtc" {
            let cmos = file.get(section.payload.start, 128.min(section.payload.len()));
            let cmos = cmos.filter(|cmos| cmos.len() == 128);
            let clock = cmos.and_then(|cmos| Clock::read(&cmos));
            contents.clock = clock.or(contents.clock);
        }
        let Some((device, "virtio-mem" | "virtio-mem-device-early")) =
            section.name.rsplit_once('/')
        else {
            continue;
        };
        let of_device = |block: &&mut Block| {
            let name = block.name.strip_prefix(device);
            name.is_some_and(|name| name.starts_with('/'))
        };
        let payload = file.some(section.payload.start, LENT.min(section.payload.len()));
        for block in contents.blocks.iter_mut().filter(of_device) {
            let start = devices::lent(&payload, block.bytes);
            block.plugged = start.or(block.plugged).or(Some(0));
        }
    }
}

fn footer(at: &mut Cursor<'_>, footers: bool, id: Option<u32>) -> Result<(), Malformed> {
    if !footers {
        return Ok(());
    }
    let start = at.at() as u64;
    if at.u8("a section's footer")? != FOOTER || Some(at.be32("a section's footer")?) != id {
        return Err(Malformed::new(start, "the footer of the section \"ram\""));
    }
    Ok(())
}

/// Takes the description after the stream's end at `end`, and counts what follows. `cpus`: the
/// processors whose sections stand before it.
fn description(
    file: Look<'_>,
    end: usize,
    cpus: &[u32],
    contents: &mut Contents,
) -> Option<vmdesc::Description> {
    let mut at = Cursor::new(file, end);
    let mut found = None;
    if at.peek() == Some(VMDESCRIPTION) {
        let mut inside = at;
        let len = inside.u8("the description");
        let len = len.and_then(|_| inside.be32("the description's length"));
        let len = len.ok().and_then(|len| usize::try_from(len).ok());
        let text = len
            .filter(|len| *len <= vmdesc::MOST)
            .and_then(|len| inside.take(len, "the description").ok());
        found = text.as_deref().and_then(vmdesc::parse);
        match (&found, text) {
            (Some(_), Some(text)) => {
                contents.vmdesc_bytes = text.len() as u64;
                at = inside;
            }
            _ => contents.anomalies.push(Anomaly::processors(
                "the stream's description of itself cannot be read",
            )),
        }
    }
    let behind = devices::by_name(&at).sections;
    let mut behind = behind.iter().filter(|section| section.name == "cpu");
    let known = |section: &&Section| cpus.contains(&section.instance);
    if let Some(lost) = behind.find(|section| !known(section)) {
        contents.anomalies.push(Anomaly::processors(format!(
            "the section of processor {} lies behind the stream's end, which may be damage, and is not read",
            lost.instance
        )));
    }
    if file.has(at.at(), MAGIC) {
        contents.anomalies.push(Anomaly::harmless(format!(
            "another stream begins at file offset {:#x}: the first is read; cut the file there to read the other",
            at.at()
        )));
    } else if at.left() > 0 {
        contents.anomalies.push(Anomaly::harmless(format!(
            "{} bytes after the stream's end are ignored",
            at.left()
        )));
    }
    found
}

/// Decodes the `cpu` sections.
fn processors(
    file: Look<'_>,
    sections: &[Section],
    description: Option<&vmdesc::Description>,
    contents: &mut Contents,
) {
    for section in sections.iter().filter(|section| section.name == "cpu") {
        let payload = file.some(section.payload.start, PAYLOAD.min(section.payload.len()));
        let payload = &*payload;
        let index = section.instance;
        let fields = description.and_then(|d| d.cpu(index));
        let (fits, described) = match fields {
            Some(fields) => (
                cpu::ends(payload, fields.bytes, section.open_end),
                cpu::decode(payload, fields, index),
            ),
            None => (true, None),
        };
        let layout = cpu::fixed(payload, section.version, section.open_end);
        let fixed = layout.as_ref().and_then(|layout| {
            let bits = layout.word.saturating_mul(8);
            let from = format!("fixed layout of version 12, {bits}-bit");
            Some((cpu::decode(payload, layout, index)?, from))
        });
        let contradicted = match (&described, &fixed) {
            (Some(described), Some((fixed, _))) => described != fixed,
            _ => false,
        };
        if !fits || contradicted {
            contents.anomalies.push(Anomaly::processors(format!(
                "the state of processor {index} at file offset {:#x} is not as the stream describes it",
                section.payload.start
            )));
        }
        let described = described.filter(|_| fits && !contradicted);
        let described = described.map(|cpu| (cpu, "from the stream's description".to_owned()));
        let decoded = described.or(fixed);
        match decoded {
            Some((cpu, from)) => {
                const LMA: u64 = 1 << 10;
                let long = cpu.efer.map(|efer| efer & LMA != 0);
                if long.is_some_and(|long| cpu.long_mode != Some(long)) {
                    contents.anomalies.push(Anomaly::processors(format!(
                        "processor {index} is in long mode by one of hflags and EFER, and not by the other"
                    )));
                }
                if contents.cpus.iter().any(|known| known.index == cpu.index) {
                    contents.anomalies.push(Anomaly::processors(format!(
                        "processor {} is there twice; the first counts",
                        cpu.index
                    )));
                    continue;
                }
                contents.cpu_layout = from;
                contents.cpus.push(cpu);
            }
            None => contents.anomalies.push(Anomaly::processors(format!(
                "the cpu section of processor {} at file offset {:#x} has no known layout",
                section.instance, section.payload.start
            ))),
        }
    }
    // Who else names processors: the description, and the part of their state that is no register.
    let others = sections
        .iter()
        .filter(|section| section.name == "cpu_common");
    let others = others.map(|section| section.instance);
    let described = description.iter().flat_map(|d| d.processors());
    let mut named: Vec<u32> = described.chain(others).collect();
    named.sort_unstable();
    named.dedup();
    named.retain(|index| !contents.cpus.iter().any(|cpu| cpu.index == *index));
    for index in named {
        contents.anomalies.push(Anomaly::processors(format!(
            "processor {index} has no state that could be read"
        )));
    }
    contents.cpus.sort_by_key(|cpu| cpu.index);
    if contents.cpus.is_empty() {
        const NONE: &str = "the stream holds no processor state that could be read";
        let lost = contents.anomalies.iter().any(Anomaly::is_loss);
        contents.anomalies.push(if lost {
            Anomaly::processors(NONE)
        } else {
            Anomaly::harmless(NONE) // whole, and nothing speaks of processors
        });
    }
}
