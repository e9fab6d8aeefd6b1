//! How a command ends: exit status and the message on standard error.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

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

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Complete => 0,
            Outcome::PartialIsFailure | Outcome::Different | Outcome::NothingDone => 1,
            Outcome::Partial => 3,
        })
    }
}

/// A command that was used wrongly, in ways that the arguments' grammar does not tell.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Puts a file's name before what the system says of it.
pub(crate) fn in_file(path: &Path) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| anyhow::anyhow!("{}: {error}", osier_text::path(path))
}

/// Writes the message of a failure and gives its exit status. Whoever closed the pipe has read
/// enough.
pub(crate) fn report(failure: &anyhow::Error) -> ExitCode {
    let closed = failure.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    });
    if closed {
        return ExitCode::SUCCESS;
    }
    let usage = failure.downcast_ref::<Usage>().is_some();
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr(), "osier: {failure}");
    ExitCode::from(if usage { 2 } else { 1 })
}
