//! The `cpu` section: an x86 processor's state, version 12.
//!
//! Fields stand one after another without tags, big-endian. The order is that of
//! `target/i386/machine.c` (`vmstate_x86_cpu`); the fields that are read have not moved between
//! QEMU 2.9 and 7.2.

use osier_memory::{CpuState, Segment};

use super::devices;
use super::marks::SUBSECTION;
use crate::cursor::Cursor;
use crate::registers::ATTRIBUTES;

/// One field of the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// The number of the first element.
    pub(crate) index: usize,
    pub(crate) elements: usize,
    /// Bytes from the start of the payload.
    pub(crate) offset: usize,
    /// Bytes of one element.
    pub(crate) size: usize,
}

/// The places of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of a register: 8 on an `x86_64` target, 4 on i386.
    pub(crate) word: usize,
    pub(crate) fields: Vec<Field>,
    /// Bytes of all fields, without subsections.
    pub(crate) bytes: usize,
}

/// The fields in wire order up to the last that is read: name, elements, and bytes of one on an
/// `x86_64` and on an i386 target.
const FIELDS: &[(&str, [usize; 2], [usize; 2])] = &[
    ("env.regs", [16, 8], [8, 4]),
    ("env.eip", [1, 1], [8, 4]),
    ("env.eflags", [1, 1], [8, 4]),
    ("env.hflags", [1, 1], [4, 4]),
    ("fpu control, status, tag, format", [4, 4], [2, 2]),
    ("env.fpregs", [8, 8], [10, 10]),
    ("env.segs", [6, 6], [20, 16]),
    ("env.ldt", [1, 1], [20, 16]),
    ("env.tr", [1, 1], [20, 16]),
    ("env.gdt", [1, 1], [20, 16]),
    ("env.idt", [1, 1], [20, 16]),
    ("env.sysenter_cs", [1, 1], [4, 4]),
    ("env.sysenter_esp", [1, 1], [8, 4]),
    ("env.sysenter_eip", [1, 1], [8, 4]),
    ("env.cr[0]", [1, 1], [8, 4]),
    ("env.cr[2]", [1, 1], [8, 4]),
    ("env.cr[3]", [1, 1], [8, 4]),
    ("env.cr[4]", [1, 1], [8, 4]),
    ("env.dr", [8, 8], [8, 4]),
    ("env.a20_mask", [1, 1], [4, 4]),
    ("env.mxcsr", [1, 1], [4, 4]),
    ("env.xmm_regs[0]", [16, 8], [16, 16]),
    ("env.efer", [1, 0], [8, 0]),
    ("env.star", [1, 0], [8, 0]),
    ("env.lstar", [1, 0], [8, 0]),
    ("env.cstar", [1, 0], [8, 0]),
    ("env.fmask", [1, 0], [8, 0]),
    ("env.kernelgsbase", [1, 0], [8, 0]),
];

/// Bytes of the whole payload of version 12 without subsections, on `x86_64` and on i386.
const PAYLOAD: [usize; 2] = [0x719, 0x521];

/// The fixed layout that fits `payload`, see [`ends`].
pub(crate) fn fixed(payload: &[u8], version: u32, open_end: bool) -> Option<Layout> {
    if version != 12 {
        return None;
    }
    let fits = |bytes: &usize| ends(payload, *bytes, open_end);
    let target = match PAYLOAD.each_ref().map(fits) {
        [true, false] => 0,
        [false, true] => 1,
        _ => return None, // neither, or no telling which
    };
    let of = |pair: &[usize; 2]| pair.get(target).copied().unwrap_or_default();
    let mut layout = Layout {
        word: of(&[8, 4]),
        bytes: of(&PAYLOAD),
        ..Layout::default()
    };
    let mut offset = 0_usize;
    for (name, elements, size) in FIELDS {
        let (elements, size) = (of(elements), of(size));
        if elements > 0 {
            layout.fields.push(Field {
                name: (*name).to_owned(),
                index: 0,
                elements,
                offset,
                size,
            });
        }
        offset = offset.saturating_add(elements.saturating_mul(size));
    }
    Some(layout)
}

