//! Why a snapshot could not be opened.

use std::io;
use std::path::{Path, PathBuf};

/// Why a snapshot could not be opened: the file, the place in it, what was expected there, and the
/// way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("{}: {doing}: {source}", osier_text::path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file could not be read where its format has something to say: the disk failed, or the file
    /// became shorter meanwhile.
    #[error(
        "{}: at file offset {offset:#x}: cannot be read: {source}; copy the file to a good disk, and open it when nobody writes it",
        osier_text::path(path)
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The path names nothing that could be opened as a snapshot.
    #[error("{}: {found}; {way_out}", osier_text::path(path))]
    NotASnapshot {
        /// The path as given.
        path: PathBuf,
        /// What was found there.
        found: String,
        /// What to do about it.
        way_out: String,
    },
    /// The file is of a known format that is not read here.
    #[error(
        "{}: this is {format}, which is not read here; {way_out}",
        osier_text::path(path)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
        /// What to do about it.
        way_out: &'static str,
    },
    /// The file contradicts its own format.
    #[error(
        "{}: at file offset {offset:#x}: expected {expected}; {way_out}",
        osier_text::path(path)
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// What the format demands there.
        expected: String,
        /// What to do about it.
        way_out: &'static str,
    },
    /// A register file could not be understood.
    #[error("{}: {}", osier_text::path(path), of_registers(*line, expected))]
    Registers {
        /// The register file.
        path: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What was expected there.
        expected: String,
    },
    /// An archive holds more than may be unpacked.
    #[error(
        "{}: unpacks to more than the limit of {limit} bytes; raise it with --scratch-gib, or unpack it by hand",
        osier_text::path(path)
    )]
    ScratchLimit {
        /// The archive.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// RAM cannot be split there.
    #[error(
        "{}: RAM below 4 GiB cannot end at {split:#x}; --ram-split takes a multiple of 4096, from 4096 to 4G",
        osier_text::path(path)
    )]
    RamSplit {
        /// The file.
        path: PathBuf,
        /// The address, in bytes.
        split: u64,
    },
    /// Opening was ended by whoever asked for it ([`Progress::until`](crate::Progress::until)).
    #[error("{}: opening it was stopped", osier_text::path(path))]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}

/// A contradiction inside a file, before the file's name is known.
#[derive(Debug)]
pub(crate) struct Malformed {
    /// File offset.
    pub(crate) offset: u64,
    /// What the format demands there.
    pub(crate) expected: String,
    /// Whether the file ends there.
    pub(crate) ended: bool,
}

impl Malformed {
    pub(crate) fn new(offset: u64, expected: impl Into<String>) -> Self {
        Self {
            offset,
            expected: expected.into(),
            ended: false,
        }
    }

    /// The file ends at `offset`, or before what must stand there does.
    pub(crate) fn ended(offset: u64, expected: impl Into<String>) -> Self {
        Self {
            ended: true,
            ..Self::new(offset, expected)
        }
    }

    /// The error of the file at `path`.
    pub(crate) fn in_file(self, path: &Path) -> OpenError {
        OpenError::Malformed {
            path: path.to_owned(),
            offset: self.offset,
            expected: self.expected,
            way_out: "the file is damaged or cut short: take the snapshot again, or copy it again",
        }
    }
}

/// What was expected of a register file, and at which line, if at one.
fn of_registers(line: usize, expected: &str) -> String {
    match line {
        0 => format!("expected {expected}"),
        line => format!("line {line}: expected {expected}"),
    }
}

/// An [`OpenError::Io`] of `path`.
pub(crate) fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        path,
        doing,
        source,
    }
}

/// Why a file of a format is not read.
pub(crate) enum NotRead {
    /// It contradicts itself.
    Malformed(Malformed),
    /// It is of a kind that is not read: which, and the way out.
    Other(&'static str, &'static str),
}

impl From<Malformed> for NotRead {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl NotRead {
    /// The error about the file at `path`.
    pub(crate) fn in_file(self, path: &Path) -> OpenError {
        match self {
            Self::Malformed(malformed) => malformed.in_file(path),
            Self::Other(format, way_out) => OpenError::Unsupported {
                path: path.to_owned(),
                format,
                way_out,
            },
        }
    }
}
