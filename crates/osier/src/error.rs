//! Why a session could not be had.

use osier_memory::{PhysAddr, VirtAddr};
use osier_snapshot::OpenError;

use crate::import::ImportError;
use crate::located::AttachError;
use crate::missing::{MissingSymbols, NoKernel};
use crate::os_name::OsNameError;

/// Why a session could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The snapshot could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system's name is none.
    #[error(transparent)]
    OsName(#[from] OsNameError),
    /// The operating system that was named is not the one that the snapshot holds.
    #[error("{named} was asked for, but {found}")]
    Contradiction {
        /// The name that was given.
        named: String,
        /// What the snapshot shows.
        found: String,
    },
    /// No kernel was found.
    #[error(transparent)]
    Locate(#[from] Box<NoKernel>),
    /// The page-table root that was named is not a kernel's.
    #[error("no kernel is mapped by the page table at {0}; leave the root out to have it searched")]
    NotARoot(PhysAddr),
    /// The profile that was named could not be read.
    #[error(transparent)]
    Profile(#[from] ImportError),
    /// The kernel was found, but not its types or symbols.
    #[error(transparent)]
    Missing(#[from] Box<MissingSymbols>),
    /// A Windows kernel was found, but not which build it is.
    #[error(
        "a Windows kernel lies at {base}, but the record that names its PDB was not captured; name \
         the profile or the PDB with --profile"
    )]
    UnnamedPdb {
        /// The kernel's base.
        base: VirtAddr,
    },
    /// The profile does not serve.
    #[error("{profile}: {source}")]
    Attach {
        /// Which profile.
        profile: String,
        /// What it lacks.
        source: AttachError,
    },
}
