//! `osier completions` and `osier man`: for the shell.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::outcome::Outcome;

pub(super) fn completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "osier", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Outcome::Complete)
}

pub(super) fn man(dir: Option<&Path>) -> anyhow::Result<Outcome> {
    if let Some(dir) = dir {
        clap_mangen::generate_to(Cli::command(), dir)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        io::stdout().write_all(&page)?;
    }
    Ok(Outcome::Complete)
}
