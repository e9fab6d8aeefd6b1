//! What processes hold, and the network, on guests of the maker against what they said of themselves:
//! `mounts`, `sockets`, `net`, `files`, `env` and `log`.
//!
//! Such a guest lies beside the other real snapshots as `triage-NAME`, made of the recipe `NAME` by
//! `osier-maker` (`docs/making-snapshots.md`). Every excuse is named where it is made.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and shows the text that it compares"
)]

mod network;
mod processes;
mod text;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_testkit::need::{self, Real};
use serde_json::Value;

osier_testkit::trials! {
    need::each(need::made, &SNAPSHOTS) => mounts, sockets, interfaces, files, environment, log;
}

const SNAPSHOTS: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

/// The rows of a question, which must be complete, and the folder of the truth.
fn ask(real: &Real, question: &str) -> (Vec<Value>, PathBuf) {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("holdings-{question}"));
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args([question, "--format", "jsonl"])
        .arg(real.path.join("memory.elf"))
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (rows.collect(), real.path.join("truth"))
}

/// That both sets are equal but for what is excused; says what is not, a part of it.
fn equal<T: Ord + Debug>(truth: &BTreeSet<T>, rows: &BTreeSet<T>, excused: impl Fn(&T) -> bool) {
    assert!(!truth.is_empty(), "there is no truth");
    let differ = |ones: &BTreeSet<T>, others: &BTreeSet<T>| {
        let only = ones.difference(others).filter(|one| !excused(one));
        only.map(|one| format!("{one:?}")).collect::<Vec<_>>()
    };
    let (missing, extra) = (differ(truth, rows), differ(rows, truth));
    let some = |all: &[String]| all[..all.len().min(20)].join("\n  ");
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{} rows are missing:\n  {}\n{} are not in the truth:\n  {}",
        missing.len(),
        some(&missing),
        extra.len(),
        some(&extra)
    );
}

fn mounts(real: &Real) {
    let (rows, truth) = ask(real, "mounts");
    equal(
        &processes::mounts_of(&truth),
        &processes::mounts(&rows),
        |_| false,
    );
}

fn sockets(real: &Real) {
    let (rows, truth) = ask(real, "sockets");
    let said = network::sockets_of(&truth);
    equal(&said, &network::sockets(&rows), |socket| {
        // A socket that is bound to nothing stands in no table and in no file of /proc/net.
        let unbound = !said.contains(socket) && network::is_unbound(socket);
        // The time of what waits for stray packets ran out before the stop.
        let over = said.contains(socket) && network::is_waiting(socket);
        unbound || over
    });
    equal(
        &network::holders_of(&truth),
        &network::holders(&rows),
        |_| false,
    );
}

fn interfaces(real: &Real) {
    let (rows, truth) = ask(real, "net");
    equal(
        &network::addresses_of(&truth),
        &network::addresses(&rows),
        |_| false,
    );
}

fn files(real: &Real) {
    let (rows, truth) = ask(real, "files");
    let said = processes::files_of(&truth);
    let inodes = said.iter().any(|file| file.5.is_some());
    equal(&said, &processes::files(&rows, inodes), |file| {
        // The port that process 1 wrote the truth to was open, and is closed since.
        said.contains(file) && file.0 == 1 && file.2.starts_with(b"/dev/tty")
    });
}

fn environment(real: &Real) {
    let (rows, truth) = ask(real, "env");
    equal(
        &processes::environment_of(&truth),
        &processes::environment(&rows),
        |_| false,
    );
}

fn log(real: &Real) {
    let (rows, truth) = ask(real, "log");
    let said = processes::log_of(&truth);
    let last = said.iter().map(|line| line.0).max().unwrap();
    equal(&said, &processes::log(&rows), |line| {
        // /dev/kmsg holds the last record back while it may grow; others were written since.
        line.0 > last
    });
}
