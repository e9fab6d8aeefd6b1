//! Builds what is measured, and measures it.

use anyhow::Result;

use crate::command;

/// The programs that are measured, or measure inside themselves, are built as they are released;
/// the program that starts and compares them need not be.
const BUILD: &[&[&str]] = &[
    &["build", "--release", "-p", "osier-cli"],
    &[
        "build",
        "--release",
        "-p",
        "osier-benches",
        "--bin",
        "floor",
        "--bin",
        "opening",
    ],
];

/// Runs the benches with their own arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let help = arguments
        .iter()
        .any(|word| word == "--help" || word == "-h");
    for words in BUILD.iter().filter(|_| !help) {
        command::run(&mut command::cargo(words))?;
    }
    let mut measure = command::cargo(&["run", "--quiet", "-p", "osier-benches", "--"]);
    command::run(measure.args(arguments))
}
