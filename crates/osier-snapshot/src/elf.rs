//! ELF cores of physical memory: QEMU's `dump-guest-memory`, and what Osier distils.
//!
//! Sources: the ELF specification; QEMU's `dump/dump.c` and `target/i386/arch_dump.c` (the `QEMU`
//! note holds a `QEMUCPUState`, version 1).

use osier_memory::{CpuState, Hint, PhysAddr, PhysRun, Segment};

use crate::bytes::Cursor;
use crate::error::Malformed;
use crate::raw::Extent;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const ET_CORE: u16 = 4;
const PN_XNUM: u16 = 0xffff;
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;

/// What an ELF core's headers say.
pub(crate) struct ElfCore {
    pub(crate) extents: Vec<Extent>,
    pub(crate) uncaptured: Vec<PhysRun>,
    pub(crate) cpus: Vec<CpuState>,
    pub(crate) hints: Vec<Hint>,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) anomalies: Vec<String>,
}

/// Whether the file starts as an ELF core does.
pub(crate) fn recognise(data: &[u8]) -> bool {
    data.starts_with(b"\x7fELF")
}

struct Segment64 {
    kind: u32,
    offset: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
}

fn program_header(at: &mut Cursor<'_>, wide: bool) -> Result<Segment64, Malformed> {
    let what = "a program header";
    let kind = at.le32(what)?;
    if wide {
        at.le32(what)?; // flags
        let offset = at.le64(what)?;
        at.le64(what)?; // vaddr
        let paddr = at.le64(what)?;
        let (filesz, memsz) = (at.le64(what)?, at.le64(what)?);
        at.le64(what)?; // align
        Ok(Segment64 {
            kind,
            offset,
            paddr,
            filesz,
            memsz,
        })
    } else {
        let offset = u64::from(at.le32(what)?);
        at.le32(what)?; // vaddr
        let paddr = u64::from(at.le32(what)?);
        let (filesz, memsz) = (u64::from(at.le32(what)?), u64::from(at.le32(what)?));
        at.le32(what)?; // flags
        at.le32(what)?; // align
        Ok(Segment64 {
            kind,
            offset,
            paddr,
            filesz,
            memsz,
        })
    }
}

/// Reads the headers and notes.
pub(crate) fn read(data: &[u8]) -> Result<ElfCore, Malformed> {
    let mut at = Cursor::new(data, 4);
    let wide = match at.u8("the ELF class")? {
        1 => false,
        2 => true,
        class => {
            return Err(Malformed::new(
                4,
                format!("ELF class {class} is neither 1 nor 2"),
            ));
        }
    };
    if at.u8("the ELF data encoding")? != 1 {
        return Err(Malformed::new(
            5,
            "a big-endian ELF file is no x86 machine's core",
        ));
    }
    let mut at = Cursor::new(data, 16);
    let kind = at.le16("the ELF type")?;
    let machine = at.le16("the ELF machine")?;
    if kind != ET_CORE {
        return Err(Malformed::new(
            16,
            format!("ELF type {kind} is not a core (4); a vmlinux goes to osier profile import"),
        ));
    }
    at.le32("the ELF version")?;
    let (phoff, shoff) = if wide {
        at.le64("e_entry")?;
        (at.le64("e_phoff")?, at.le64("e_shoff")?)
    } else {
        at.le32("e_entry")?;
        (
            u64::from(at.le32("e_phoff")?),
            u64::from(at.le32("e_shoff")?),
        )
    };
    at.le32("e_flags")?;
    at.le16("e_ehsize")?;
    let phentsize = at.le16("e_phentsize")?;
    let phnum = at.le16("e_phnum")?;
    let wanted = if wide { 56 } else { 32 };
    if u64::from(phentsize) < wanted {
        return Err(Malformed::new(
            at.offset(),
            format!("program headers of {phentsize} bytes"),
        ));
    }
    let mut count = u64::from(phnum);
    if phnum == PN_XNUM {
        // sh_info of section 0 holds the count.
        let info = shoff.saturating_add(if wide { 44 } else { 28 });
        count = u64::from(Cursor::new(data, info).le32("the count of program headers")?);
    }
    let mut core = ElfCore {
        extents: Vec::new(),
        uncaptured: Vec::new(),
        cpus: Vec::new(),
        hints: Vec::new(),
        facts: Vec::new(),
        anomalies: Vec::new(),
    };
    let mut notes = Vec::new();
    for index in 0..count {
        let here = phoff.saturating_add(index.saturating_mul(u64::from(phentsize)));
        let header = program_header(&mut Cursor::new(data, here), wide)?;
        match header.kind {
            PT_LOAD => load(&mut core, &header, data.len() as u64),
            PT_NOTE => notes.push(header),
            _ => {}
        }
    }
    if core.extents.is_empty() {
        return Err(Malformed::new(phoff, "no program header holds memory"));
    }
    let mut prstatus = 0_u32;
    for note in notes {
        if let Err(fault) = read_notes(&mut core, data, &note, wide, machine, &mut prstatus) {
            core.anomalies
                .push(format!("notes at {:#x}: {}", fault.offset, fault.problem));
        }
    }
    if core.cpus.len() == prstatus as usize && prstatus > 0 {
        complete_qemu_dump(&mut core, data);
    }
    core.facts
        .push(("elf-class", if wide { "64" } else { "32" }.to_owned()));
    let machine_name = match machine {
        EM_386 => "i386".to_owned(),
        EM_X86_64 => "x86-64".to_owned(),
        other => format!("{other}"),
    };
    core.facts.push(("elf-machine", machine_name));
    core.facts
        .push(("segments", core.extents.len().to_string()));
    core.facts.push(("prstatus-notes", prstatus.to_string()));
    Ok(core)
}

