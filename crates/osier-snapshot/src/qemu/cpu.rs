//! The `cpu` section: an x86 processor's state.
//!
//! The fields stand one after another without tags. Their order is known from QEMU's
//! `target/i386/machine.c` (it has not changed since 2.9 as far as the fields read here go); the
//! stream's own description (vmdesc) is believed first.

use osier_memory::{CpuState, Segment};
use serde_json::Value;

use crate::bytes::Cursor;
use crate::error::Malformed;

/// Where a field stands in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    offset: u64,
    bytes: u64,
}

/// The places of the fields that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of a register: 8 or 4.
    word: u64,
    fields: Vec<(String, Slot)>,
}

/// The fields in wire order, up to the last that is read: name, elements, bytes of each on a
/// 64-bit and on a 32-bit target (0: not there).
const FIELDS: &[(&str, u64, u64, u64)] = &[
    ("env.regs", 0, 8, 4), // 16 or 8 of them
    ("env.eip", 1, 8, 4),
    ("env.eflags", 1, 8, 4),
    ("env.hflags", 1, 4, 4),
    ("fpu", 1, 8, 8),
    ("env.fpregs", 8, 10, 10),
    ("env.segs", 6, 20, 16),
    ("env.ldt", 1, 20, 16),
    ("env.tr", 1, 20, 16),
    ("env.gdt", 1, 20, 16),
    ("env.idt", 1, 20, 16),
    ("env.sysenter_cs", 1, 4, 4),
    ("env.sysenter_esp", 1, 8, 4),
    ("env.sysenter_eip", 1, 8, 4),
    ("env.cr[0]", 1, 8, 4),
    ("env.cr[2]", 1, 8, 4),
    ("env.cr[3]", 1, 8, 4),
    ("env.cr[4]", 1, 8, 4),
    ("env.dr", 8, 8, 4),
    ("env.a20_mask", 1, 4, 4),
    ("env.mxcsr", 1, 4, 4),
    ("env.xmm_regs", 0, 16, 16), // 16 or 8 of them
    ("env.efer", 1, 8, 0),
    ("env.star", 1, 8, 0),
    ("env.lstar", 1, 8, 0),
    ("env.cstar", 1, 8, 0),
    ("env.fmask", 1, 8, 0),
    ("env.kernelgsbase", 1, 8, 0),
];

/// Bytes of the whole fixed payload of version 12, by register width.
const PAYLOAD_64: u64 = 0x719;
const PAYLOAD_32: u64 = 0x521;

impl Layout {
    /// The layout of a 64-bit or 32-bit target.
    pub(crate) fn fixed(wide: bool) -> Self {
        let (word, registers) = if wide { (8, 16) } else { (4, 8) };
        let mut offset = 0_u64;
        let mut fields = Vec::new();
        for &(name, elements, wide_bytes, narrow_bytes) in FIELDS {
            let elements = if elements == 0 { registers } else { elements };
            let bytes = if wide { wide_bytes } else { narrow_bytes };
            if bytes > 0 {
                fields.push((name.to_owned(), Slot { offset, bytes }));
                offset = offset.saturating_add(elements.saturating_mul(bytes));
            }
        }
        Self { word, fields }
    }

    /// The layout that the stream's description gives of `cpu`; `None` when it has none.
    pub(crate) fn described(vmdesc: &Value) -> Option<Self> {
        let devices = vmdesc.get("devices")?.as_array()?;
        let cpu = devices
            .iter()
            .find(|device| device.get("name") == Some(&Value::from("cpu")))?;
        let mut offset = 0_u64;
        let mut word = 0;
        let mut fields = Vec::new();
        for field in cpu.get("fields")?.as_array()? {
            let name = field.get("name")?.as_str()?;
            let bytes = field.get("size")?.as_u64()?;
            let elements = field.get("array_len").map_or(Some(1), Value::as_u64)?;
            if name == "env.regs" {
                word = bytes;
            }
            fields.push((name.to_owned(), Slot { offset, bytes }));
            offset = offset.checked_add(bytes.checked_mul(elements)?)?;
        }
        matches!(word, 4 | 8).then_some(Self { word, fields })
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, slot)| *slot)
    }
}

