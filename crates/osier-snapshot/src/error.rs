//! Why a snapshot could not be opened.

use std::io;
use std::path::PathBuf;

/// Why a snapshot could not be opened: the file, the place, and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("{file}: {source}", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is of a known format that is not read.
    #[error("{file}: this is a {format}, which is not read; {way_out}", file = file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The format.
        format: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
    /// The file's structure is broken.
    #[error("{file}: at offset {offset:#x}: {problem}", file = file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The file offset of the fault.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// Nothing in the file can be memory.
    #[error("{file}: {problem}", file = file.display())]
    NotASnapshot {
        /// The file.
        file: PathBuf,
        /// Why not, and what would be.
        problem: String,
    },
}

/// A fault of a file's structure, before the file's name is known.
#[derive(Debug)]
pub(crate) struct Malformed {
    /// File offset.
    pub(crate) offset: u64,
    /// What is wrong.
    pub(crate) problem: String,
}

impl Malformed {
    pub(crate) fn new(offset: u64, problem: impl Into<String>) -> Self {
        Self {
            offset,
            problem: problem.into(),
        }
    }

    pub(crate) fn in_file(self, file: PathBuf) -> OpenError {
        OpenError::Malformed {
            file,
            offset: self.offset,
            problem: self.problem,
        }
    }
}