fn load(core: &mut ElfCore, header: &Segment64, file_bytes: u64) {
    let held = header.filesz.min(header.memsz);
    let available = file_bytes.saturating_sub(header.offset).min(held);
    if available < held {
        core.anomalies.push(format!(
            "the segment at physical {:#x} promises {held:#x} bytes from file offset {:#x}; the \
             file ends after {available:#x} of them",
            header.paddr, header.offset
        ));
    }
    if header.paddr.checked_add(header.memsz).is_none() {
        core.anomalies
            .push(format!("a segment at physical {:#x} wraps", header.paddr));
        return;
    }
    core.extents.push(Extent {
        start: PhysAddr(header.paddr),
        len: available,
        offset: header.offset,
    });
    if header.memsz > available {
        core.uncaptured.push(PhysRun {
            start: PhysAddr(header.paddr.saturating_add(available)),
            len: header.memsz.saturating_sub(available),
        });
    }
}

/// Adds the RAM that a dump with `paging=true` holds but does not head.
///
/// QEMU then writes a program header for each mapping of the page tables it could walk, but the
/// contents of all RAM, one block after another (`dump/dump.c`, `dump_iterate`). When every header
/// puts its bytes at one distance from their physical address, the bytes between are the RAM
/// between. The RAM ends where whole MiB leave a BIOS with a reset vector as the rest.
fn complete_qemu_dump(core: &mut ElfCore, data: &[u8]) {
    const MIB: u64 = 1 << 20;
    const RESET_VECTOR: [u8; 5] = [0xea, 0x5b, 0xe0, 0x00, 0xf0];
    let Some(first) = core.extents.first() else {
        return;
    };
    let Some(shift) = first.offset.checked_sub(first.start.0) else {
        return;
    };
    let same = |e: &Extent| e.offset.checked_sub(e.start.0) == Some(shift);
    if core.extents.len() < 2 || !core.extents.iter().all(same) {
        return;
    }
    let held: u64 = core
        .extents
        .iter()
        .map(|e| e.len)
        .fold(0, u64::saturating_add);
    let written = (data.len() as u64).saturating_sub(shift) & !(osier_memory::PAGE_BYTES - 1);
    let bios = [0x2_0000_u64, 0x4_0000, 0x8_0000, 0x10_0000]
        .into_iter()
        .find(|&bios| {
            let vector = shift.saturating_add(written).saturating_sub(16) as usize;
            written.saturating_sub(bios).is_multiple_of(MIB)
                && data
                    .get(vector..)
                    .is_some_and(|rest| rest.starts_with(&RESET_VECTOR))
        });
    let last = core
        .extents
        .iter()
        .map(|e| e.start.0.saturating_add(e.len))
        .max()
        .unwrap_or(0);
    let ram = bios
        .map_or(last, |bios| written.saturating_sub(bios))
        .max(last)
        .min(written);
    if ram <= held {
        return;
    }
    core.anomalies.push(format!(
        "the program headers name {held:#x} bytes of RAM; the file holds {ram:#x}, which were taken"
    ));
    core.extents = vec![Extent {
        start: PhysAddr(0),
        len: ram,
        offset: shift,
    }];
    if let Some(bios) = bios {
        core.extents.push(Extent {
            start: PhysAddr((1_u64 << 32).saturating_sub(bios)),
            len: bios,
            offset: shift.saturating_add(ram),
        });
    }
}

