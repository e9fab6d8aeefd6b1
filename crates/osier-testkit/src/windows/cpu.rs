//! Processors: `_KPCR` and `_KPRCB`, descriptor tables, registers, and the low stub that started
//! the others.

use osier_memory::{CpuState, Paging, PhysAddr, Segment, VirtAddr};

use super::Bugcheck;
use super::spaces::{SHARED_32, Space, Spaces};
use super::writer::{Object, Writer};

const KPCR: &str = "_KPCR";
const CODE: u64 = 0x1000;
/// Where the first processor of XP has its `_KPCR`.
const XP_PCR: VirtAddr = VirtAddr(0xffdf_f000);
/// Selector of the `_KPCR`'s segment on x86.
const PCR_SELECTOR: u64 = 0x30;
/// Where the low stub stands.
pub(super) const LOW_STUB: PhysAddr = PhysAddr(0x1_3000);

/// A processor's structures.
pub(super) struct Pcr {
    pub(super) at: VirtAddr,
    gdt: VirtAddr,
    idt: VirtAddr,
    /// Pages that user mode maps under KVA shadow.
    pub(super) shadowed: Vec<VirtAddr>,
}

/// The idle process's addresses.
pub(super) struct Idle {
    pub(super) process: VirtAddr,
    /// The idle thread of each processor.
    pub(super) threads: Vec<VirtAddr>,
}

/// What a processor runs.
#[derive(Clone, Copy)]
pub(super) struct Running {
    /// The `_TEB`; 0 for none.
    pub(super) teb: VirtAddr,
    /// CR3, with its low bits.
    pub(super) cr3: u64,
    /// Where user mode is, when it is there.
    pub(super) user: Option<u64>,
}

/// Writes the structures of processor `number`.
pub(super) fn write(w: &mut Writer<'_>, number: u64, thread: VirtAddr, idle: &Idle) -> Pcr {
    let at = place(w, number);
    let pcr = Object::system(KPCR, at);
    let gdt = w.nonpaged_room(*b"Gdt ", 0x1000);
    let idt = w.nonpaged_room(*b"Idt ", 0x1000);
    let wide = w.is_wide();
    let (this, pointer, inline, tables) = if wide {
        ("Self", "CurrentPrcb", "Prcb", ["GdtBase", "IdtBase"])
    } else {
        ("SelfPcr", "Prcb", "PrcbData", ["GDT", "IDT"])
    };
    let prcb = w.inner(whole(w, at), inline, "_KPRCB");
    w.set(pcr, this, at.0);
    w.set(pcr, pointer, prcb.at.0);
    w.set_if(pcr, tables[0], gdt.0);
    w.set_if(pcr, tables[1], idt.0);
    if !wide
        && number == 0
        && let Some(version) = w.symbol("KdVersionBlock")
    {
        w.set_if(pcr, "KdVersionBlock", version.0);
    }
    w.set(prcb, "CurrentThread", thread.0);
    w.set(prcb, "IdleThread", idle.threads[number as usize].0);
    w.set_if(prcb, "Number", number);
    if let Some(block) = w.symbol("KiProcessorBlock") {
        let word = w.word();
        w.pointer(Space::SYSTEM, block.plus(number * word), prcb.at);
    }
    descriptors(w, gdt, at);
    let handlers = handlers(w, idt);
    let mut shadowed = vec![gdt, idt, handlers];
    if w.has("_KPRCB", "KernelDirectoryTableBase") {
        shadowed.push(w.member(prcb, "KernelDirectoryTableBase"));
    }
    Pcr {
        at,
        gdt,
        idt,
        shadowed,
    }
}

/// The structure that holds the `_KPRCB`: the `_KPCR`, or the `_KIPCR` that begins with what drivers see
/// of that.
fn whole(w: &Writer<'_>, at: VirtAddr) -> Object {
    let kept = w.has_type("_KIPCR");
    Object::system(if kept { "_KIPCR" } else { KPCR }, at)
}

/// Under KVA shadow the processor finds the kernel's table in its own block.
pub(super) fn shadow(w: &mut Writer<'_>, pcr: &Pcr, cr3: u64) {
    let pcr = Object::system(KPCR, pcr.at);
    let prcb = w.inner(pcr, "Prcb", "_KPRCB");
    w.set_if(prcb, "KernelDirectoryTableBase", cr3);
}

