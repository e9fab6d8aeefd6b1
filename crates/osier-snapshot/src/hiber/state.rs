//! `_KPROCESSOR_STATE`: the registers of the processor that hibernated, in a page behind the header.
//!
//! The page is the first or second after the header's; the one whose control registers could be a
//! running Windows' is taken.

use osier_memory::{CpuState, PAGE_BYTES, Segment};

use crate::context;
use crate::cursor::Cursor;
use crate::look::Look;

const CR0_PE_PG: u64 = 1 | 1 << 31;
const CR4_PAE: u64 = 1 << 5;
/// Bits of CR4 that no processor has yet.
const CR4_RESERVED: u64 = !0x1ff_ffff;

/// The processor's state.
pub(super) struct State {
    /// CR3, with its low bits.
    pub(super) cr3: u64,
    /// All registers, when the page holds the general ones.
    pub(super) cpu: Option<CpuState>,
    pub(super) said: String,
}

/// Where `_KSPECIAL_REGISTERS` has its members, from its start.
struct Places {
    /// Bytes of a register.
    word: usize,
    /// The limit of the GDT register; its base follows. The IDT register is as long as both.
    gdt_limit: usize,
    idt_limit: usize,
    tr: usize,
    ldt: usize,
}

const NARROW: Places = Places {
    word: 4,
    gdt_limit: 0x2a,
    idt_limit: 0x32,
    tr: 0x38,
    ldt: 0x3a,
};
const WIDE: Places = Places {
    word: 8,
    gdt_limit: 0x56,
    idt_limit: 0x66,
    tr: 0x70,
    ldt: 0x72,
};
/// `SpecialRegisters` of a 32-bit state, behind `ContextFrame`.
const SPECIAL32: usize = 0x2cc;
/// `ContextFrame` of a 64-bit state, behind `SpecialRegisters`: up to Windows 10 1607, and later.
const CONTEXT64: [usize; 2] = [0xe0, 0xf0];
/// `MsrGsBase`, `MsrGsSwap`, `MsrLStar`, and in the later form `MsrFsBase`.
const GS_BASE: usize = 0xa8;
const GS_SWAP: usize = 0xb0;
const LSTAR: usize = 0xc0;
const FS_BASE: usize = 0xe0;

/// The processor's state; `None` when neither page holds one.
pub(super) fn read(file: Look<'_>, wide: bool) -> Option<State> {
    [1, 2].into_iter().find_map(|page: u64| {
        let at = usize::try_from(page.checked_mul(PAGE_BYTES)?).ok()?;
        of_page(file, at, wide)
    })
}

fn of_page(file: Look<'_>, page: usize, wide: bool) -> Option<State> {
    let places = if wide { &WIDE } else { &NARROW };
    let special = page.checked_add(if wide { 0 } else { SPECIAL32 })?;
    let word = |at: usize| {
        let mut cursor = Cursor::new(file, special.checked_add(at)?);
        if wide {
            cursor.le64("a register").ok()
        } else {
            cursor.le32("a register").ok().map(u64::from)
        }
    };
    let half = |at: usize| {
        Cursor::new(file, special.checked_add(at)?)
            .le16("a selector")
            .ok()
    };
    let register = |index: usize| word(places.word.checked_mul(index)?);
    let (cr0, cr2, cr3, cr4) = (register(0)?, register(1)?, register(2)?, register(3)?);
    let paging = cr0 >> 32 == 0 && cr0 & CR0_PE_PG == CR0_PE_PG && cr4 & CR4_RESERVED == 0;
    if !paging || cr3 == 0 || (wide && cr4 & CR4_PAE == 0) {
        return None;
    }
    let frame = |at: usize| context::read(file, page.checked_add(at)?, wide).ok()?.ok();
    let (offset, cpu) = if wide {
        let [old, new] = CONTEXT64;
        match frame(old) {
            Some(cpu) => (old, Some(cpu)),
            None => (new, frame(new)),
        }
    } else {
        (0, frame(0))
    };
    let table = |limit_at: usize| {
        let base = word(limit_at.checked_add(2)?)?;
        Some(Segment {
            base: Some(base),
            limit: Some(half(limit_at)?.into()),
            ..Segment::default()
        })
    };
    let cpu = cpu.and_then(|mut cpu| {
        cpu.cr3 = cr3;
        (cpu.cr0, cpu.cr2, cpu.cr4) = (Some(cr0), Some(cr2), Some(cr4));
        cpu.segments.gdt = table(places.gdt_limit)?;
        cpu.segments.idt = table(places.idt_limit)?;
        cpu.segments.tr.selector = Some(half(places.tr)?);
        cpu.segments.ldt.selector = Some(half(places.ldt)?);
        if wide {
            cpu.segments.gs.base = Some(word(GS_BASE)?);
            cpu.kernel_gs_base = Some(word(GS_SWAP)?);
            cpu.lstar = Some(word(LSTAR)?);
            if offset > FS_BASE {
                cpu.segments.fs.base = Some(word(FS_BASE)?);
            }
        }
        Some(cpu)
    });
    let said = match &cpu {
        Some(_) => format!("at file offset {page:#x}, of one processor whose number is not there"),
        None => format!("at file offset {page:#x}, control registers only"),
    };
    Some(State { cr3, cpu, said })
}
