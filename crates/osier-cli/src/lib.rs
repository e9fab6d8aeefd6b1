#![doc = include_str!("../README.md")]

mod args;
mod commands;
mod failure;
mod outcome;
mod output;
mod parse;
mod progress;
#[cfg_attr(not(feature = "remote"), path = "remote/missing.rs")]
mod remote;
mod shape;
#[cfg(unix)]
mod signals;

use std::ffi::OsString;

/// Runs the command with these arguments, the first of which is its own name, and gives its exit status.
/// It writes to standard output and standard error, as the command does.
pub fn run(arguments: &[OsString]) -> u8 {
    let cli = match parse::parse(arguments) {
        Ok(cli) => cli,
        Err(error) => return failure::refuse(&error, arguments),
    };
    match commands::run(&cli) {
        Ok(outcome) => outcome.status(),
        Err(failure) => failure::report(&failure),
    }
}
