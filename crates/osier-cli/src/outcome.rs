//! How a command that did its work ends.

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything there was was read.
    Complete,
    /// Something could not be read.
    Partial,
    /// The same, and the caller wants that to be a failure.
    PartialIsFailure,
    /// What was compared differs.
    Different,
    /// No snapshot could be read.
    NothingDone,
}

impl Outcome {
    /// The exit status that tells it.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::PartialIsFailure | Self::Different | Self::NothingDone => 1,
            Self::Partial => 3,
        }
    }
}