/// Whether the fields of a section can end after `bytes` of its `payload`: it ends there, or a
/// subsection follows. With `open_end` the payload's end is not known, and what stands there must look
/// like what follows a section.
pub(crate) fn ends(payload: &[u8], bytes: usize, open_end: bool) -> bool {
    match payload.get(bytes..) {
        Some(rest) if open_end => devices::follows(rest),
        Some(rest) => matches!(rest, [] | [SUBSECTION, ..]),
        None => false,
    }
}

/// Reads processor `index` out of `payload`; `None` when a field that every version has is not
/// there, or the layout does not fit the payload.
pub(crate) fn decode(payload: &[u8], layout: &Layout, index: u32) -> Option<CpuState> {
    if layout.bytes > payload.len() {
        return None;
    }
    let fields = Fields { payload, layout };
    let mut cpu = CpuState {
        index,
        ..CpuState::default()
    };
    let registers = if layout.word == 8 { 16 } else { 8 };
    let mut general = [0; 16];
    for (at, slot) in general.iter_mut().enumerate().take(registers) {
        *slot = fields.number("env.regs", at)?;
    }
    cpu.general = Some(general);
    cpu.rip = fields.number("env.eip", 0)?;
    cpu.rflags = Some(fields.number("env.eflags", 0)?);
    let hflags = fields.number("env.hflags", 0)?;
    let s = &mut cpu.segments;
    let six = [
        &mut s.es, &mut s.cs, &mut s.ss, &mut s.ds, &mut s.fs, &mut s.gs,
    ];
    for (at, slot) in six.into_iter().enumerate() {
        *slot = fields.segment("env.segs", at)?;
    }
    s.ldt = fields.segment("env.ldt", 0)?;
    s.tr = fields.segment("env.tr", 0)?;
    s.gdt = fields.segment("env.gdt", 0)?;
    s.idt = fields.segment("env.idt", 0)?;
    cpu.cr0 = Some(fields.number("env.cr[0]", 0)?);
    cpu.cr2 = Some(fields.number("env.cr[2]", 0)?);
    cpu.cr3 = fields.number("env.cr[3]", 0)?;
    cpu.cr4 = Some(fields.number("env.cr[4]", 0)?);
    // A signed 32-bit mask: -1 when A20 is on.
    let a20 = (fields.number("env.a20_mask", 0)? as u32).cast_signed();
    cpu.a20_mask = i64::from(a20).cast_unsigned();
    cpu.efer = fields.number("env.efer", 0);
    cpu.lstar = fields.number("env.lstar", 0);
    cpu.kernel_gs_base = fields.number("env.kernelgsbase", 0);
    cpu.cpl = Some(hflags as u8 & 3);
    // HF_LMA_MASK; an i386 target has no long mode and never sets it.
    cpu.long_mode = Some(hflags & 1 << 14 != 0);
    Some(cpu)
}

/// The fields of one payload.
struct Fields<'a> {
    payload: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Fields<'a> {
    /// The bytes of element `at` of the field `name`.
    fn bytes(&self, name: &str, at: usize) -> Option<&'a [u8]> {
        let field = self.layout.fields.iter().find(|field| {
            field.name == name
                && at
                    .checked_sub(field.index)
                    .is_some_and(|inside| inside < field.elements)
        })?;
        let inside = at.checked_sub(field.index)?.checked_mul(field.size)?;
        let start = field.offset.checked_add(inside)?;
        self.payload.get(start..start.checked_add(field.size)?)
    }

    /// A big-endian number of at most eight bytes.
    fn number(&self, name: &str, at: usize) -> Option<u64> {
        let bytes = self.bytes(name, at)?;
        if bytes.is_empty() || bytes.len() > 8 {
            return None;
        }
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(bytes.iter().fold(0, fold))
    }

    /// A segment: selector, base, limit, flags.
    fn segment(&self, name: &str, at: usize) -> Option<Segment> {
        let mut bytes = Cursor::new(self.bytes(name, at)?, 0);
        let selector = bytes.be32("a selector").ok()? as u16;
        let base = if self.layout.word == 8 {
            bytes.be64("a base").ok()?
        } else {
            bytes.be32("a base").ok()?.into()
        };
        Some(Segment {
            selector: Some(selector),
            base: Some(base),
            limit: Some(bytes.be32("a limit").ok()?),
            flags: Some(bytes.be32("segment flags").ok()? & ATTRIBUTES),
        })
    }
}
