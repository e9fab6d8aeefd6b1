//! ELF cores of machines: QEMU's `dump-guest-memory`, and what others write in the same form.
//!
//! Guest-physical memory is what the `PT_LOAD` headers' `p_paddr` says; `p_vaddr` is not looked at,
//! so a dump made with paging reads the same as one without. Where headers overlap, the one that
//! starts lower counts; QEMU writes the same bytes in both.
//!
//! Sources: the ELF specification; QEMU 7.2 `dump/dump.c` and `target/i386/arch_dump.c`.

mod behind;
mod layout;
pub(crate) mod user_regs;
pub(crate) mod write;

use std::path::Path;
use std::sync::Arc;

use osier_memory::{Cause, CpuState, Hint, Machine};

use self::layout::{EM_386, EM_X86_64, ET_CORE, Header, Section, Segment};
use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::extent::{self, Extent};
use crate::flat::FlatMemory;
use crate::format::Format;
use crate::look::Look;
use crate::notes::{self, Notes};
use crate::paging_dump;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use crate::source::{self, Lost};
use crate::xen;

pub(crate) const MAGIC: &[u8] = b"\x7fELF";

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// `e_phnum` when the true count stands in the first section header's `sh_info`.
const PN_XNUM: u16 = 0xffff;
/// Bytes of the smaller class's header: no memory lies there.
const HEADER_BYTES: u64 = 52;
/// The most bytes of a segment of notes that are read; 4,096 processors have less.
const NOTES_MAX: usize = 64 << 20;

/// What an ELF core says.
struct ElfCore {
    extents: Vec<Extent>,
    /// Stretches that the writer left out: `p_memsz` beyond `p_filesz`.
    left_out: Vec<(u64, u64)>,
    /// Stretches that the snapshot lacked that the core was made from.
    lost: Vec<Lost>,
    cpus: Vec<CpuState>,
    hints: Vec<Hint>,
    facts: Vec<(&'static str, String)>,
    anomalies: Vec<Anomaly>,
}

/// Why an ELF file is not a machine's core.
enum NotACore {
    /// The file contradicts itself.
    Malformed(Malformed),
    /// It is an ELF file of another kind.
    Other(&'static str, &'static str),
}

impl From<Malformed> for NotACore {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Opens an ELF core.
///
/// # Errors
///
/// The file is another kind of ELF file, or contradicts itself.
pub(crate) fn open(
    path: &Path,
    data: &Data,
    _options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let core = parse(data.look()).map_err(|error| match error {
        NotACore::Malformed(malformed) => malformed.in_file(path),
        NotACore::Other(format, way_out) => OpenError::Unsupported {
            path: path.to_owned(),
            format,
            way_out,
        },
    })?;
    let file_bytes = data.len();
    let memory = FlatMemory::new(Bytes::File(data.clone()), core.extents, Cause::NotCaptured)
        .leaving_out(core.left_out)
        .lacking(core.lost);
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(memory),
            cpus: core.cpus,
            hints: core.hints,
        },
        info: SnapshotInfo::new(
            Format::ElfCore,
            path,
            file_bytes,
            core.facts,
            core.anomalies,
        ),
    })
}

