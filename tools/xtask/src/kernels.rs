//! Builds the matrix of kernels, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// Runs the matrix with its own arguments.
pub(crate) fn run(only: Option<&str>, keep: bool, rest: &[String]) -> Result<()> {
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
    let mut arguments = Vec::new();
    if let Some(only) = only {
        arguments.extend(["--only".to_owned(), only.to_owned()]);
    }
    if keep {
        arguments.push("--keep".to_owned());
    }
    arguments.extend_from_slice(rest);
    let asks = !arguments
        .iter()
        .any(|word| ["--help", "-h", "--list", "--write"].contains(&word.as_str()));
    if asks {
        cargo(&["build", "-p", "osier-cli", "-p", "osier-maker"], &[])?;
    }
    cargo(&["run", "--quiet", "-p", "osier-kernels", "--"], &arguments)
}
