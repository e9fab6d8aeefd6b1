//! The command `osier`.

mod args;
mod commands;
mod failure;
mod output;
mod progress;
#[cfg(unix)]
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::refuse(&error),
    };
    match commands::run(&cli) {
        Ok(code) => code.into(),
        Err(failure) => failure::report(&failure),
    }
}
