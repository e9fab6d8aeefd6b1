//! What a guest of the maker said of itself, and rows of the command held against it.
//!
//! A `truth/` folder (`docs/making-snapshots.md`) has what the guest's kernel showed in `/proc` moments
//! before it was stopped. [`TABLES`] names every question that it answers; each comparison counts the rows
//! that are equal, those that are excused, by the reason's name, and tells those that are wrong.
#![allow(
    clippy::disallowed_methods,
    reason = "a test shows the text that it compares"
)]

mod guest;
mod holdings;
mod network;
mod rows;
mod tally;
mod text;
mod wide;

use std::collections::BTreeSet;

use serde_json::Value;

pub use guest::Truth;
pub use tally::Tally;
use tally::sets;

/// Compares a truth with the rows of one question.
pub type Compare = fn(&Truth, &[Value]) -> Tally;

/// The questions that a truth answers: the command's words, and the comparison.
pub const TABLES: &[(&[&str], Compare)] = &[
    (&["ps"], rows::processes),
    (&["threads"], rows::threads),
    (&["modules"], rows::modules),
    (&["maps"], rows::maps),
    (&["ps", "--wide"], wide::processes),
    (&["mounts"], mounts),
    (&["sockets"], sockets),
    (&["net"], interfaces),
    (&["files"], files),
    (&["env"], environment),
    (&["log"], log),
];

/// The comparison of a question.
pub fn of(question: &str) -> Compare {
    let found = TABLES.iter().find(|(words, _)| words.join(" ") == question);
    found.expect("a truth for the question").1
}

/// Why the rows of the process `pid`, of which the guest told none, are no fault.
fn leaderless(truth: &Truth, pid: u64) -> Option<&'static str> {
    let process = truth.processes.get(&pid)?;
    process.leader_exited().then_some(rows::LEADERLESS)
}

fn mounts(truth: &Truth, rows: &[Value]) -> Tally {
    let said = holdings::mounts_of(&truth.folder);
    let shown = holdings::mounts(rows);
    let pids: BTreeSet<u64> = shown.iter().map(|mount| mount.0).collect();
    sets(&said, &shown, |(pid, ..)| {
        // As the thread of the serial port's interrupt, which ends with the truth.
        let process = truth.processes.get(pid);
        let kernel = process.is_none_or(|process| process.kernel_thread);
        let other = process.is_none() || !pids.contains(pid);
        let kernel = (kernel && other).then_some(rows::KERNEL_THREAD);
        kernel.or_else(|| leaderless(truth, *pid))
    })
}

fn sockets(truth: &Truth, rows: &[Value]) -> Tally {
    let said = network::sockets_of(&truth.folder);
    let mut tally = sets(&said, &network::sockets(rows), |socket| {
        if !said.contains(socket) && network::is_unbound(socket) {
            Some("a socket that is bound to nothing stands in no table and in no file of /proc/net")
        } else if said.contains(socket) && network::is_waiting(socket) {
            Some("the time of what waits for stray packets ran out before the stop")
        } else {
            None
        }
    });
    let holders = network::holders_of(&truth.folder);
    let shown = network::holders(rows);
    tally.add(sets(&holders, &shown, |(pid, ..)| leaderless(truth, *pid)));
    tally
}

fn interfaces(truth: &Truth, rows: &[Value]) -> Tally {
    let said = network::addresses_of(&truth.folder);
    sets(&said, &network::addresses(rows), |_| None)
}

fn files(truth: &Truth, rows: &[Value]) -> Tally {
    let said = holdings::files_of(&truth.folder);
    let inodes = said.iter().any(|file| file.5.is_some());
    sets(&said, &holdings::files(rows, inodes), |file| {
        let (before, path) = (said.contains(file), &file.2);
        if before && file.0 == 1 && path.starts_with(b"/dev/tty") {
            Some("the port that process 1 wrote the truth to was open, and is closed since")
        } else if !before && file.0 == 1 && path == b"/proc/sysrq-trigger" {
            Some("the file by which process 1 made its kernel panic is still open")
        } else {
            leaderless(truth, file.0)
        }
    })
}

fn environment(truth: &Truth, rows: &[Value]) -> Tally {
    let said = holdings::environment_of(&truth.folder);
    let shown = holdings::environment(rows);
    sets(&said, &shown, |(pid, ..)| leaderless(truth, *pid))
}

fn log(truth: &Truth, rows: &[Value]) -> Tally {
    let said = holdings::log_of(&truth.folder);
    let last = said.iter().map(|line| line.0).max().unwrap_or_default();
    sets(&said, &holdings::log(rows), |line| {
        let later = line.0 > last;
        later.then_some(
            "/dev/kmsg holds the last record back while it may grow; others were written since",
        )
    })
}
