//! Writes an ELF core of physical memory, as QEMU's `dump-guest-memory` does.
//!
//! Sources: the ELF specification; QEMU's `dump/dump.c` and `target/i386/arch_dump.c`: one note
//! `CORE` and one note `QEMU` (a `QEMUCPUState`, version 1) for each processor, and `VMCOREINFO`.
//! These have a place for every register. In the place of one that is not known stands 0, or of CR0
//! and CR4 what tells the paging mode, and a note `OSIER` says which are not known, so that Osier
//! does not take them for values. Another one says what was wrong with the snapshot.

use std::io::Write;

use super::layout::{EM_386, EM_X86_64, ET_CORE, Header64, IDENT_64, Note, Program64, Section64};
use super::user_regs::UserRegs;
use crate::absent::{ABSENT, absent_registers};
use crate::anomaly::Anomaly;
use crate::source::{Lost, SOURCE, source_note};
use crate::written::WriteError;
use osier_memory::{CpuState, PAGE_BYTES, Paging, PhysAddr, PhysRun, PhysicalMemory};
use zerocopy::IntoBytes;

const HEADER_BYTES: usize = size_of::<Header64>();
const PROGRAM_HEADER_BYTES: usize = size_of::<Program64>();
const SECTION_HEADER_BYTES: usize = size_of::<Section64>();
const NT_PRSTATUS: u32 = 1;
/// Segments that the 16-bit count of the header can tell; the value after it says that section 0
/// holds the count.
const PN_XNUM: usize = 0xffff;

/// What goes into a core.
pub struct Core<'a> {
    /// The memory that the pages are read from.
    pub memory: &'a dyn PhysicalMemory,
    /// All of the machine's RAM: what is not among the pages is told as not captured.
    pub runs: &'a [PhysRun],
    /// The pages, by the physical address of their first bytes, ascending.
    pub pages: &'a [PhysAddr],
    /// The processors.
    pub cpus: &'a [CpuState],
    /// The VMCOREINFO text, when it is known.
    pub vmcoreinfo: Option<&'a [u8]>,
    /// Bytes of the guest's pointers: 4 or 8.
    pub pointer_bytes: u8,
    /// What is odd about the snapshot's file and may make the memory wrong or short.
    pub doubts: &'a [Anomaly],
    /// What the snapshot should hold and does not. Of a page that it holds in part the rest is zeros
    /// in the core, and is not believed.
    pub lost: &'a [Lost],
}

/// A segment of the core: `held` bytes from `start` on are in the file, the rest of `len` is RAM
/// that was not captured.
#[derive(Debug, PartialEq, Eq)]
struct Load {
    start: PhysAddr,
    held: u64,
    len: u64,
}

/// The segments that hold `pages` and name all of `runs`. Pages lie in
/// runs.
fn loads(runs: &[PhysRun], pages: &[PhysAddr]) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    let mut pages = pages.iter().copied().peekable();
    for run in runs {
        let mut at = run.start.page();
        while let Some(page) = pages.next_if(|&page| page < run.end()) {
            if page < at {
                continue;
            }
            match loads.last_mut() {
                Some(last) if last.start.plus(last.len) == page && last.held == last.len => {}
                Some(last) if page > at && last.start.plus(last.len) == at => {
                    last.len = page.since(last.start);
                    loads.push(Load {
                        start: page,
                        held: 0,
                        len: 0,
                    });
                }
                _ => {
                    if page > at {
                        let len = page.since(at);
                        loads.push(Load {
                            start: at,
                            held: 0,
                            len,
                        });
                    }
                    loads.push(Load {
                        start: page,
                        held: 0,
                        len: 0,
                    });
                }
            }
            if let Some(last) = loads.last_mut() {
                last.held = last.held.saturating_add(PAGE_BYTES);
                last.len = last.held;
            }
            at = page.plus(PAGE_BYTES);
        }
        if at < run.end() {
            match loads.last_mut() {
                Some(last) if last.start.plus(last.len) == at => {
                    last.len = run.end().since(last.start);
                }
                _ => loads.push(Load {
                    start: at,
                    held: 0,
                    len: run.end().since(at),
                }),
            }
        }
    }
    loads
}