/// What a bugcheck leaves behind: its code and parameters, the registers of the processor that called it, and
/// the others frozen.
///
/// Source: `KeBugCheck2` and `KiFreezeTargetExecution` of the Windows Research Kernel: `TARGET_FROZEN` is 2.
pub(super) fn stop(w: &mut Writer<'_>, pcrs: &[Pcr], bugcheck: &Bugcheck) {
    const FROZEN: u64 = 2;
    let Some(at) = w.symbol("KiBugCheckData") else {
        return;
    };
    let word = w.word();
    let values = [u64::from(bugcheck.code)]
        .into_iter()
        .chain(bugcheck.parameters);
    for (nth, value) in (0..).zip(values) {
        w.uint(Space::SYSTEM, at.plus(nth * word), value, word);
    }
    let (inline, ip, sp) = if w.is_wide() {
        ("Prcb", "Rip", "Rsp")
    } else {
        ("PrcbData", "Eip", "Esp")
    };
    for (number, pcr) in pcrs.iter().enumerate() {
        let prcb = w.inner(whole(w, pcr.at), inline, "_KPRCB");
        if number != bugcheck.cpu {
            w.set_if(prcb, "IpiFrozen", FROZEN);
            continue;
        }
        for (register, value) in [(ip, bugcheck.ip), (sp, bugcheck.sp)] {
            w.set_if(
                prcb,
                &format!("ProcessorState.ContextFrame.{register}"),
                value,
            );
        }
    }
}

fn place(w: &mut Writer<'_>, number: u64) -> VirtAddr {
    match w.symbol("KiInitialPCR") {
        Some(at) if number == 0 => at,
        None if number == 0 && !w.is_wide() => XP_PCR,
        _ => {
            let bytes = w.size(whole(w, VirtAddr(0)).ty);
            w.nonpaged_room(*b"Kpcr", bytes.max(0x1000))
        }
    }
}

/// The descriptors: code and data of both rings, and on x86 the `_KPCR`'s segment.
fn descriptors(w: &mut Writer<'_>, gdt: VirtAddr, pcr: VirtAddr) {
    let entry = |base: u64, limit: u64, attributes: u64| {
        (limit & 0xffff)
            | (base & 0xff_ffff) << 16
            | attributes << 40
            | (limit >> 16 & 0xf) << 48
            | (base >> 24 & 0xff) << 56
    };
    let flat = 0xf_ffff;
    let list = if w.is_wide() {
        vec![
            (0x10, entry(0, 0, 0x209b)),
            (0x18, entry(0, 0, 0x4093)),
            (0x20, entry(0, flat, 0xc0fb)),
            (0x28, entry(0, flat, 0xc0f3)),
            (0x30, entry(0, 0, 0x20fb)),
        ]
    } else {
        vec![
            (0x08, entry(0, flat, 0xc09b)),
            (0x10, entry(0, flat, 0xc093)),
            (0x18, entry(0, flat, 0xc0fb)),
            (0x20, entry(0, flat, 0xc0f3)),
            (PCR_SELECTOR, entry(pcr.0, 0x1, 0xc093)),
        ]
    };
    for (selector, descriptor) in list {
        w.uint(Space::SYSTEM, gdt.plus(selector), descriptor, 8);
    }
}

/// All 256 gates, into the kernel's code. Returns a page of the handlers.
fn handlers(w: &mut Writer<'_>, idt: VirtAddr) -> VirtAddr {
    let named = |w: &Writer<'_>, names: &[&str]| names.iter().find_map(|name| w.symbol(name));
    let other = w.base.plus(CODE);
    // Under KVA shadow the first instructions lie where user mode maps them too.
    let first = usize::from(!w.shadow);
    let divides = ["KiDivideErrorFaultShadow", "KiDivideErrorFault", "KiTrap00"];
    let pages = ["KiPageFaultShadow", "KiPageFault", "KiTrap0E"];
    let divide = named(w, &divides[first..]);
    let page = named(w, &pages[first..]);
    let wide = w.is_wide();
    for vector in 0..256_u64 {
        let handler = match vector {
            0 => divide.unwrap_or(other),
            14 => page.unwrap_or(other),
            _ => other,
        };
        let (low, high) = (handler.0 & 0xffff, handler.0 >> 16 & 0xffff);
        let (selector, bytes) = if wide { (0x10, 16) } else { (0x08, 8) };
        let gate = low | selector << 16 | 0x8e00 << 32 | high << 48;
        w.uint(Space::SYSTEM, idt.plus(vector * bytes), gate, 8);
        if wide {
            w.uint(
                Space::SYSTEM,
                idt.plus(vector * bytes + 8),
                handler.0 >> 32,
                8,
            );
        }
    }
    divide.unwrap_or(other)
}

