//! Why a snapshot could not be opened, or its kernel not be read.

use std::path::PathBuf;

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::NoAttach;
use osier_snapshot::OpenError;

use crate::import::ImportError;
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

/// Why a snapshot could not be opened, or its kernel not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The snapshot could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A kernel of a system of the registry was found, and its symbols were not.
    #[error("a {system} kernel was found, and its symbols are missing: {why}")]
    NoSymbols {
        /// The name of its system.
        system: &'static str,
        /// What is missing, and the way out.
        why: String,
    },
    /// The operating system's name is not known.
    #[error(transparent)]
    OsName(#[from] OsNameError),
    /// The operating system that was named is not the one that the snapshot holds.
    #[error("{named} was asked for, but {found}; name what it is, or leave the name out")]
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
    /// A folder of profiles that was named is not there.
    #[error(
        "{}: {source}; name a folder of kernel profiles",
        osier_text::path(path)
    )]
    Profiles {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The kernel was found, but not its types or symbols.
    #[error(transparent)]
    Missing(#[from] Box<MissingSymbols>),
    /// A Windows kernel was found, but not which build it is.
    #[error("a Windows kernel lies at {base}, but {why}; name {way} with --profile")]
    UnnamedPdb {
        /// The kernel's base.
        base: VirtAddr,
        /// Why nothing names its PDB.
        why: &'static str,
        /// What will do instead.
        way: &'static str,
    },
    /// The profile does not serve.
    #[error("{profile}: {source}")]
    Attach {
        /// Which profile.
        profile: String,
        /// What it lacks.
        source: NoAttach,
    },
}

/// What sort of error, for programs that treat sorts alike: bindings map each to an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file that was named is not there.
    NotFound,
    /// The file is no snapshot.
    NotASnapshot,
    /// The file contradicts its own format.
    Damaged,
    /// The format, or what was asked of it, is known and not read here.
    Unsupported,
    /// No kernel was found.
    NoKernel,
    /// A kernel was found, but not its types or symbols.
    SymbolsMissing,
    /// What was said is not what the snapshot shows.
    Contradiction,
    /// What was said cannot be understood.
    Usage,
    /// The operating system refused.
    Io,
}

/// The kind of a refusal by the operating system.
fn io_kind(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Io,
    }
}

impl Error {
    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => match error {
                OpenError::Io { source, .. } | OpenError::Read { source, .. } => io_kind(source),
                OpenError::NotASnapshot { .. } => ErrorKind::NotASnapshot,
                OpenError::Malformed { .. } => ErrorKind::Damaged,
                OpenError::Registers { .. } | OpenError::RamSplit { .. } => ErrorKind::Usage,
                OpenError::Stopped { .. } => ErrorKind::Io,
                _ => ErrorKind::Unsupported,
            },
            Self::Contradiction { .. }
            | Self::Profile(ImportError::Different { .. })
            | Self::ForeignRegisters { .. }
            | Self::ForeignProfile { .. }
            | Self::NotARoot { .. }
            | Self::Unapplied { .. } => ErrorKind::Contradiction,
            Self::Locate(_) => ErrorKind::NoKernel,
            Self::Profile(ImportError::Io { source, .. }) | Self::Profiles { source, .. } => {
                io_kind(source)
            }
            Self::Profile(ImportError::Symbols { .. }) => ErrorKind::Damaged,
            Self::OsName(_) | Self::Profile(_) => ErrorKind::Usage,
            Self::Missing(_)
            | Self::NoSymbols { .. }
            | Self::UnnamedPdb { .. }
            | Self::Attach { .. } => ErrorKind::SymbolsMissing,
        }
    }

    /// The file that the error is about, where it is about one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Open(
                OpenError::Io { path, .. }
                | OpenError::Read { path, .. }
                | OpenError::NotASnapshot { path, .. }
                | OpenError::Unsupported { path, .. }
                | OpenError::Malformed { path, .. }
                | OpenError::Registers { path, .. }
                | OpenError::ScratchLimit { path, .. }
                | OpenError::RamSplit { path, .. }
                | OpenError::Stopped { path },
            ) => Some(path),
            Self::ForeignRegisters { file, .. } | Self::ForeignProfile { file, .. } => Some(file),
            Self::Locate(missing) => Some(&missing.file),
            Self::Profile(ImportError::Io { file, .. } | ImportError::Symbols { file, .. }) => {
                Some(file)
            }
            _ => None,
        }
    }

    /// Where in its file a damaged snapshot contradicts its format, or could not be read: bytes from the
    /// start.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Open(OpenError::Malformed { offset, .. } | OpenError::Read { offset, .. }) => {
                Some(*offset)
            }
            _ => None,
        }
    }
}
