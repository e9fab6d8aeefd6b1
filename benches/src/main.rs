//! Osier beside its peers, in one run: what each costs, and whether they say the same.
//!
//! `cargo xtask bench` builds what is measured and runs this. It installs the peers that can be had
//! into `target/bench`, makes the machines whose memory is read, and prints Markdown. A peer that
//! cannot be had is named with the reason.

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a program that prints figures"
)]

mod answer;
mod commands;
mod compressed;
mod exports;
mod fleet;
mod guest;
mod measure;
mod peers;
mod side_by_side;
mod symbols;
mod table;
mod workshop;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::workshop::Workshop;

/// Measures Osier beside its peers.
#[derive(Parser)]
pub(crate) struct Args {
    /// Only these parts [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Of the side-by-side part, only peers whose name has one of these words
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Of the side-by-side part, only guests whose title has one of these words
    #[arg(long, value_delimiter = ',')]
    guests: Vec<String>,
    /// Counted runs of each line, after one that is not counted
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where peers, snapshots and debug symbols are kept
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    work: PathBuf,
    /// The command to measure
    #[arg(long, default_value = "target/release/osier", value_name = "FILE")]
    osier: PathBuf,
    /// Snapshots of your own for the parts `commands` and `floor`
    snapshots: Vec<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The process list, beside Volatility 3, drgn, crash, mquire, vmi and memflow
    Peers,
    /// What `osier export` writes, opened by others
    Exports,
    /// Types out of DWARF, beside drgn, isr, pahole and dwarf2json
    Symbols,
    /// Many snapshots in one call, against the number of jobs
    Fleet,
    /// Osier's commands as whole processes, on the snapshots that are named
    Commands,
    /// A process list in process, against its touch floor
    Floor,
    /// What opening a large dump reads, and what a page of a compressed one costs
    Opening,
    /// Memory and time on 5 GiB inside gzip, xz and Zstandard
    Compressed,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::Peers => "The process list, side by side",
            Self::Exports => "Exports, opened by others",
            Self::Symbols => "Types out of DWARF",
            Self::Fleet => "Many snapshots",
            Self::Commands => "Commands",
            Self::Floor => "The touch floor",
            Self::Opening => "Opening",
            Self::Compressed => "Compressed dumps",
        }
    }

    fn run(self, args: &Args, workshop: &Workshop) -> Result<String> {
        match self {
            Self::Peers => side_by_side::run(args, workshop),
            Self::Exports => exports::run(args, workshop),
            Self::Symbols => symbols::run(args, workshop),
            Self::Fleet => fleet::run(args, workshop),
            Self::Commands => commands::run(args, workshop),
            Self::Floor => beside(&args.osier, "floor", &args.snapshots),
            Self::Opening => beside(&args.osier, "opening", &[]),
            Self::Compressed => compressed::run(args, workshop),
        }
    }
}

/// Runs a program of this package that measures inside itself; it is built like the command and
/// lies beside it.
fn beside(osier: &std::path::Path, name: &str, arguments: &[PathBuf]) -> Result<String> {
    let output = Command::new(osier.with_file_name(name))
        .args(arguments)
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}",
        output.stderr.escape_ascii()
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let workshop = Workshop::new(&args.work, &args.osier)?;
    let parts = if args.only.is_empty() {
        Part::value_variants()
    } else {
        &args.only
    };
    for part in parts {
        println!("## {}\n", part.title());
        let text = match part.run(&args, &workshop) {
            Ok(text) => text,
            Err(error) => format!("Not measured: {error:#}\n"),
        };
        println!("{text}");
    }
    println!("Machine: {}. Load: {}", machine(), load());
    Ok(())
}

/// The processor's name, how many there are, and the memory.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let named = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = named(&read("/proc/cpuinfo"), "model name");
    let memory = named(&read("/proc/meminfo"), "MemTotal");
    format!("{processors} processors, {model}, {memory}")
}

/// What else the machine did.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    words.join(" ")
}
