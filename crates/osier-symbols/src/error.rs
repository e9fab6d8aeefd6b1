//! Why a file of symbols could not be read.

/// Why a file of types or symbols could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The file's structure is broken.
    #[error("{format} at offset {offset:#x}: {problem}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// Offset in bytes, in the section or file that is broken.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// The file's format is not known, or it lacks what a profile needs.
    #[error("{0}")]
    Unusable(String),
}
