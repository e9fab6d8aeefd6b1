//! Builds the matrix of kernels, and runs it.

use anyhow::Result;

use crate::command;

/// Runs the matrix with its own arguments.
pub(crate) fn run(only: Option<&str>, keep: bool, rest: &[String]) -> Result<()> {
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
        let words = ["build", "-p", "osier-cli", "-p", "osier-maker"];
        command::run(&mut command::cargo(&words))?;
    }
    let mut matrix = command::cargo(&["run", "--quiet", "-p", "osier-kernels", "--"]);
    command::run(matrix.args(arguments))
}
