//! Notes of an ELF core: processors and VMCOREINFO.
//!
//! QEMU writes one `CORE` note of type 1 (`NT_PRSTATUS`) and one `QEMU` note of type 0 for each
//! processor (`target/i386/arch_dump.c`, QEMU 7.2), and a `VMCOREINFO` note when the guest gave it
//! one. A core that Osier wrote may have a note `OSIER` besides ([`crate::absent`]).

use osier_memory::{CpuState, Segment, Segments};

use crate::absent;
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::registers::{ATTRIBUTES, privilege};
use crate::source::{self, Source};
use crate::vbox;

/// `struct elf_prstatus` of x86-64.
const PRSTATUS_BYTES: usize = 336;
/// `QEMUCPUState` version 1 without `kernel_gs_base`.
const QEMU_BYTES: usize = 432;

/// What the notes say.
#[derive(Default)]
pub(crate) struct Notes {
    qemu: Vec<CpuState>,
    /// What the processors lack, by the note `OSIER`.
    absent: Vec<u64>,
    vbox: Vec<CpuState>,
    /// `VirtualBox`'s description of its core.
    pub(crate) vbox_core: Option<vbox::Descriptor>,
    /// Number of `NT_PRSTATUS` notes.
    pub(crate) prstatus: usize,
    /// Bytes of the last of them.
    prstatus_bytes: usize,
    /// The text of the `VMCOREINFO` note.
    pub(crate) vmcoreinfo: Option<Vec<u8>>,
    /// What the snapshot lacked that the core was made from.
    pub(crate) source: Source,
    /// Oddities that were survived.
    pub(crate) anomalies: Vec<Anomaly>,
    other: usize,
}

impl Notes {
    /// The processors, in the order of their notes. `long_machine` is whether `e_machine` is
    /// x86-64, which QEMU sets when the first processor is in long mode.
    pub(crate) fn cpus(&self, long_machine: bool) -> Vec<CpuState> {
        let long = |cpu: &CpuState| {
            const PG: u64 = 1 << 31;
            const PAE: u64 = 1 << 5;
            let set = |register: Option<u64>, bit| register.is_some_and(|value| value & bit != 0);
            long_machine && set(cpu.cr0, PG) && set(cpu.cr4, PAE)
        };
        self.qemu
            .iter()
            .zip(0_u32..)
            .map(|(cpu, index)| {
                let mut cpu = CpuState {
                    index,
                    long_mode: Some(long(cpu)),
                    ..cpu.clone()
                };
                let absent = self.absent.get(index as usize).copied();
                absent::forget(&mut cpu, absent.unwrap_or(0));
                cpu
            })
            .chain(self.vbox.iter().zip(0_u32..).map(|(cpu, index)| CpuState {
                index,
                ..cpu.clone()
            }))
            .collect()
    }

    /// Says when a processor that has an `NT_PRSTATUS` note has none of QEMU's, while others do: QEMU
    /// writes both of each. To be called when all notes are parsed.
    pub(crate) fn compare(&mut self) {
        if let Some(core) = self.vbox_core
            && core.cpus as usize != self.vbox.len()
            && !self.anomalies.iter().any(Anomaly::is_loss)
        {
            self.anomalies.push(Anomaly::processors(format!(
                "VirtualBox's core says {} processors, and {} are described",
                core.cpus,
                self.vbox.len()
            )));
        }
        let lacking = self.prstatus.saturating_sub(self.qemu.len());
        let told = self.anomalies.iter().any(Anomaly::is_loss);
        if !self.qemu.is_empty() && lacking > 0 && !told {
            self.anomalies.push(Anomaly::processors(format!(
                "{lacking} of {} processors have no QEMU note and are not shown",
                self.prstatus
            )));
        }
    }

    /// Whether `NT_PRSTATUS` is x86-64's, by its size; i386's has 144 bytes.
    pub(crate) fn is_wide(&self) -> bool {
        self.prstatus_bytes == PRSTATUS_BYTES
    }

    /// What to say of processors that have `NT_PRSTATUS` only.
    pub(crate) fn without_control_registers(&self) -> String {
        format!(
            "{} with general registers only (no control registers), not used",
            self.prstatus
        )
    }

    /// A line that counts the notes by name.
    pub(crate) fn names(&self) -> String {
        format!(
            "{} CORE (prstatus), {} QEMU, {} VMCOREINFO, {} other",
            self.prstatus,
            self.qemu.len(),
            usize::from(self.vmcoreinfo.is_some()),
            self.other
        )
    }
}

/// Adds the notes in `bytes`, which lie at file offset `base`, to `notes`. Notes that end early are
/// an anomaly, not an error: memory can be read without them.
pub(crate) fn parse(bytes: &[u8], base: u64, notes: &mut Notes) {
    let mut cursor = Cursor::new(bytes, 0);
    while cursor.left() >= 12 {
        if let Err(bad) = note(&mut cursor, notes) {
            notes.anomalies.push(Anomaly::processors(format!(
                "a note at file offset {:#x} is cut short",
                base.saturating_add(bad.offset)
            )));
            return;
        }
    }
}

