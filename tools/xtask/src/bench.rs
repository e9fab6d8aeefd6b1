//! Builds what is measured, and measures it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

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
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = |words: &[&str], more: &[String]| -> Result<()> {
        let mut command = Command::new("cargo");
        command.args(words).args(more).current_dir(&workspace);
        let status = command.status()?;
        if !status.success() {
            bail!("cargo {} failed ({status})", words.join(" "));
        }
        Ok(())
    };
    let help = arguments
        .iter()
        .any(|word| word == "--help" || word == "-h");
    for words in BUILD.iter().filter(|_| !help) {
        cargo(words, &[])?;
    }
    cargo(&["run", "--quiet", "-p", "osier-benches", "--"], arguments)
}
