//! Windows' `CONTEXT` record of a processor's registers, of either width.

use osier_memory::{CpuState, Segment};

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;

/// `CONTEXT_i386` and `CONTEXT_AMD64`: the architecture bit of `ContextFlags`.
const CONTEXT_I386: u32 = 0x1_0000;
const CONTEXT_AMD64: u32 = 0x10_0000;
/// `CONTEXT_CONTROL | CONTEXT_INTEGER` without the architecture.
const CONTROL_INTEGER: u32 = 3;

/// Where the registers lie in a record.
struct Places {
    flags: usize,
    /// In the order of [`CpuState::general`].
    general: &'static [usize],
    ip: usize,
    eflags: usize,
    /// ES CS SS DS FS GS.
    selectors: [usize; 6],
    architecture: u32,
}

const I386: Places = Places {
    flags: 0,
    general: &[0xb0, 0xac, 0xa8, 0xa4, 0xc4, 0xb4, 0xa0, 0x9c],
    ip: 0xb8,
    eflags: 0xc0,
    selectors: [0x94, 0xbc, 0xc8, 0x98, 0x90, 0x8c],
    architecture: CONTEXT_I386,
};

const AMD64: Places = Places {
    flags: 0x30,
    general: &[
        0x78, 0x80, 0x88, 0x90, 0x98, 0xa0, 0xa8, 0xb0, 0xb8, 0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8,
        0xf0,
    ],
    ip: 0xf8,
    eflags: 0x44,
    selectors: [0x3c, 0x38, 0x42, 0x3a, 0x3e, 0x40],
    architecture: CONTEXT_AMD64,
};

/// The general registers, instruction pointer, flags, selectors and privilege level of the record at
/// `at`; `Err` of its `ContextFlags` when it does not hold them.
///
/// A record has no control registers and no segment bases.
pub(crate) fn read(
    file: Look<'_>,
    at: usize,
    wide: bool,
) -> Result<Result<CpuState, u32>, Malformed> {
    let places = if wide { &AMD64 } else { &I386 };
    let place = |offset: usize| at.saturating_add(offset);
    let flags = Cursor::new(file, place(places.flags)).le32("ContextFlags")?;
    if flags & places.architecture == 0 || flags & CONTROL_INTEGER != CONTROL_INTEGER {
        return Ok(Err(flags));
    }
    let word = |offset: usize, name: &str| {
        let mut cursor = Cursor::new(file, place(offset));
        if wide {
            cursor.le64(name)
        } else {
            cursor.le32(name).map(u64::from)
        }
    };
    let mut general = [0; 16];
    for (register, offset) in general.iter_mut().zip(places.general) {
        *register = word(*offset, "a general register")?;
    }
    let selector = |offset: usize| -> Result<Segment, Malformed> {
        Ok(Segment {
            selector: Some(Cursor::new(file, place(offset)).le16("a selector")?),
            ..Segment::default()
        })
    };
    let eflags = Cursor::new(file, place(places.eflags)).le32("EFlags")?;
    let [es, cs, ss, ds, fs, gs] = places.selectors;
    let mut cpu = CpuState {
        general: Some(general),
        rip: word(places.ip, "the instruction pointer")?,
        rflags: Some(eflags.into()),
        long_mode: Some(wide),
        a20_mask: u64::MAX,
        ..CpuState::default()
    };
    cpu.segments.es = selector(es)?;
    cpu.segments.cs = selector(cs)?;
    cpu.segments.ss = selector(ss)?;
    cpu.segments.ds = selector(ds)?;
    cpu.segments.fs = selector(fs)?;
    cpu.segments.gs = selector(gs)?;
    cpu.cpl = cpu.segments.cs.selector.map(|cs| (cs & 3) as u8);
    Ok(Ok(cpu))
}
