//! A thread's registers as the two `CONTEXT`s of `winnt.h` have them.

use osier_osi::UserRegisters;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::layout::{Context32, Context64};

/// `CONTEXT_CONTROL`, `CONTEXT_INTEGER` and `CONTEXT_SEGMENTS`.
const PARTS: u32 = 1 | 2 | 4;
/// `CONTEXT_AMD64` and `CONTEXT_i386`.
const AMD64: u32 = 0x10_0000;
const I386: u32 = 0x1_0000;

/// The bytes of a `CONTEXT` of the program's width.
pub(super) fn context(registers: &UserRegisters, wide: bool) -> Vec<u8> {
    if wide {
        of_64(registers).as_bytes().to_vec()
    } else {
        of_32(registers).as_bytes().to_vec()
    }
}

fn of_64(registers: &UserRegisters) -> Context64 {
    let UserRegisters {
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        ..
    } = *registers;
    let mut context = Context64::new_zeroed();
    context.context_flags = (AMD64 | PARTS).into();
    context.segments = [cs, ds, es, fs, gs, ss].map(Into::into);
    context.e_flags = low(registers.rflags).into();
    context.general = registers.general.map(Into::into);
    context.rip = registers.rip.into();
    context
}

fn of_32(registers: &UserRegisters) -> Context32 {
    let [ax, cx, dx, bx, sp, bp, si, di, ..] = registers.general.map(low);
    let UserRegisters {
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        ..
    } = *registers;
    let mut context = Context32::new_zeroed();
    context.context_flags = (I386 | PARTS).into();
    context.segments = [gs, fs, es, ds].map(|selector| u32::from(selector).into());
    context.general = [di, si, bx, dx, cx, ax, bp].map(Into::into);
    context.eip = low(registers.rip).into();
    context.seg_cs = u32::from(cs).into();
    context.e_flags = low(registers.rflags).into();
    context.esp = sp.into();
    context.seg_ss = u32::from(ss).into();
    context
}

/// The low half.
fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}
