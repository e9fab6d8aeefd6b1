//! A kernel that was found, of whichever operating system.

use std::ops::Range;
use std::sync::Arc;

use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::{FoundKernel, Premise};
use osier_profile::{BuildId, OsKind, Profile};

/// Where a kernel lies in a machine.
#[derive(Clone, Debug)]
pub enum Located {
    /// A Linux kernel.
    Linux(osier_linux::Located),
    /// A Windows kernel.
    Windows(osier_windows::Located),
    /// A kernel of a system of the registry, and what was decided besides what it says itself.
    Other(Arc<dyn FoundKernel>),
}

impl Located {
    /// What its system says of it.
    pub(crate) fn found(&self) -> &dyn FoundKernel {
        match self {
            Self::Linux(found) => found,
            Self::Windows(found) => found,
            Self::Other(found) => &**found,
        }
    }

    /// Its operating system.
    pub const fn os(&self) -> OsKind {
        match self {
            Self::Linux(_) => OsKind::Linux,
            Self::Windows(_) => OsKind::Windows,
            Self::Other(_) => OsKind::Other,
        }
    }

    /// The name of its system: `linux`, `windows`, or what one of the registry is called.
    pub fn system(&self) -> &'static str {
        self.found().system()
    }

    /// The kernel's paging mode.
    pub fn mode(&self) -> Paging {
        self.found().mode()
    }

    /// The root of a page table that maps the kernel, physical.
    pub fn root(&self) -> PhysAddr {
        self.found().root()
    }

    /// Where the kernel runs. Linux: `_text`. Windows: the image's header.
    pub fn base(&self) -> VirtAddr {
        self.image().start
    }

    /// The addresses of the kernel's image, as far as they are known.
    pub(crate) fn image(&self) -> Range<VirtAddr> {
        self.found().image()
    }

    /// The GNU build id, or GUID and age of the PDB.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.found().build_id()
    }

    /// What the kernel is called: the Linux banner, or a Windows kernel's PDB. Bytes.
    pub fn banner(&self) -> Vec<u8> {
        self.found().banner()
    }

    /// The release that a Linux banner names; empty for Windows.
    pub fn release(&self) -> String {
        self.found().release()
    }

    /// What to try first when a snapshot like this one is opened.
    pub fn last(&self) -> LastKernel {
        LastKernel {
            os: self.os(),
            root: self.root(),
            mode: self.mode(),
        }
    }

    /// The address space of the table that the kernel was found by, or of the kernel's own.
    pub fn space(&self, machine: &Machine) -> AddressSpace {
        self.found().space(machine)
    }

    /// How each part was decided.
    pub fn premises(&self) -> &[Premise] {
        self.found().premises()
    }

    /// What every kernel of the system has and `profile` does not tell.
    pub(crate) fn lacking(&self, profile: &Profile) -> Vec<String> {
        self.found().lacking(profile)
    }
}

/// A kernel that was found before, in this snapshot or one like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastKernel {
    /// Its operating system.
    pub os: OsKind,
    /// Its page-table root, physical.
    pub root: PhysAddr,
    /// Its paging mode.
    pub mode: Paging,
}
