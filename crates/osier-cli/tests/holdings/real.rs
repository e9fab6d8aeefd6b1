//! What processes hold, and the network, on guests of the maker against what they said of themselves:
//! `mounts`, `sockets`, `net`, `files`, `env` and `log`.
//!
//! Such a guest lies beside the other real snapshots as `triage-NAME`, made of the recipe `NAME` by
//! `osier-maker` (`docs/making-snapshots.md`). Every excuse is named where it is made, in `osier_testkit::truth`.

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

use std::path::Path;
use std::process::Command;

use osier_testkit::need::{self, Real};
use osier_testkit::truth::{self, Truth};
use serde_json::Value;

osier_testkit::trials! {
    need::each(need::made, &SNAPSHOTS) =>
        wide, mounts, sockets, interfaces, files, environment, log;
}

const SNAPSHOTS: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

/// The rows of a question, which must be complete.
fn ask(real: &Real, question: &str) -> Vec<Value> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("holdings-{question}"));
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(question.split(' '))
        .args(["--format", "jsonl"])
        .arg(real.path.join("memory.elf"))
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

/// That the rows are as the guest said, but for what is excused; says what is not, a part of it.
fn agree(real: &Real, question: &str) {
    let rows = ask(real, question);
    let truth = Truth::read(&real.path.join("truth"));
    let tally = truth::of(question)(&truth, &rows);
    let some = &tally.wrong[..tally.wrong.len().min(20)];
    assert!(
        tally.wrong.is_empty(),
        "{} of {} differ:\n  {}",
        tally.wrong.len(),
        tally.compared(),
        some.join("\n  ")
    );
    assert!(tally.equal > 0, "nothing was compared");
}

fn wide(real: &Real) {
    agree(real, "ps --wide");
}

fn mounts(real: &Real) {
    agree(real, "mounts");
}

fn sockets(real: &Real) {
    agree(real, "sockets");
}

fn interfaces(real: &Real) {
    agree(real, "net");
}

fn files(real: &Real) {
    agree(real, "files");
}

fn environment(real: &Real) {
    agree(real, "env");
}

fn log(real: &Real) {
    agree(real, "log");
}
