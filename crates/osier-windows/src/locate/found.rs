//! What finding a kernel starts from and ends with.

use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::{BuildId, Card, OsKind, Profile};

use crate::symbols;
use crate::windows_policy;

/// Where a Windows kernel lies in a machine, each part confirmed.
#[derive(Clone, Debug)]
pub struct Located {
    /// The paging mode of the kernel.
    pub mode: Paging,
    /// The root of a page table that maps the kernel, physical; 0 where there are no tables.
    pub root: PhysAddr,
    /// The kernel's base address: that of its PE header.
    pub base: VirtAddr,
    /// The bits of a page-table entry that mark encrypted memory; 0 where it is plain.
    pub encryption: u64,
    /// `SizeOfImage`; `None` when the header was not captured.
    pub size: Option<u64>,
    /// GUID and age of the kernel's PDB.
    pub build_id: Option<BuildId>,
    /// The name of the kernel's PDB, such as `ntkrnlmp.pdb`.
    pub pdb: Option<String>,
    /// Whether the image has no debug directory, so that nothing in memory names a PDB of it: other
    /// linkers than Microsoft's leave it out.
    pub unnamed: bool,
    /// Major and minor version, as `_KUSER_SHARED_DATA` shows them to every process; `None` where that page
    /// cannot be read or shows none.
    pub version: Option<(u32, u32)>,
    /// `PsActiveProcessHead` as a crash dump's header or KDBG names it.
    pub active_processes: Option<VirtAddr>,
    /// `PsLoadedModuleList`, likewise.
    pub loaded_modules: Option<VirtAddr>,
    /// How each part was decided.
    pub premises: Vec<Premise>,
}

/// A kernel that was met before. Addresses count from the image's base.
#[derive(Clone, Debug)]
pub struct KnownKernel {
    /// GUID and age of its PDB.
    pub build_id: Option<BuildId>,
    /// Bytes of a pointer.
    pub pointer_bytes: u8,
    /// `PsActiveProcessHead`.
    pub active_processes: u64,
    /// `PsLoadedModuleList`.
    pub loaded_modules: u64,
    /// `KdDebuggerDataBlock`.
    pub debugger_data: Option<u64>,
}

impl KnownKernel {
    /// What to know a kernel by that a stored profile describes; `None` when it lacks the symbols.
    pub fn of_card(card: &Card) -> Option<Self> {
        if card.identity.os != OsKind::Windows {
            return None;
        }
        Some(Self {
            build_id: card.identity.build_id.clone(),
            pointer_bytes: card.identity.pointer_bytes,
            active_processes: card.anchor(symbols::PsActiveProcessHead)?,
            loaded_modules: card.anchor(symbols::PsLoadedModuleList)?,
            debugger_data: card.anchor(symbols::KdDebuggerDataBlock),
        })
    }

    /// As [`of_card`](Self::of_card), of a profile in hand.
    pub fn of_profile(profile: &Profile) -> Option<Self> {
        let identity = profile.identity();
        if identity.os != OsKind::Windows {
            return None;
        }
        Some(Self {
            build_id: identity.build_id.clone(),
            pointer_bytes: identity.pointer_bytes,
            active_processes: profile.symbol(symbols::PsActiveProcessHead)?,
            loaded_modules: profile.symbol(symbols::PsLoadedModuleList)?,
            debugger_data: profile.symbol(symbols::KdDebuggerDataBlock),
        })
    }
}

impl Located {
    /// The address space of the table that the kernel was found by.
    pub fn space(&self, machine: &Machine) -> AddressSpace {
        let memory = machine.memory.clone();
        AddressSpace::new(memory, self.mode, self.root, windows_policy)
            .with_encryption(self.encryption)
    }
}

/// Why no kernel was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no Windows kernel found: {tried}")]
pub struct LocateError {
    /// What was tried, in words.
    pub tried: String,
}

pub(crate) fn premise(about: &'static str, value: &str, by: &str) -> Premise {
    Premise {
        about,
        value: value.to_owned(),
        by: by.to_owned(),
    }
}
