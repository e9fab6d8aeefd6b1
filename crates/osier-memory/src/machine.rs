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
    /// The page-table root that the kernel was read by the last time this snapshot was opened.
    LastRoot(PhysAddr),
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

/// One processor's registers. 32-bit registers are zero-extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuState {
    /// The processor's index, from 0.
    pub index: u32,
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15 (the encoding order of x86); the upper eight are 0
    /// on a 32-bit processor.
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags register.
    pub rflags: u64,
    /// Segment registers and descriptor tables.
    pub segments: Segments,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// CR3, with its low bits.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// `MSR_EFER`; `None` when the file does not hold it.
    pub efer: Option<u64>,
    /// Whether long mode is active, from EFER or whatever else the file holds; `None` when nothing
    /// tells.
    pub long_mode: Option<bool>,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// `MSR_LSTAR`, the 64-bit system-call entry; `None` when the file does not hold it.
    pub lstar: Option<u64>,
    /// `MSR_KERNEL_GS_BASE`; `None` when the file does not hold it.
    pub kernel_gs_base: Option<u64>,
    /// The A20 mask that every physical address is and-ed with; all ones when A20 is on.
    pub a20_mask: u64,
}

/// A segment register, or a descriptor-table register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Linear base address.
    pub base: u64,
    /// Limit in bytes.
    pub limit: u32,
    /// The descriptor's second word, attributes in place.
    pub flags: u32,
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

impl CpuState {
    /// The paging mode that these registers put the processor in; `None` when long mode cannot be
    /// told from what the file holds.
    pub fn paging(&self) -> Option<Paging> {
        const PG: u64 = 1 << 31;
        const PSE: u64 = 1 << 4;
        const PAE: u64 = 1 << 5;
        const LA57: u64 = 1 << 12;
        if self.cr0 & PG == 0 {
            return Some(Paging::Flat);
        }
        if self.cr4 & PAE == 0 {
            return Some(if self.cr4 & PSE != 0 {
                Paging::Legacy
            } else {
                Paging::LegacyNoPse
            });
        }
        match self.long_mode {
            Some(true) if self.cr4 & LA57 != 0 => Some(Paging::Long5),
            Some(true) => Some(Paging::Long4),
            Some(false) => Some(Paging::Pae),
            None => None,
        }
    }
}