fn read_notes(
    core: &mut ElfCore,
    data: &[u8],
    header: &Segment64,
    wide: bool,
    machine: u16,
    prstatus: &mut u32,
) -> Result<(), Malformed> {
    const NT_PRSTATUS: u32 = 1;
    let mut at = Cursor::new(data, header.offset);
    let end = header.offset.saturating_add(header.filesz);
    while at.offset().saturating_add(12) <= end {
        let name_len = at.le32("a note")? as usize;
        let desc_len = at.le32("a note")? as usize;
        let kind = at.le32("a note")?;
        let name = at.take(name_len, "a note's name")?;
        pad(&mut at, name_len)?;
        let desc_at = at.offset();
        let desc = at.take(desc_len, "a note's contents")?;
        pad(&mut at, desc_len)?;
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        match name {
            b"QEMU" => {
                let index = u32::try_from(core.cpus.len()).unwrap_or(u32::MAX);
                match qemu_cpu(desc, desc_at, index, wide && machine == EM_X86_64) {
                    Ok(cpu) => core.cpus.push(cpu),
                    Err(fault) => core.anomalies.push(fault.problem),
                }
            }
            b"CORE" if kind == NT_PRSTATUS => *prstatus = prstatus.saturating_add(1),
            b"VMCOREINFO" => core.hints.push(Hint::Vmcoreinfo(desc.to_vec())),
            _ => {}
        }
    }
    Ok(())
}

fn pad(at: &mut Cursor<'_>, len: usize) -> Result<(), Malformed> {
    let padding = len.wrapping_neg() & 3;
    at.skip(padding.min(at.left()), "a note's padding")
}

/// A `QEMUCPUState`: version, size, 18 registers, ten segments, CR0 to CR4, kernel GS base.
fn qemu_cpu(
    desc: &[u8],
    file_at: u64,
    index: u32,
    long_guest: bool,
) -> Result<CpuState, Malformed> {
    let what = "a QEMU CPU note";
    let mut at = Cursor::new(desc, 0);
    let fault = |m: Malformed| Malformed::new(file_at.saturating_add(m.offset), m.problem);
    let version = at.le32(what).map_err(fault)?;
    let size = at.le32(what).map_err(fault)?;
    if version != 1 {
        return Err(Malformed::new(
            file_at,
            format!("QEMU CPU note version {version} is unknown"),
        ));
    }
    let mut next = || at.le64(what).map_err(fault);
    let [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp] = [
        next()?,
        next()?,
        next()?,
        next()?,
        next()?,
        next()?,
        next()?,
        next()?,
    ];
    let mut general = [0; 16];
    for (slot, value) in general
        .iter_mut()
        .zip([rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi])
    {
        *slot = value;
    }
    for slot in general.iter_mut().skip(8) {
        *slot = next()?;
    }
    let (rip, rflags) = (next()?, next()?);
    let mut segment = || -> Result<Segment, Malformed> {
        let selector = at.le32(what).map_err(fault)?;
        let limit = at.le32(what).map_err(fault)?;
        let flags = at.le32(what).map_err(fault)?;
        at.le32(what).map_err(fault)?;
        let base = at.le64(what).map_err(fault)?;
        Ok(Segment {
            selector: selector as u16,
            base,
            limit,
            flags,
        })
    };
    let mut cpu = CpuState {
        index,
        general,
        rip,
        rflags,
        a20_mask: u64::MAX,
        ..Default::default()
    };
    let s = &mut cpu.segments;
    for slot in [
        &mut s.cs, &mut s.ds, &mut s.es, &mut s.fs, &mut s.gs, &mut s.ss, &mut s.ldt, &mut s.tr,
        &mut s.gdt, &mut s.idt,
    ] {
        *slot = segment()?;
    }
    cpu.cr0 = at.le64(what).map_err(fault)?;
    at.le64(what).map_err(fault)?; // CR1
    cpu.cr2 = at.le64(what).map_err(fault)?;
    cpu.cr3 = at.le64(what).map_err(fault)?;
    cpu.cr4 = at.le64(what).map_err(fault)?;
    if size as usize >= 432 && at.left() >= 8 {
        cpu.kernel_gs_base = Some(at.le64(what).map_err(fault)?);
    }
    cpu.cpl = (cpu.segments.cs.selector & 3) as u8;
    cpu.long_mode = Some(long_guest || cpu.segments.cs.flags & (1 << 21) != 0);
    Ok(cpu)
}
