//! The `CONTEXT` record of a crash dump's header.

use osier_memory::{CpuState, Segment};

use super::header::Header;
use crate::cursor::Cursor;
use crate::error::Malformed;

/// `CONTEXT_i386` and `CONTEXT_AMD64`: the architecture bit of `ContextFlags`.
const CONTEXT_I386: u32 = 0x1_0000;
const CONTEXT_AMD64: u32 = 0x10_0000;
/// `CONTEXT_CONTROL | CONTEXT_INTEGER` without the architecture.
const CONTROL_INTEGER: u32 = 3;

const CR0_PE_PG: u64 = 1 | 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;

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

/// The processor that the header's context record describes, and what there is to say of it.
///
/// A record has no control registers and no segment bases. CR3 is the header's
/// `DirectoryTableBase`; CR0 and CR4 carry no more than the paging that the header's width and
/// `PaeEnabled` tell of; bases are left 0. The record does not say which processor it is of: the
/// one that crashed, or of a live dump the one whose thread wrote it.
pub(super) fn of_header(
    file: &[u8],
    header: &Header,
) -> Result<(Option<CpuState>, String), Malformed> {
    let at = if header.wide { &AMD64 } else { &I386 };
    let place = |offset: usize| header.context_at.saturating_add(offset);
    let flags = Cursor::new(file, place(at.flags)).le32("ContextFlags")?;
    if flags & at.architecture == 0 || flags & CONTROL_INTEGER != CONTROL_INTEGER {
        return Ok((None, format!("not used: ContextFlags {flags:#x}")));
    }
    let word = |offset: usize, name: &str| {
        let mut cursor = Cursor::new(file, place(offset));
        if header.wide {
            cursor.le64(name)
        } else {
            cursor.le32(name).map(u64::from)
        }
    };
    let mut general = [0; 16];
    for (register, offset) in general.iter_mut().zip(at.general) {
        *register = word(*offset, "a general register")?;
    }
    let selector = |offset: usize| -> Result<Segment, Malformed> {
        Ok(Segment {
            selector: Cursor::new(file, place(offset)).le16("a selector")?,
            ..Segment::default()
        })
    };
    let [es, cs, ss, ds, fs, gs] = at.selectors;
    let mut cpu = CpuState {
        general,
        rip: word(at.ip, "the instruction pointer")?,
        rflags: Cursor::new(file, place(at.eflags)).le32("EFlags")?.into(),
        cr0: CR0_PE_PG,
        cr3: header.hint.table_root.0,
        cr4: if header.wide || header.hint.pae == Some(true) {
            CR4_PSE | CR4_PAE
        } else {
            CR4_PSE
        },
        long_mode: Some(header.wide),
        a20_mask: u64::MAX,
        ..CpuState::default()
    };
    cpu.segments.es = selector(es)?;
    cpu.segments.cs = selector(cs)?;
    cpu.segments.ss = selector(ss)?;
    cpu.segments.ds = selector(ds)?;
    cpu.segments.fs = selector(fs)?;
    cpu.segments.gs = selector(gs)?;
    cpu.cpl = (cpu.segments.cs.selector & 3) as u8;
    let said = format!(
        "ContextFlags {flags:#x}, of one processor whose number is not there; CR3 is \
         DirectoryTableBase, CR0 and CR4 are inferred, segment bases are not there",
    );
    Ok((Some(cpu), said))
}
