//! A machine as a snapshot holds it: memory, processors, and what the file's headers say.

use std::sync::Arc;

use crate::{Paging, PhysAddr, PhysicalMemory, VirtAddr};

/// A stopped machine.
#[derive(Clone)]
pub struct Machine {
    /// Guest-physical memory.
    pub memory: Arc<dyn PhysicalMemory>,
    /// The processors, by index; empty when the file holds no CPU state.
    pub cpus: Vec<CpuState>,
    /// Facts from the file's headers that may help an operating-system provider. Hints are
    /// confirmed before they are believed.
    pub hints: Vec<Hint>,
}

/// A fact from a snapshot's headers, passed on without understanding it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The text of a `VMCOREINFO` note.
    Vmcoreinfo(Vec<u8>),
    /// The emulated machine's type, such as `pc-i440fx-2.8`.
    MachineType(String),
    /// PANDA's `-os` string, from an archive's `metadata.json`.
    OsName(String),
    /// The page-table root that the kernel was read by the last time this snapshot was opened, and in
    /// which mode.
    LastRoot(PhysAddr, Paging),
    /// A page-table root (physical, low bits as in CR3) that the headers name.
    TableRoot(PhysAddr),
    /// The file holds blocks of virtual memory and no physical memory: what `Machine::memory`
    /// calls physical addresses are virtual ones, to be read in [`Paging::Virtual`] (of a 32-bit
    /// machine in [`Paging::Flat`]).
    VirtualBlocks,
    /// The header of a Windows crash dump.
    CrashDump(Box<CrashDump>),
    /// A driver that a Windows triage dump lists outside its blocks of memory.
    Driver(Driver),
}

/// What the header of a Windows crash dump (`_DUMP_HEADER`, `_DUMP_HEADER64`) says of the kernel,
/// as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashDump {
    /// `DirectoryTableBase`: CR3, with its low bits.
    pub table_root: PhysAddr,
    /// `PsLoadedModuleList`: the list head of the loaded modules.
    pub loaded_modules: VirtAddr,
    /// `PsActiveProcessHead`: the list head of the processes.
    pub active_processes: VirtAddr,
    /// `KdDebuggerDataBlock`; `None` when the header has none (0) or has none yet (old headers).
    pub debugger_data: Option<VirtAddr>,
    /// `MajorVersion` (0xf: free build, 0xc: checked build).
    pub major_version: u32,
    /// `MinorVersion`: the build number, or so it claims.
    pub minor_version: u32,
    /// `MachineImageType`: 0x14c is x86, 0x8664 x86-64.
    pub machine_type: u32,
    /// `NumberProcessors`.
    pub processors: u32,
    /// `PaeEnabled` of a 32-bit header; `None` in a 64-bit one, and where it is neither 0 nor 1.
    pub pae: Option<bool>,
    /// `SystemTime`, a FILETIME; `None` when the header does not hold it.
    pub system_time: Option<u64>,
    /// `BugCheckCode`.
    pub bug_check: u32,
}

/// One entry of a triage dump's driver list (`_DUMP_DRIVER_ENTRY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The name beside the entry: UTF-16, little-endian, as in the file.
    pub name: Vec<u16>,
    /// The copy of the driver's `_KLDR_DATA_TABLE_ENTRY`, as in the file.
    pub loader_entry: Vec<u8>,
    /// The file offset of that copy.
    pub offset: u64,
}

/// One processor's registers, as far as the file holds them: what it does not hold is `None`, and
/// never 0. 32-bit registers are zero-extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuState {
    /// The processor's index, from 0.
    pub index: u32,
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15 (the encoding order of x86); the upper eight are 0
    /// on a 32-bit processor. `None` when the file does not hold them all.
    pub general: Option<[u64; 16]>,
    /// Instruction pointer.
    pub rip: u64,
    /// Flags register.
    pub rflags: Option<u64>,
    /// Segment registers and descriptor tables.
    pub segments: Segments,
    /// CR0.
    pub cr0: Option<u64>,
    /// CR2.
    pub cr2: Option<u64>,
    /// CR3, with its low bits.
    pub cr3: u64,
    /// CR4.
    pub cr4: Option<u64>,
    /// The paging mode, where the file names it and does not hold CR0 and CR4;
    /// [`CpuState::paging`] tells it either way.
    pub mode: Option<Paging>,
    /// `MSR_EFER`; `None` when the file does not hold it.
    pub efer: Option<u64>,
    /// Whether long mode is active, from EFER or whatever else the file holds; `None` when nothing
    /// tells.
    pub long_mode: Option<bool>,
    /// Current privilege level, 0 to 3; `None` when nothing tells.
    pub cpl: Option<u8>,
    /// `MSR_LSTAR`, the 64-bit system-call entry; `None` when the file does not hold it.
    pub lstar: Option<u64>,
    /// `MSR_KERNEL_GS_BASE`; `None` when the file does not hold it.
    pub kernel_gs_base: Option<u64>,
    /// The A20 mask that every physical address is and-ed with; all ones when A20 is on, or the
    /// file does not say.
    pub a20_mask: u64,
}

/// A segment register, or a descriptor-table register; what the file does not hold is `None`. A
/// descriptor-table register has no selector and no flags, though some files show leftovers there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: Option<u16>,
    /// Linear base address.
    pub base: Option<u64>,
    /// Limit in bytes.
    pub limit: Option<u32>,
    /// The descriptor's second word, attributes in place.
    pub flags: Option<u32>,
}

/// All segment and descriptor-table registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the processor's own")]
pub struct Segments {
    pub es: Segment,
    pub cs: Segment,
    pub ss: Segment,
    pub ds: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ldt: Segment,
    pub tr: Segment,
    pub gdt: Segment,
    pub idt: Segment,
}

/// The bit of CR4 that asks for a fifth level.
const LA57: u64 = 1 << 12;

impl CpuState {
    /// The paging mode that the processor is in; `None` when what the file holds does not tell it.
    pub fn paging(&self) -> Option<Paging> {
        const PG: u64 = 1 << 31;
        const PSE: u64 = 1 << 4;
        const PAE: u64 = 1 << 5;
        let (Some(cr0), Some(cr4)) = (self.cr0, self.cr4) else {
            return self.mode;
        };
        if cr0 & PG == 0 {
            return Some(Paging::Flat);
        }
        if cr4 & PAE == 0 {
            return Some(if cr4 & PSE != 0 {
                Paging::Legacy
            } else {
                Paging::LegacyNoPse
            });
        }
        match self.long_mode {
            Some(true) if cr4 & LA57 != 0 => Some(Paging::Long5),
            Some(true) => Some(Paging::Long4),
            Some(false) => Some(Paging::Pae),
            None => None,
        }
    }

    /// The paging modes that the processor may be in, the likeliest first: the one of
    /// [`CpuState::paging`], or those that what the file holds allows.
    pub fn modes(&self) -> Vec<Paging> {
        match (self.paging(), self.long_mode, self.cr4) {
            (Some(mode), _, _) => vec![mode],
            (None, Some(true), _) => vec![Paging::Long4, Paging::Long5],
            (None, Some(false), _) => vec![Paging::Pae, Paging::Legacy],
            (None, None, Some(cr4)) if cr4 & LA57 != 0 => vec![Paging::Long5, Paging::Long4],
            (None, None, Some(_)) => vec![Paging::Long4, Paging::Pae],
            (None, None, None) => {
                vec![Paging::Long4, Paging::Long5, Paging::Pae, Paging::Legacy]
            }
        }
    }
}
