//! The notes of `VirtualBox`'s cores (`VBoxManage debugvm VM dumpvmcore`): `VBCORE`, which describes
//! the core, and a `VBCPU` for each processor.
//!
//! Source: `VirtualBox` `include/VBox/vmm/dbgfcorefmt.h`, `VMMR3/DBGFCoreWrite.cpp` (formats 1.4 to
//! 1.6, whose fields up to the MSRs are the same).

use osier_memory::{CpuState, Segment, Segments};

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::registers::{ATTRIBUTES, privilege};

/// `NT_VBOXCORE`.
pub(crate) const CORE: u32 = 0xb00;
/// `NT_VBOXCPU`.
pub(crate) const CPU: u32 = 0xb01;

const MAGIC: u32 = 0xc01a_c0de;
/// `EFER.LMA`.
const LONG_MODE_ACTIVE: u64 = 1 << 10;

/// `DBGFCOREDESCRIPTOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// `u32FmtVersion`: major in the upper half, minor in the lower.
    pub(crate) format: u32,
    /// `u32VBoxVersion`: major, minor, build of 8, 8 and 16 bits.
    pub(crate) version: u32,
    /// `u32VBoxRevision`.
    pub(crate) revision: u32,
    /// `cCpus`.
    pub(crate) cpus: u32,
}

impl Descriptor {
    /// Reads the note's data; `None` when it is no such descriptor.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(data, 0);
        let mut word = || at.le32("a word").ok();
        let magic = word()?;
        let format = word()?;
        let _size = word()?;
        let descriptor = Self {
            format,
            version: word()?,
            revision: word()?,
            cpus: word()?,
        };
        (magic == MAGIC).then_some(descriptor)
    }

    /// The descriptor as a line.
    pub(crate) fn words(self) -> String {
        let [major, minor, build @ ..] = self.version.to_be_bytes();
        format!(
            "{major}.{minor}.{} r{}, core format {}.{}, {} processors",
            u16::from_be_bytes(build),
            self.revision,
            self.format >> 16,
            self.format & 0xffff,
            self.cpus
        )
    }

    /// Whether the processors' notes are of a layout that is read here.
    pub(crate) fn is_known(self) -> bool {
        (0x1_0004..0x2_0000).contains(&self.format)
    }
}

/// `DBGFCORECPU`: eighteen registers, six segments of `{u64 base, u32 limit, u32 attributes, u16
/// selector, 6 bytes}`, control and debug registers, the tables, LDTR and TR, and the MSRs.
pub(crate) fn cpu(data: &[u8]) -> Result<CpuState, Malformed> {
    let mut at = Cursor::new(data, 0);
    let mut reg = || at.le64("a register");
    let (rax, rbx, rcx, rdx) = (reg()?, reg()?, reg()?, reg()?);
    let (rsi, rdi) = (reg()?, reg()?);
    let mut general = [0; 16];
    for slot in general.iter_mut().skip(8) {
        *slot = reg()?;
    }
    let (rip, rsp, rbp, rflags) = (reg()?, reg()?, reg()?, reg()?);
    for (slot, value) in general
        .iter_mut()
        .zip([rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi])
    {
        *slot = value;
    }
    let (cs, ds, es) = (segment(&mut at)?, segment(&mut at)?, segment(&mut at)?);
    let (fs, gs, ss) = (segment(&mut at)?, segment(&mut at)?, segment(&mut at)?);
    let mut reg = || at.le64("a control register");
    let (cr0, cr2, cr3, cr4) = (reg()?, reg()?, reg()?, reg()?);
    at.pass(64, "debug registers")?;
    let (gdt, idt) = (table(&mut at)?, table(&mut at)?);
    let (ldt, tr) = (segment(&mut at)?, segment(&mut at)?);
    at.pass(24, "SYSENTER registers")?;
    let mut msr = || at.le64("an MSR");
    let (efer, _star, _pat, lstar) = (msr()?, msr()?, msr()?, msr()?);
    let (_cstar, _sfmask, kernel_gs_base) = (msr()?, msr()?, msr()?);
    Ok(CpuState {
        index: 0,
        general: Some(general),
        rip,
        rflags: Some(rflags),
        segments: Segments {
            es,
            cs,
            ss,
            ds,
            fs,
            gs,
            ldt,
            tr,
            gdt,
            idt,
        },
        cr0: Some(cr0),
        cr2: Some(cr2),
        cr3,
        cr4: Some(cr4),
        mode: None,
        efer: Some(efer),
        long_mode: Some(efer & LONG_MODE_ACTIVE != 0),
        cpl: privilege(cr0, rflags, ss.flags),
        lstar: Some(lstar),
        kernel_gs_base: Some(kernel_gs_base),
        a20_mask: u64::MAX,
    })
}

/// `DBGFCORESEL`. Its attributes are the descriptor's, shifted down by eight.
fn segment(at: &mut Cursor<'_>) -> Result<Segment, Malformed> {
    let base = at.le64("a segment's base")?;
    let limit = at.le32("a segment's limit")?;
    let attributes = at.le32("a segment's attributes")?;
    let selector = at.le16("a segment's selector")?;
    at.pass(6, "padding")?;
    Ok(Segment {
        selector: Some(selector),
        base: Some(base),
        limit: Some(limit),
        flags: Some(attributes.wrapping_shl(8) & ATTRIBUTES),
    })
}

/// `DBGFCOREXDTR`.
fn table(at: &mut Cursor<'_>) -> Result<Segment, Malformed> {
    let base = at.le64("a table's base")?;
    let limit = at.le32("a table's limit")?;
    at.pass(4, "padding")?;
    Ok(Segment {
        base: Some(base),
        limit: Some(limit),
        ..Segment::default()
    })
}
