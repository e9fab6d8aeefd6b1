//! How a command fails: exit status and the message on standard error.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use osier::osier_snapshot::OpenError;
use osier_text::{is_hidden, visible};

use crate::output::say;

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

/// Says what is wrong with the command line, or gives the help that was asked for. What was typed is
/// repeated with nothing in it that cannot be seen.
pub(crate) fn refuse(error: &clap::Error, typed: &[OsString]) -> u8 {
    let hidden: Vec<&str> = typed
        .iter()
        .filter_map(|word| word.to_str())
        .flat_map(|word| [Some(word), word.split_once('=').map(|(_, value)| value)])
        .flatten()
        .filter(|word| word.contains(is_hidden))
        .collect();
    if hidden.is_empty() {
        if let Err(failed) = error.print().and_then(|()| io::stdout().flush())
            && !error.use_stderr()
        {
            let text = format!("the help cannot be written: {failed}");
            return report(&anyhow::Error::from(failed).context(text));
        }
    } else {
        let mut text = error.render().to_string();
        for word in hidden {
            text = text.replace(word, &visible(word));
        }
        // Nobody is left to tell when the stream is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// Writes the message of a failure and gives its exit status. Whoever closed the pipe has read
/// enough.
pub(crate) fn report(failure: &anyhow::Error) -> u8 {
    let closed = failure.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    });
    if closed {
        return 0;
    }
    let usage = failure.downcast_ref::<Usage>().is_some()
        || matches!(
            failure.downcast_ref::<osier::Error>(),
            // What no snapshot can be.
            Some(osier::Error::OsName(_) | osier::Error::Open(OpenError::RamSplit { .. }))
        );
    say(&failure.to_string());
    if usage { 2 } else { 1 }
}
