//! Opens a snapshot: a file goes in, a [`Machine`] comes out.
//!
//! A format is recognised by its content, never by its name. Opening reads headers and indexes;
//! pages are read when they are asked for, out of a map of the file.
//!
//! Nothing here knows an operating system: header facts that may help one travel as hints.

mod bytes;
mod elf;
mod error;
mod map;
mod open;
mod panda;
mod qemu;
mod raw;
mod registers;

use std::path::PathBuf;

pub use error::OpenError;
pub use open::{OpenOptions, open, panda_checksum};
use osier_memory::Machine;

/// An opened snapshot.
pub struct Snapshot {
    /// Memory, processors and hints.
    pub machine: Machine,
    /// What was recognised.
    pub info: SnapshotInfo,
}

/// What was recognised, for people.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// The format.
    pub format: Format,
    /// The file that holds the memory.
    pub file: PathBuf,
    /// Its size in bytes.
    pub file_bytes: u64,
    /// Header facts worth showing: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// Oddities that were survived.
    pub anomalies: Vec<String>,
}

/// A snapshot's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Bytes of physical memory from address 0 on, without a header.
    Raw,
    /// An ELF core of physical memory.
    ElfCore,
    /// A QEMU migration stream, PANDA's `NAME-rr-snp` among them.
    QemuStream,
}

impl Format {
    /// The name that `osier info` shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::ElfCore => "ELF core",
            Self::QemuStream => "QEMU migration stream",
        }
    }
}
