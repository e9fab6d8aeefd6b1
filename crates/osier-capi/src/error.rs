//! Errors, as C has them: a kind and a sentence.

use std::ffi::CString;

/// What sort of error.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An argument that no program should pass: NULL, a number that names nothing.
    Argument = 1,
    /// A file that was named is not there.
    NotFound = 2,
    /// The file is no snapshot.
    NotASnapshot = 3,
    /// The file contradicts its own format.
    Damaged = 4,
    /// The format, or what was asked of it, is known and not read here.
    Unsupported = 5,
    /// No kernel was found.
    NoKernel = 6,
    /// A kernel was found, but not its types or symbols.
    SymbolsMissing = 7,
    /// What was said is not what the snapshot shows.
    Contradiction = 8,
    /// What was said cannot be understood.
    Usage = 9,
    /// The operating system refused.
    Io = 10,
    /// Guest memory that could not be read.
    Fault = 11,
    /// A fault of Osier itself, which is worth a report.
    Internal = 12,
}

impl From<osier::ErrorKind> for ErrorKind {
    fn from(kind: osier::ErrorKind) -> Self {
        match kind {
            osier::ErrorKind::NotFound => Self::NotFound,
            osier::ErrorKind::NotASnapshot => Self::NotASnapshot,
            osier::ErrorKind::Damaged => Self::Damaged,
            osier::ErrorKind::Unsupported => Self::Unsupported,
            osier::ErrorKind::NoKernel => Self::NoKernel,
            osier::ErrorKind::SymbolsMissing => Self::SymbolsMissing,
            osier::ErrorKind::Contradiction => Self::Contradiction,
            osier::ErrorKind::Usage => Self::Usage,
            osier::ErrorKind::Io => Self::Io,
            _ => Self::Internal,
        }
    }
}

/// Why something could not be done.
#[derive(Debug)]
pub struct Error {
    pub(crate) kind: ErrorKind,
    pub(crate) sentence: CString,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, sentence: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            sentence: text(sentence.into()),
        }
    }

    pub(crate) fn argument(sentence: &str) -> Self {
        Self::new(ErrorKind::Argument, sentence)
    }
}

impl From<osier::Error> for Error {
    fn from(error: osier::Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
    }
}

/// The bytes as a string of C, without the NULs among them.
pub(crate) fn text(mut bytes: Vec<u8>) -> CString {
    bytes.retain(|&byte| byte != 0);
    CString::new(bytes).unwrap_or_default()
}
