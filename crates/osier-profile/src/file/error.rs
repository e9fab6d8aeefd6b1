//! Why a profile file could not be read.

use std::path::PathBuf;

/// The version that is read and written.
pub(super) const VERSION: u32 = 2;

/// Why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file does not begin as a profile does.
    #[error("not a profile: the file does not begin with OSIERPRF")]
    NotAProfile,
    /// A profile of another version of the format.
    #[error("a profile of format version {found}; this program reads version {VERSION}")]
    Version {
        /// The version it names.
        found: u32,
    },
    /// The file is cut short, altered, or was never whole.
    #[error("damaged profile: {what} at byte {offset}")]
    Damaged {
        /// Where in the file.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The file could not be read or written.
    #[error("{}: {source}", osier_text::path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that could not be understood, with its name.
    #[error("{}: {source}", osier_text::path(path))]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ProfileError>,
    },
}
