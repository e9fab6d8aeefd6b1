//! One range of one version of what lies behind an address, whoever is asked for it.

use std::io;
use std::ops::Range;

/// Who has an object.
pub(crate) trait Ranges: Send + Sync {
    /// The address without secrets, as it is shown.
    fn shown(&self) -> String;

    /// What tells the object from every other, and is the same each time: what is kept is found by it.
    fn lasting(&self) -> String;

    /// Asks for a range once, of the version that `tag` tells.
    fn get(&self, range: Range<u64>, tag: Option<&Tag>) -> Result<Got, Problem>;
}

/// What a server gave.
#[derive(Debug)]
pub(crate) struct Got {
    /// The bytes of the range, as far as there are so many.
    pub(crate) bytes: Vec<u8>,
    /// The length of the whole.
    pub(crate) total: u64,
    /// What tells this version from others; `None` when the server tells nothing.
    pub(crate) tag: Option<Tag>,
}

/// What tells a version from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `ETag`.
    Entity(String),
    /// `Last-Modified`, where there is no `ETag`.
    Modified(String),
}

impl Tag {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Entity(text) | Self::Modified(text) => text,
        }
    }
}

/// Why a range was not had.
#[derive(Debug)]
pub(crate) enum Problem {
    /// There is another version now.
    Changed,
    /// Asking again may help.
    Passing(String),
    /// Asking again does not.
    Lasting(io::ErrorKind, String),
}

/// What is said of a server that has no ranges.
pub(crate) const WHOLE: &str =
    "the server gives the whole and no ranges; download it, or distil it where it lies";

impl Problem {
    /// An answer that ends early.
    pub(crate) fn short(bytes: usize, wanted: u64) -> Self {
        Self::Passing(format!("the answer ends after {bytes} of {wanted} bytes"))
    }
}