/// Which fixed layout fits a payload at `start`: a footer or a subsection must follow it.
pub(crate) fn guess(data: &[u8], start: u64) -> Option<Layout> {
    let follows = |bytes: u64| {
        let at = usize::try_from(start.checked_add(bytes)?).ok()?;
        data.get(at)
            .copied()
            .filter(|next| matches!(next, 0x7e | 0x05))
    };
    if follows(PAYLOAD_64).is_some() {
        Some(Layout::fixed(true))
    } else {
        follows(PAYLOAD_32).map(|_| Layout::fixed(false))
    }
}

/// Reads the processor `index` whose payload starts at file offset `start`.
pub(crate) fn read(
    data: &[u8],
    start: u64,
    layout: &Layout,
    index: u32,
) -> Result<CpuState, Malformed> {
    let number = |name: &str, element: u64, part: u64| -> Result<Option<u64>, Malformed> {
        let Some(slot) = layout.slot(name) else {
            return Ok(None);
        };
        let inside = slot
            .offset
            .saturating_add(element.saturating_mul(slot.bytes));
        let mut at = Cursor::new(data, start.saturating_add(inside).saturating_add(part));
        let bytes = if part > 0 || slot.bytes > 8 {
            4
        } else {
            slot.bytes
        };
        Ok(Some(match bytes {
            8 => at.be64(name)?,
            4 => u64::from(at.be32(name)?),
            2 => u64::from(at.be16(name)?),
            _ => u64::from(at.u8(name)?),
        }))
    };
    let segment = |name: &str, element: u64| -> Result<Segment, Malformed> {
        let Some(slot) = layout.slot(name) else {
            return Ok(Segment::default());
        };
        let inside = slot
            .offset
            .saturating_add(element.saturating_mul(slot.bytes));
        let mut at = Cursor::new(data, start.saturating_add(inside));
        let selector = at.be32(name)? as u16;
        let base = if layout.word == 8 {
            at.be64(name)?
        } else {
            u64::from(at.be32(name)?)
        };
        Ok(Segment {
            selector,
            base,
            limit: at.be32(name)?,
            flags: at.be32(name)?,
        })
    };
    let plain = |name: &str| number(name, 0, 0).map(Option::unwrap_or_default);
    let mut cpu = CpuState {
        index,
        ..CpuState::default()
    };
    let registers = if layout.word == 8 { 16 } else { 8 };
    for (at, slot) in (0..registers).zip(&mut cpu.general) {
        *slot = number("env.regs", at, 0)?.unwrap_or_default();
    }
    cpu.rip = plain("env.eip")?;
    cpu.rflags = plain("env.eflags")?;
    let hflags = plain("env.hflags")?;
    let s = &mut cpu.segments;
    let six = [
        &mut s.es, &mut s.cs, &mut s.ss, &mut s.ds, &mut s.fs, &mut s.gs,
    ];
    for (at, slot) in (0..).zip(six) {
        *slot = segment("env.segs", at)?;
    }
    s.ldt = segment("env.ldt", 0)?;
    s.tr = segment("env.tr", 0)?;
    s.gdt = segment("env.gdt", 0)?;
    s.idt = segment("env.idt", 0)?;
    cpu.cr0 = plain("env.cr[0]")?;
    cpu.cr2 = plain("env.cr[2]")?;
    cpu.cr3 = plain("env.cr[3]")?;
    cpu.cr4 = plain("env.cr[4]")?;
    // A signed 32-bit mask: -1 when A20 is on.
    let a20 = plain("env.a20_mask")? as u32;
    cpu.a20_mask = i64::from(a20.cast_signed()).cast_unsigned();
    cpu.efer = number("env.efer", 0, 0)?;
    cpu.lstar = number("env.lstar", 0, 0)?;
    cpu.kernel_gs_base = number("env.kernelgsbase", 0, 0)?;
    cpu.cpl = (hflags & 3) as u8;
    cpu.long_mode =
        Some(cpu.efer.is_some_and(|efer| efer & (1 << 10) != 0) || hflags & 0x4000 != 0);
    Ok(cpu)
}