fn note(cursor: &mut Cursor<'_>, notes: &mut Notes) -> Result<(), Malformed> {
    let name_bytes = cursor.le32("n_namesz")? as usize;
    let data_bytes = cursor.le32("n_descsz")? as usize;
    let kind = cursor.le32("n_type")?;
    let name = cursor.take(name_bytes, "a note's name")?;
    align(cursor);
    let data = cursor.take(data_bytes, "a note's data")?;
    align(cursor);
    let (name, data) = (&*name, &*data);
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    match (name, kind) {
        (b"CORE", 1) => {
            notes.prstatus = notes.prstatus.saturating_add(1);
            notes.prstatus_bytes = data.len();
        }
        (b"QEMU", 0) => match qemu_cpu(data) {
            Ok(Some(cpu)) => notes.qemu.push(cpu),
            Ok(None) | Err(_) => notes.anomalies.push(Anomaly::processors(
                "a QEMU note is not a processor's state of version 1",
            )),
        },
        (b"VBCORE", vbox::CORE) => notes.vbox_core = vbox::Descriptor::read(data),
        (b"VBCPU", vbox::CPU) => {
            let known = notes.vbox_core.is_some_and(vbox::Descriptor::is_known);
            match vbox::cpu(data) {
                Ok(cpu) if known => notes.vbox.push(cpu),
                _ => notes.anomalies.push(Anomaly::processors(
                    "a VBCPU note is not of a format that is read (1.4 and later)",
                )),
            }
        }
        (b"OSIER", absent::ABSENT) => {
            let (words, _) = data.as_chunks();
            notes.absent = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        }
        (b"OSIER", source::SOURCE) => {
            notes.source = Source::read(data);
            notes.anomalies.append(&mut notes.source.anomalies);
        }
        (b"VMCOREINFO", _) => notes.vmcoreinfo = Some(data.to_vec()),
        _ => notes.other = notes.other.saturating_add(1),
    }
    Ok(())
}

/// Moves to the next multiple of 4 bytes. QEMU pads relative to the note's own start, and notes
/// start aligned.
fn align(cursor: &mut Cursor<'_>) {
    let at = cursor.at();
    let pad = at.wrapping_neg() & 3;
    let pad = pad.min(cursor.left());
    let skipped = cursor.pass(pad, "padding");
    debug_assert!(skipped.is_ok(), "the padding is inside");
}

/// `QEMUCPUState`, version 1: `u32 version, u32 size, u64` RAX RBX RCX RDX RSI RDI RSP RBP R8…R15
/// RIP RFLAGS, ten segments CS DS ES FS GS SS LDT TR GDT IDT of `{u32 selector, u32 limit, u32
/// flags, u32 pad, u64 base}`, `u64 cr[5]`, and `u64 kernel_gs_base` when the size says so.
fn qemu_cpu(data: &[u8]) -> Result<Option<CpuState>, Malformed> {
    let mut at = Cursor::new(data, 0);
    let version = at.le32("version")?;
    let size = at.le32("size")? as usize;
    if version != 1 || size < QEMU_BYTES || data.len() < QEMU_BYTES {
        return Ok(None);
    }
    let mut reg = || at.le64("a register");
    let (rax, rbx, rcx, rdx) = (reg()?, reg()?, reg()?, reg()?);
    let (rsi, rdi, rsp, rbp) = (reg()?, reg()?, reg()?, reg()?);
    let mut general = [
        rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    for slot in general.iter_mut().skip(8) {
        *slot = reg()?;
    }
    let (rip, rflags) = (reg()?, reg()?);
    let mut segment = || -> Result<Segment, Malformed> {
        let selector = at.le32("a selector")? as u16;
        let limit = at.le32("a limit")?;
        let flags = at.le32("flags")? & ATTRIBUTES;
        at.le32("padding")?;
        let base = at.le64("a base")?;
        Ok(Segment {
            selector: Some(selector),
            base: Some(base),
            limit: Some(limit),
            flags: Some(flags),
        })
    };
    let (cs, ds, es) = (segment()?, segment()?, segment()?);
    let (fs, gs, ss) = (segment()?, segment()?, segment()?);
    let (ldt, tr, gdt, idt) = (segment()?, segment()?, segment()?, segment()?);
    let mut reg = || at.le64("a control register");
    let (cr0, _cr1, cr2, cr3, cr4) = (reg()?, reg()?, reg()?, reg()?, reg()?);
    let kernel_gs_base = if size >= QEMU_BYTES.saturating_add(8) && at.left() >= 8 {
        Some(at.le64("kernel_gs_base")?)
    } else {
        None
    };
    Ok(Some(CpuState {
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
        efer: None,
        long_mode: None,
        cpl: privilege(cr0, rflags, ss.flags),
        lstar: None,
        kernel_gs_base,
        a20_mask: u64::MAX,
    }))
}