/// Writes the core. Pages follow each other without holes, from a page boundary on.
///
/// # Errors
///
/// [`WriteError`]: the file, or a page that cannot be read.
pub fn write_core(core: &Core<'_>, out: &mut dyn Write) -> Result<(), WriteError> {
    let notes = notes(core);
    let loads = loads(core.runs, core.pages);
    let count = loads.len().saturating_add(1);
    let extended = count >= PN_XNUM;
    let notes_at = HEADER_BYTES
        .saturating_add(count.saturating_mul(PROGRAM_HEADER_BYTES))
        .saturating_add(if extended { SECTION_HEADER_BYTES } else { 0 });
    let pages_at = notes_at
        .saturating_add(notes.len())
        .next_multiple_of(PAGE_BYTES as usize);

    let mut head = Vec::with_capacity(pages_at);
    let machine = if core.pointer_bytes == 4 {
        EM_386
    } else {
        EM_X86_64
    };
    let sections = HEADER_BYTES.saturating_add(count.saturating_mul(PROGRAM_HEADER_BYTES));
    let header = Header64 {
        ident: IDENT_64,
        kind: ET_CORE.into(),
        machine: machine.into(),
        version: 1.into(),
        entry: 0.into(),
        phoff: (HEADER_BYTES as u64).into(),
        shoff: if extended { sections as u64 } else { 0 }.into(),
        flags: 0.into(),
        ehsize: (HEADER_BYTES as u16).into(),
        phentsize: (PROGRAM_HEADER_BYTES as u16).into(),
        phnum: (count.min(PN_XNUM) as u16).into(),
        shentsize: (SECTION_HEADER_BYTES as u16).into(),
        shnum: u16::from(extended).into(),
        shstrndx: 0.into(),
    };
    head.extend(header.as_bytes());

    let note_bytes = notes.len() as u64;
    program_header(&mut head, 4, notes_at as u64, 0, note_bytes, note_bytes);
    let mut offset = pages_at as u64;
    for load in &loads {
        program_header(&mut head, 1, offset, load.start.0, load.held, load.len);
        offset = offset.saturating_add(load.held);
    }
    if extended {
        let section = Section64 {
            info: (count as u32).into(),
            ..Section64::default()
        };
        head.extend(section.as_bytes());
    }
    head.extend(notes);
    head.resize(pages_at, 0);
    out.write_all(&head)?;

    let is_lost = |pa| core.lost.iter().any(|lost| lost.run.contains(pa));
    for &at in core.pages {
        let mut page = [0_u8; PAGE_BYTES as usize];
        if let Err(fault) = core.memory.read(at, &mut page)
            && !fault.pa.is_some_and(is_lost)
        {
            return Err(fault.into());
        }
        out.write_all(&page)?;
    }
    out.flush()?;
    Ok(())
}

fn program_header(into: &mut Vec<u8>, kind: u32, offset: u64, phys: u64, held: u64, len: u64) {
    let header = Program64 {
        kind: kind.into(),
        flags: 0.into(),
        offset: offset.into(),
        vaddr: 0.into(),
        paddr: phys.into(),
        filesz: held.into(),
        memsz: len.into(),
        align: 0.into(),
    };
    into.extend(header.as_bytes());
}

fn notes(core: &Core<'_>) -> Vec<u8> {
    let mut notes = Vec::new();
    for cpu in core.cpus {
        note(
            &mut notes,
            b"CORE\0",
            NT_PRSTATUS,
            &prstatus(cpu, core.pointer_bytes),
        );
    }
    for cpu in core.cpus {
        note(&mut notes, b"QEMU\0", 0, &cpu_state(cpu));
    }
    let absent: Vec<u64> = core.cpus.iter().map(absent_registers).collect();
    if absent.iter().any(|registers| *registers != 0) {
        let words: Vec<u8> = absent.iter().flat_map(|word| word.to_le_bytes()).collect();
        note(&mut notes, b"OSIER\0", ABSENT, &words);
    }
    if let Some(text) = source_note(core.doubts, core.lost) {
        note(&mut notes, b"OSIER\0", SOURCE, &text);
    }
    if let Some(text) = core.vmcoreinfo {
        note(&mut notes, b"VMCOREINFO\0", 0, text);
    }
    notes
}

