//! The note `OSIER` of the ELF cores that Osier writes: which registers the file that the core was
//! made from did not hold.
//!
//! QEMU's note has a place for every register and no way to leave one out; what stands in the place
//! of one that is not known must not be taken for its value. The note's data is a `u64` for each
//! QEMU note, in their order, with a bit for each register that is not known.

use osier_memory::{CpuState, Paging, Segment};

/// The note's type.
pub(crate) const ABSENT: u32 = 1;

const GENERAL: u64 = 1;
const RFLAGS: u64 = 1 << 1;
const CR0: u64 = 1 << 2;
const CR2: u64 = 1 << 3;
const CR4: u64 = 1 << 4;
/// Four bits for each segment from here on, in the order of QEMU's note: selector, limit, flags,
/// base.
const SEGMENTS: u32 = 8;

/// The registers that `cpu` lacks, as the note has them; 0 when it has all that QEMU's note has.
pub(crate) fn absent_registers(cpu: &CpuState) -> u64 {
    let mut bits = 0;
    for (bit, there) in [
        (GENERAL, cpu.general.is_some()),
        (RFLAGS, cpu.rflags.is_some()),
        (CR0, cpu.cr0.is_some()),
        (CR2, cpu.cr2.is_some()),
        (CR4, cpu.cr4.is_some()),
    ] {
        if !there {
            bits |= bit;
        }
    }
    let s = &cpu.segments;
    let segments = [
        s.cs, s.ds, s.es, s.fs, s.gs, s.ss, s.ldt, s.tr, s.gdt, s.idt,
    ];
    let parts = segments.iter().flat_map(|segment: &Segment| {
        [
            segment.selector.is_some(),
            segment.limit.is_some(),
            segment.flags.is_some(),
            segment.base.is_some(),
        ]
    });
    for (there, bit) in parts.zip(SEGMENTS..) {
        if !there {
            bits |= 1_u64.wrapping_shl(bit);
        }
    }
    bits
}

/// Takes out of `cpu`, as QEMU's note has it, what `bits` says is not known. In place of CR0 and CR4
/// there stands what tells the paging mode; `long_mode` is known.
pub(crate) fn forget(cpu: &mut CpuState, bits: u64) {
    const PSE: u64 = 1 << 4;
    const PAE: u64 = 1 << 5;
    let gone = |bit: u64| bits & bit != 0;
    if gone(CR0 | CR4) {
        cpu.mode = match (cpu.long_mode, cpu.cr4.unwrap_or(0)) {
            (Some(true), _) => None,
            (_, cr4) if cr4 & PAE != 0 => Some(Paging::Pae),
            (_, cr4) if cr4 & PSE != 0 => Some(Paging::Legacy),
            _ => Some(Paging::LegacyNoPse),
        };
    }
    cpu.general = cpu.general.filter(|_| !gone(GENERAL));
    for (bit, register) in [
        (RFLAGS, &mut cpu.rflags),
        (CR0, &mut cpu.cr0),
        (CR2, &mut cpu.cr2),
        (CR4, &mut cpu.cr4),
    ] {
        *register = register.filter(|_| !gone(bit));
    }
    let s = &mut cpu.segments;
    let segments = [
        &mut s.cs, &mut s.ds, &mut s.es, &mut s.fs, &mut s.gs, &mut s.ss, &mut s.ldt, &mut s.tr,
        &mut s.gdt, &mut s.idt,
    ];
    for (segment, first) in segments.into_iter().zip((SEGMENTS..).step_by(4)) {
        let part = |nth: u32| bits.wrapping_shr(first.wrapping_add(nth)) & 1 == 0;
        segment.selector = segment.selector.filter(|_| part(0));
        segment.limit = segment.limit.filter(|_| part(1));
        segment.flags = segment.flags.filter(|_| part(2));
        segment.base = segment.base.filter(|_| part(3));
    }
    if s.ss.flags.is_none() {
        cpu.cpl = s.cs.selector.map(|cs| (cs & 3) as u8);
    }
}
