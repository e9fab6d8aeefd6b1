//! Why a session could not be had.

use std::path::PathBuf;

use osier_memory::{PhysAddr, VirtAddr};
use osier_snapshot::OpenError;

use crate::import::ImportError;
use crate::located::AttachError;
use crate::missing::{MissingSymbols, NoKernel};
use crate::os_name::OsNameError;

/// ` (one; two)`, or nothing.
fn in_brackets(facts: &[String]) -> String {
    if facts.is_empty() {
        String::new()
    } else {
        format!(" ({})", facts.join("; "))
    }
}

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
    /// The page-table root that was named maps no kernel.
    #[error(
        "no kernel is mapped by the page table at {root}{}; leave the root out to have it searched",
        in_brackets(.seen)
    )]
    NotARoot {
        /// The root, as it was given.
        root: PhysAddr,
        /// What was seen of a kernel elsewhere, in words.
        seen: Vec<String>,
    },
    /// The registers that were named are another machine's.
    #[error(
        "{}: these registers are another machine's: CR3 {cr3:#x} of CPU {cpu} maps neither the kernel nor \
         that processor's interrupt table, and the kernel was found by the page table at {root}; leave \
         the registers out, or give those of this snapshot",
        osier_text::path(.file)
    )]
    ForeignRegisters {
        /// The file with the registers.
        file: PathBuf,
        /// The processor.
        cpu: u32,
        /// Its CR3.
        cr3: u64,
        /// The table root that maps the kernel.
        root: PhysAddr,
    },
    /// Something was named that the snapshot has no use for.
    #[error("{named} was named, but {why}; leave it out")]
    Unapplied {
        /// What was named.
        named: String,
        /// Why it does not apply.
        why: String,
    },
    /// The profile that was named is of another kernel.
    #[error(
        "{} is the profile of another kernel: it is of {profile}, and the snapshot holds {snapshot}; leave \
         the profile out, or give that of this kernel",
        osier_text::path(.file)
    )]
    ForeignProfile {
        /// The profile's file.
        file: PathBuf,
        /// What the profile is of: a build id, or a banner.
        profile: String,
        /// What the snapshot shows.
        snapshot: String,
    },
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