/// Reads the headers and notes of `file`.
fn parse(file: Look<'_>) -> Result<ElfCore, NotACore> {
    let mut head = Cursor::new(file, MAGIC.len());
    let wide = match head.u8("the ELF class")? {
        1 => false,
        2 => true,
        _ => return Err(Malformed::new(4, "ELF class 1 or 2").into()),
    };
    if head.u8("the ELF byte order")? != 1 {
        return Err(NotACore::Other(
            "a big-endian ELF file",
            "only x86 machines are read",
        ));
    }
    let header = Header::read(file, wide);
    let header = header.ok_or_else(|| {
        let bytes = Header::bytes(wide);
        Malformed::ended(file.len() as u64, format!("the ELF header ({bytes} bytes)"))
    })?;
    let (kind, machine) = (header.kind, header.machine);
    if kind != ET_CORE {
        return Err(NotACore::Other(
            "an ELF program, library or object, not a core",
            "give the memory dump; a kernel's vmlinux goes to `osier profile import`",
        ));
    }
    if machine != EM_386 && machine != EM_X86_64 {
        return Err(NotACore::Other(
            "an ELF core of another processor than x86",
            "only i386 and x86-64 machines are read",
        ));
    }
    let segments = segments(file, wide, &header)?;
    let loads: Vec<&Segment> = segments.iter().filter(|s| s.kind == PT_LOAD).collect();
    let (loads, virtual_only): (Vec<&Segment>, Vec<&Segment>) =
        loads.into_iter().partition(|load| load.has_place(wide));
    if loads.len() > 1 && loads.iter().all(|load| load.paddr == 0) {
        return Err(NotACore::Other(
            "an ELF core of a process, without physical addresses",
            "give a dump of the machine's memory",
        ));
    }
    if loads.is_empty() {
        if let Some(core) = xen_core(file, wide)? {
            return Ok(core);
        }
        return Err(Malformed::new(16, "at least one LOAD program header").into());
    }
    let mut anomalies = Vec::new();
    let mut notes = Notes::default();
    for segment in segments.iter().filter(|s| s.kind == PT_NOTE) {
        let at = usize::try_from(segment.offset).unwrap_or(usize::MAX);
        let len = usize::try_from(segment.filesz).unwrap_or(usize::MAX);
        let bytes = file.some(at, len.min(NOTES_MAX));
        if len > bytes.len() {
            anomalies.push(Anomaly::processors("the file ends inside its notes"));
        }
        notes::parse(&bytes, segment.offset, &mut notes);
    }
    notes.compare();
    anomalies.append(&mut notes.anomalies);
    let cpus = notes.cpus(machine == EM_X86_64);
    let extents = extents(&loads, file.len() as u64, &mut anomalies);
    let extents = if notes.prstatus > 0 && cpus.len() == notes.prstatus {
        paging_dump::complete(extents, file, &mut anomalies)
    } else {
        extents
    };
    let taken = extents
        .iter()
        .map(|extent| extent.offset.saturating_add(extent.len));
    let held = segments.iter().map(Segment::end);
    let headers = behind::described(file, wide, &header, segments.len() as u64);
    let described = taken.chain(held).fold(headers, u64::max);
    anomalies.extend(behind::behind(file, described, MAGIC));
    let lost = std::mem::take(&mut notes.source.lost);
    let extents = source::without(extents, &lost);
    let captured = extents
        .iter()
        .fold(0_u64, |sum, e| sum.saturating_add(e.len));
    let mut facts = vec![
        ("ELF class", if wide { "64" } else { "32" }.to_owned()),
        (
            "ELF machine",
            if machine == EM_386 { "i386" } else { "x86-64" }.to_owned(),
        ),
        ("LOAD segments", loads.len().to_string()),
        ("captured bytes", captured.to_string()),
        ("notes", notes.names()),
    ];
    if cpus.is_empty() && notes.prstatus > 0 {
        facts.push(("processors", notes.without_control_registers()));
    }
    if let Some(core) = notes.vbox_core {
        facts.push(("VirtualBox", core.words()));
    }
    if !virtual_only.is_empty() {
        facts.push((
            "segments without a physical address",
            virtual_only.len().to_string(),
        ));
    }
    let left_out = loads
        .iter()
        .map(|load| {
            let start = load.paddr.saturating_add(load.filesz);
            (
                start,
                load.memsz
                    .saturating_sub(load.filesz)
                    .min(u64::MAX.wrapping_sub(start)),
            )
        })
        .collect();
    let hints = notes.vmcoreinfo.into_iter().map(Hint::Vmcoreinfo).collect();
    Ok(ElfCore {
        extents,
        left_out,
        lost,
        cpus,
        hints,
        facts,
        anomalies,
    })
}

