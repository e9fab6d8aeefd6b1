//! The command `osier`.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod mathematics;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    osier_cli::run(&arguments).into()
}