/// The registers of processor `number`.
pub(super) fn state(w: &Writer<'_>, number: u32, pcr: &Pcr, running: Running) -> CpuState {
    const PG_PE: u64 = 0x8005_0031;
    let mode = w.spaces.mode;
    let wide = w.is_wide();
    let cr4 = match mode {
        Paging::LegacyNoPse => 0x0e80,
        Paging::Legacy => 0x0e90,
        Paging::Pae => 0x0eb0,
        Paging::Long5 => 0x0017_16f8,
        _ => 0x0017_06f8,
    };
    let mut cpu = CpuState {
        index: number,
        rip: running.user.unwrap_or(w.base.0 + CODE + 0x40),
        general: Some([0; 16]),
        rflags: Some(0x246),
        cr0: Some(PG_PE),
        cr3: running.cr3,
        cr4: Some(cr4),
        efer: wide.then_some(0xd01),
        long_mode: Some(wide),
        cpl: Some(if running.user.is_some() { 3 } else { 0 }),
        a20_mask: u64::MAX,
        ..CpuState::default()
    };
    let s = &mut cpu.segments;
    s.gdt = table(pcr.gdt, if wide { 0x57 } else { 0x3ff });
    s.idt = table(pcr.idt, if wide { 0xfff } else { 0x7ff });
    let user = running.user.is_some();
    if wide {
        s.cs = segment(if user { 0x33 } else { 0x10 }, 0, 0x20_fb00);
        s.ss = segment(if user { 0x2b } else { 0x18 }, 0, 0x40_f300);
        let (active, waiting) = if user {
            (running.teb, pcr.at)
        } else {
            (pcr.at, running.teb)
        };
        s.gs = segment(0x2b, active.0, 0xcf_f300);
        cpu.kernel_gs_base = Some(waiting.0);
        let entry = ["KiSystemCall64Shadow", "KiSystemCall64"];
        let entry = &entry[usize::from(!w.shadow)..];
        let entry = entry.iter().find_map(|name| w.symbol(name));
        cpu.lstar = entry.map(|at| at.0);
    } else {
        s.cs = segment(if user { 0x1b } else { 0x08 }, 0, 0xcf_9b00);
        s.ss = segment(if user { 0x23 } else { 0x10 }, 0, 0xcf_9300);
        s.fs = if user {
            segment(0x3b, running.teb.0, 0x40_f300)
        } else {
            segment(PCR_SELECTOR as u16, pcr.at.0, 0xc0_9300)
        };
    }
    cpu
}

fn segment(selector: u16, base: u64, flags: u32) -> Segment {
    Segment {
        selector: Some(selector),
        base: Some(base),
        limit: Some(u32::MAX),
        flags: Some(flags),
    }
}

fn table(base: VirtAddr, limit: u32) -> Segment {
    Segment {
        base: Some(base.0),
        limit: Some(limit),
        ..Segment::default()
    }
}

/// `PROCESSOR_START_BLOCK` of a 64-bit kernel, in the first megabyte: a jump, the address of the
/// kernel's entry for the other processors, and the system's CR3.
///
/// Source: the offsets that PCILeech/MemProcFS (`vmmwininit.c`) looks for.
pub(super) fn low_stub(w: &mut Writer<'_>) {
    let entry = w.symbol("HalpLMStub").unwrap_or(w.base.plus(CODE));
    let root = w.spaces.root(Space::SYSTEM);
    let memory = &mut w.spaces.memory;
    memory.write_u64(LOW_STUB, 0x0000_0001_0006_00e9 | 0x4d << 8);
    memory.write_u64(LOW_STUB.plus(0x70), entry.0 & !3);
    memory.write_u64(LOW_STUB.plus(0xa0), root.0);
}

/// The block that every process sees: version and time.
pub(super) fn shared_data(w: &mut Writer<'_>, build: u32, version: (u32, u32), time: u64) {
    if !w.has_type("_KUSER_SHARED_DATA") {
        return;
    }
    let at = if w.is_wide() {
        VirtAddr(0xffff_f780_0000_0000)
    } else {
        SHARED_32
    };
    let shared = Object::system("_KUSER_SHARED_DATA", at);
    // `NtProductType`: a workstation.
    w.uint(Space::SYSTEM, at.plus(0x264), 1, 4);
    w.set_if(shared, "NtMajorVersion", u64::from(version.0));
    w.set_if(shared, "NtMinorVersion", u64::from(version.1));
    w.set_if(shared, "NtBuildNumber", u64::from(build));
    let at = w.member(shared, "SystemTime");
    w.uint(Space::SYSTEM, at, time & 0xffff_ffff, 4);
    w.uint(Space::SYSTEM, at.plus(4), time >> 32, 4);
    w.uint(Space::SYSTEM, at.plus(8), time >> 32, 4);
}

/// The pages of `pcrs` that user mode maps, once each.
pub(super) fn shadowed(pcrs: &[Pcr], spaces: &Spaces) -> Vec<VirtAddr> {
    let mut pages: Vec<_> = pcrs.iter().flat_map(|pcr| &pcr.shadowed).collect();
    pages.retain(|va| spaces.is_kernel(**va));
    let mut pages: Vec<VirtAddr> = pages.into_iter().map(|va| va.page()).collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}