/// The core of a Xen guest, when the file is one.
fn xen_core(file: Look<'_>, wide: bool) -> Result<Option<ElfCore>, Malformed> {
    let Some(core) = xen::read(file, wide)? else {
        return Ok(None);
    };
    let mut anomalies = core.anomalies;
    let (extents, twice) = extent::disjoint(core.extents);
    if twice > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{twice} bytes of memory are held more than once"
        )));
    }
    let captured = extents
        .iter()
        .fold(0_u64, |sum, extent| sum.saturating_add(extent.len));
    let guest = if core.paravirtualised {
        "paravirtualised"
    } else {
        "with page tables of its own"
    };
    Ok(Some(ElfCore {
        extents,
        left_out: Vec::new(),
        lost: Vec::new(),
        cpus: Vec::new(),
        hints: Vec::new(),
        facts: vec![
            ("ELF class", if wide { "64" } else { "32" }.to_owned()),
            ("Xen guest", guest.to_owned()),
            ("processors of the header", core.processors.to_string()),
            ("captured bytes", captured.to_string()),
        ],
        anomalies,
    }))
}

/// The program headers.
fn segments(file: Look<'_>, wide: bool, header: &Header) -> Result<Vec<Segment>, Malformed> {
    let entry = usize::from(header.phentsize);
    let least = Segment::bytes(wide);
    if entry < least && header.phnum > 0 {
        return Err(Malformed::new(
            if wide { 54 } else { 42 },
            format!("e_phentsize of at least {least}"),
        ));
    }
    let count = if header.phnum == PN_XNUM {
        let first = Section::read(file, wide, header.shoff);
        let expected = "the first section header, whose sh_info is the number of program headers";
        first
            .ok_or_else(|| Malformed::new(header.shoff, expected))?
            .info
    } else {
        u32::from(header.phnum)
    };
    let mut segments = Vec::new();
    let mut at = header.phoff;
    for _ in 0..count {
        let read = usize::try_from(at).ok();
        let read = read.and_then(|at| Segment::read(file, wide, at));
        segments.push(read.ok_or_else(|| Malformed::ended(at, "a program header"))?);
        at = at
            .checked_add(entry as u64)
            .ok_or_else(|| Malformed::new(at, "a program header"))?;
    }
    Ok(segments)
}

/// The stretches of memory that the file holds, sorted and disjoint.
fn extents(loads: &[&Segment], file_bytes: u64, anomalies: &mut Vec<Anomaly>) -> Vec<Extent> {
    let mut held: Vec<Extent> = Vec::with_capacity(loads.len());
    let mut short = 0_u64;
    let mut more = 0_u64;
    for load in loads {
        let left = file_bytes.saturating_sub(load.offset);
        short = short.saturating_add(load.filesz.saturating_sub(left));
        more = more.saturating_add(load.memsz.saturating_sub(load.filesz));
        let room = u64::MAX.wrapping_sub(load.paddr);
        held.push(Extent {
            start: load.paddr,
            len: load.filesz.min(room),
            offset: load.offset,
        });
    }
    if short > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "the file is cut short: {short} bytes of its LOAD segments are missing"
        )));
    }
    if more > 0 {
        anomalies.push(Anomaly::harmless(format!(
            "{more} bytes of memory were left out by the writer (p_memsz over p_filesz)"
        )));
    }
    let (extents, twice) = extent::disjoint(held);
    if twice > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{twice} bytes of memory are held more than once"
        )));
    }
    let claimed = extent::claimed_twice(&extents);
    if claimed > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "{claimed} bytes of the file stand for more than one place of memory"
        )));
    }
    if extents.iter().any(|extent| extent.offset < HEADER_BYTES) {
        anomalies.push(Anomaly::bytes("a LOAD segment holds the ELF header"));
    }
    extents
}
