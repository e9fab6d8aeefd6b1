//! The matrix of kernels: boots every kernel that the package mirror offers in several configurations,
//! asks every question of every container of that one instant, and holds the rows against what the guest
//! said of itself. Writes `docs/kernels.md`.
//!
//! A machine's snapshot and outcome lie in `target/kernels/NAME`. What is made is not made again; a
//! machine that has an outcome without a fault is not asked again either, unless `--again` says so.

#![allow(
    clippy::print_stderr,
    reason = "a tool that says on the terminal what it does"
)]

mod ask;
mod machines;
mod make;
mod outcome;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::machines::{MACHINES, Machine};
use crate::outcome::Outcome;

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Parser)]
#[command(
    about = "Boots kernels and holds every answer against the guests' own; writes docs/kernels.md"
)]
struct Arguments {
    /// Only machines whose name holds this
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// List the machines, and do nothing
    #[arg(long)]
    list: bool,
    /// Ask machines again that have an outcome already; those whose memory is gone are booted again
    #[arg(long)]
    again: bool,
    /// Boot nothing: ask the machines whose memory is there
    #[arg(long)]
    no_boot: bool,
    /// Keep the memory of machines that were compared without a fault
    #[arg(long)]
    keep: bool,
    /// Boot nothing and ask nothing; write docs/kernels.md of the outcomes that are there
    #[arg(long)]
    write: bool,
    /// Seconds that a guest may take until it is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    patience: u32,
    /// The `osier` program that is asked
    #[arg(long, value_name = "FILE", default_value = "target/debug/osier")]
    osier: PathBuf,
    /// The maker's program
    #[arg(long, value_name = "FILE", default_value = "target/debug/osier-maker")]
    maker: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = MACHINES.iter().filter(|machine| {
        let pattern = arguments.only.as_deref();
        pattern.is_none_or(|pattern| machine.name.contains(pattern))
    });
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(&workspace)?;
    if arguments.list {
        for machine in chosen {
            eprintln!("{:28} {:48} {}", machine.name, machine.kernel, machine.what);
        }
        return Ok(());
    }
    let root = Path::new("target/kernels");
    fs::create_dir_all(root)?;
    for machine in chosen.filter(|_| !arguments.write) {
        let folder = root.join(machine.name);
        let before = Outcome::read(&folder);
        let done = before.is_some_and(|outcome| outcome.is_fine());
        if done && !arguments.again {
            continue;
        }
        let outcome = one(machine, &folder, &arguments)
            .unwrap_or_else(|error| Outcome::failed(machine, &format!("{error:#}")));
        eprintln!("{}: {}", machine.name, outcome.summary());
        fs::create_dir_all(&folder)?;
        outcome.write(&folder)?;
        if outcome.is_fine() && !arguments.keep {
            make::forget_memory(&folder)?;
        }
        // Each machine takes minutes: what is known so far is written at once.
        report::write(root)?;
    }
    report::write(root).context("cannot write docs/kernels.md")
}

/// Makes a machine, unless it is made, and asks it everything.
fn one(machine: &Machine, folder: &Path, arguments: &Arguments) -> Result<Outcome> {
    if !make::is_made(folder) {
        anyhow::ensure!(!arguments.no_boot, "its memory is not there");
        eprintln!("{}: booting", machine.name);
        make::make(machine, folder, &arguments.maker, arguments.patience)?;
    }
    eprintln!("{}: asking", machine.name);
    ask::everything(machine, folder, &arguments.osier)
}
