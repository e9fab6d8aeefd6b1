//! Machines that are whole: every question ends well of each, out of each of its containers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod command;

use osier_testkit::need::{self, Real};

const SNAPSHOTS: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// Larger ones.
const MADE: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

/// The lists that are no question of `run`, and those that are.
const QUESTIONS: [&[&str]; 16] = [
    &["ps"],
    &["ps", "--wide"],
    &["handles"],
    &["current"],
    &["threads"],
    &["modules"],
    &["maps"],
    &["files"],
    &["env"],
    &["log"],
    &["mounts"],
    &["sockets"],
    &["net"],
    &["scan"],
    &["findings"],
    &["recover"],
];

osier_testkit::trials! {
    need::each(need::snapshot, &SNAPSHOTS) => every_question_ends_well;
    need::each(need::made, &MADE) => every_question_ends_well;
}

fn every_question_ends_well(real: &Real) {
    let mut wrong = Vec::new();
    for (container, file) in real.containers() {
        assert!(file.exists(), "{} is not there", file.display());
        for question in QUESTIONS {
            let file = [file.to_str().unwrap(), "--format", "jsonl"];
            let output = command::run(question.iter().chain(&file), "healthy");
            // Raw memory has no registers, so what runs is not always known.
            let known = container != "memory.raw" || question != ["current"];
            if output.status.code() != Some(0) && known {
                let said = String::from_utf8(output.stderr).unwrap();
                wrong.push(format!("{container} {question:?}: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