fn note(notes: &mut Vec<u8>, name: &[u8], kind: u32, description: &[u8]) {
    let header = Note {
        namesz: (name.len() as u32).into(),
        descsz: (description.len() as u32).into(),
        kind: kind.into(),
    };
    notes.extend(header.as_bytes());
    for part in [name, description] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// The general registers by QEMU's order: rax rbx rcx rdx rsi rdi rsp rbp r8…r15.
fn general(cpu: &CpuState) -> [u64; 16] {
    let [
        ax,
        cx,
        dx,
        bx,
        sp,
        bp,
        si,
        di,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
    ] = cpu.general.unwrap_or_default();
    [
        ax, bx, cx, dx, si, di, sp, bp, r8, r9, r10, r11, r12, r13, r14, r15,
    ]
}

/// `elf_prstatus` of the guest's width: zeros but for the thread's number and the registers.
fn prstatus(cpu: &CpuState, pointer_bytes: u8) -> Vec<u8> {
    let segments = &cpu.segments;
    let general = cpu.general.unwrap_or_default();
    let [ax, ..] = general;
    let selectors = [
        segments.cs,
        segments.ss,
        segments.ds,
        segments.es,
        segments.fs,
        segments.gs,
    ];
    let registers = UserRegs {
        general,
        orig_rax: ax,
        rip: cpu.rip,
        rflags: cpu.rflags.unwrap_or(0),
        selectors: selectors.map(|segment| segment.selector.unwrap_or(0)),
        fs_base: segments.fs.base.unwrap_or(0),
        gs_base: segments.gs.base.unwrap_or(0),
    };
    // Where the number and the registers stand, and the size of the whole.
    let (number, at, size, registers) = if pointer_bytes == 4 {
        (24, 72, 144, registers.to_bytes_32())
    } else {
        (32, 112, 336, registers.to_bytes_64())
    };
    let mut status = vec![0; number];
    put32(&mut status, cpu.index.saturating_add(1));
    status.resize(at, 0);
    status.extend(registers);
    status.resize(size, 0);
    status
}

/// `QEMUCPUState`, version 1. The kernel's GS base is left out when it is not known: readers tell
/// by the size.
fn cpu_state(cpu: &CpuState) -> Vec<u8> {
    const WITHOUT_GS_BASE: u32 = 432;
    let size = WITHOUT_GS_BASE.saturating_add(if cpu.kernel_gs_base.is_some() { 8 } else { 0 });
    let mut state = Vec::with_capacity(size as usize);
    put32(&mut state, 1);
    put32(&mut state, size);
    for value in general(cpu) {
        put64(&mut state, value);
    }
    put64(&mut state, cpu.rip);
    put64(&mut state, cpu.rflags.unwrap_or(0));
    let s = &cpu.segments;
    for segment in [
        s.cs, s.ds, s.es, s.fs, s.gs, s.ss, s.ldt, s.tr, s.gdt, s.idt,
    ] {
        put32(&mut state, segment.selector.unwrap_or(0).into());
        put32(&mut state, segment.limit.unwrap_or(0));
        put32(&mut state, segment.flags.unwrap_or(0));
        put32(&mut state, 0);
        put64(&mut state, segment.base.unwrap_or(0));
    }
    let (cr0, cr4) = paging_bits(cpu);
    for value in [cr0, 0, cpu.cr2.unwrap_or(0), cpu.cr3, cr4] {
        put64(&mut state, value);
    }
    if let Some(base) = cpu.kernel_gs_base {
        put64(&mut state, base);
    }
    state
}

/// CR0 and CR4; where they are not known, no more than the paging mode.
fn paging_bits(cpu: &CpuState) -> (u64, u64) {
    const PE_PG: u64 = 1 | 1 << 31;
    const PSE: u64 = 1 << 4;
    const PAE: u64 = 1 << 5;
    let (pe_pg, pae_pse) = match cpu.modes().first() {
        Some(Paging::Flat | Paging::Virtual) | None => (0, 0),
        Some(Paging::LegacyNoPse) => (PE_PG, 0),
        Some(Paging::Legacy) => (PE_PG, PSE),
        Some(_) => (PE_PG, PAE | PSE),
    };
    (cpu.cr0.unwrap_or(pe_pg), cpu.cr4.unwrap_or(pae_pse))
}

fn put32(into: &mut Vec<u8>, value: u32) {
    into.extend(value.to_le_bytes());
}

fn put64(into: &mut Vec<u8>, value: u64) {
    into.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_the_pages_and_name_all_ram() {
        let run = |start, len| PhysRun {
            start: PhysAddr(start),
            len,
        };
        let check = |runs: &[PhysRun], pages: &[u64], expected: &[(u64, u64, u64)]| {
            let pages: Vec<_> = pages.iter().copied().map(PhysAddr).collect();
            let got = loads(runs, &pages);
            let got: Vec<_> = got.iter().map(|l| (l.start.0, l.held, l.len)).collect();
            assert_eq!(got, expected);
        };
        check(
            &[run(0, 0x10000)],
            &[0x1000, 0x2000, 0x5000],
            &[
                (0, 0, 0x1000),
                (0x1000, 0x2000, 0x4000),
                (0x5000, 0x1000, 0xb000),
            ],
        );
        check(&[run(0, 0x2000)], &[0, 0x1000], &[(0, 0x2000, 0x2000)]);
        check(
            &[run(0, 0x1000), run(0x10000, 0x2000)],
            &[0x11000],
            &[
                (0, 0, 0x1000),
                (0x10000, 0, 0x1000),
                (0x11000, 0x1000, 0x1000),
            ],
        );
        check(&[], &[], &[]);
    }

    #[test]
    fn notes_have_the_sizes_that_qemu_writes() {
        let mut cpu = CpuState::default();
        assert_eq!(cpu_state(&cpu).len(), 432);
        cpu.kernel_gs_base = Some(1);
        assert_eq!(cpu_state(&cpu).len(), 440);
        assert_eq!(prstatus(&cpu, 8).len(), 336);
        assert_eq!(prstatus(&cpu, 4).len(), 144);
    }
}
