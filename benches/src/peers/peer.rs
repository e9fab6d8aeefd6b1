//! What a peer is to the benches.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::answer::Row;
use crate::guest::Guest;
use crate::workshop::Workshop;

/// The words that start a peer.
pub(crate) type Program = Vec<PathBuf>;

/// A program that lists the processes in a dump.
pub(crate) struct Peer {
    /// Name and version.
    pub(crate) name: &'static str,
    /// What it is given besides the dump.
    pub(crate) given: &'static str,
    /// How many times as much it is meant to cost as Osier, on kernels of a release.
    pub(crate) target: fn(&str) -> Option<f64>,
    /// Installs it, if it is not there.
    pub(crate) install: fn(&Workshop) -> Result<Program>,
    /// The command that lists the processes; whatever it needs is made first.
    pub(crate) list: fn(&Program, &Guest, &Workshop) -> Result<Command>,
    /// Reads what the command printed.
    pub(crate) rows: fn(&str) -> Result<Vec<Row>>,
}

/// A command of a peer's words.
pub(super) fn command(program: &Program) -> Command {
    let mut words = program.iter();
    let mut command = Command::new(words.next().cloned().unwrap_or_default());
    command.args(words);
    command
}

/// Lines of numbers and a name: what the drivers print. A number that the driver cannot tell is `-`.
pub(super) fn lines(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let pid = words.next()?.parse().ok()?;
        let ppid = words.next()?.parse().ok();
        let name = words.next().map(str::to_owned);
        Some(Row { pid, ppid, name })
    };
    text.lines().filter_map(row).collect()
}
