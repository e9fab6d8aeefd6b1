//! A kernel that was found, of whichever operating system.

use std::ops::Range;

use osier_linux::Linux;
use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::{Osi, Premise};
use osier_profile::{BuildId, OsKind, Profile};
use osier_windows::Windows;

/// Where a kernel lies in a machine.
#[derive(Clone, Debug)]
pub enum Located {
    /// A Linux kernel.
    Linux(osier_linux::Located),
    /// A Windows kernel.
    Windows(osier_windows::Located),
}

impl Located {
    /// Its operating system.
    pub const fn os(&self) -> OsKind {
        match self {
            Self::Linux(_) => OsKind::Linux,
            Self::Windows(_) => OsKind::Windows,
        }
    }

    /// The kernel's paging mode.
    pub const fn mode(&self) -> Paging {
        match self {
            Self::Linux(found) => found.mode,
            Self::Windows(found) => found.mode,
        }
    }

    /// The root of a page table that maps the kernel, physical.
    pub const fn root(&self) -> PhysAddr {
        match self {
            Self::Linux(found) => found.root,
            Self::Windows(found) => found.root,
        }
    }

    /// Where the kernel runs. Linux: `_text`. Windows: the image's header.
    pub const fn base(&self) -> VirtAddr {
        match self {
            Self::Linux(found) => found.text,
            Self::Windows(found) => found.base,
        }
    }

    /// The addresses of the kernel's image, as far as they are known.
    pub(crate) fn image(&self) -> Range<VirtAddr> {
        /// The least that a Windows kernel whose header was not captured has.
        const LEAST: u64 = 1 << 20;
        match self {
            Self::Linux(found) => found.text..found.end,
            Self::Windows(found) => found.base..found.base.plus(found.size.unwrap_or(LEAST)),
        }
    }

    /// The GNU build id, or GUID and age of the PDB.
    pub const fn build_id(&self) -> Option<&BuildId> {
        match self {
            Self::Linux(found) => found.build_id.as_ref(),
            Self::Windows(found) => found.build_id.as_ref(),
        }
    }

    /// What the kernel is called: the Linux banner, or a Windows kernel's PDB. Bytes.
    pub fn banner(&self) -> Vec<u8> {
        match self {
            Self::Linux(found) => found.banner.clone(),
            Self::Windows(found) => found.pdb.clone().unwrap_or_default().into_bytes(),
        }
    }

    /// The release that a Linux banner names; empty for Windows.
    pub fn release(&self) -> String {
        match self {
            Self::Linux(found) => found.release(),
            Self::Windows(_) => String::new(),
        }
    }

    /// What to try first when a snapshot like this one is opened.
    pub const fn last(&self) -> Last {
        Last {
            os: self.os(),
            root: self.root(),
        }
    }

    /// The address space of the table that the kernel was found by, or of the kernel's own.
    pub fn space(&self, machine: &Machine) -> AddressSpace {
        match self {
            Self::Linux(found) => found.space(machine),
            Self::Windows(found) => found.space(machine),
        }
    }

    /// How each part was decided.
    pub fn premises(&self) -> &[Premise] {
        match self {
            Self::Linux(found) => &found.premises,
            Self::Windows(found) => &found.premises,
        }
    }

    /// The provider of this kernel, read by `profile`.
    ///
    /// # Errors
    ///
    /// The profile does not serve.
    pub(crate) fn attach(
        &self,
        machine: &Machine,
        profile: std::sync::Arc<Profile>,
    ) -> Result<Box<dyn Osi>, AttachError> {
        Ok(match self {
            Self::Linux(found) => Box::new(Linux::attach(machine, found, profile)?),
            Self::Windows(found) => Box::new(Windows::attach(machine, found, profile)?),
        })
    }
}

/// A kernel that was found before, in this snapshot or one like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Last {
    /// Its operating system.
    pub os: OsKind,
    /// Its page-table root, physical.
    pub root: PhysAddr,
}

/// Why no provider could be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// For Linux.
    #[error(transparent)]
    Linux(#[from] osier_linux::AttachError),
    /// For Windows.
    #[error(transparent)]
    Windows(#[from] osier_windows::AttachError),
}
