//! Osier beside its peers, in one run: what each costs, and whether they say the same.
//!
//! `cargo xtask bench` builds what is measured and runs this. It installs the peers that can be installed
//! into `target/bench`, makes the machines whose memory is read, and prints Markdown. A peer that
//! cannot be installed is named with the reason.

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a program that prints figures"
)]

mod answer;
mod args;
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
mod triage;
mod workshop;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::{Parser as _, ValueEnum as _};

use crate::args::{Args, Part};
use crate::workshop::Workshop;

fn measured(part: Part, args: &Args, workshop: &Workshop) -> Result<String> {
    match part {
        Part::Peers => side_by_side::run(args, workshop),
        Part::Triage => triage::run(args, workshop),
        Part::Exports => exports::run(args, workshop),
        Part::Symbols => symbols::run(args, workshop),
        Part::Fleet => fleet::run(args, workshop),
        Part::Commands => commands::run(args, workshop),
        Part::Floor => beside(&args.osier, "floor", &args.snapshots),
        Part::Opening => beside(&args.osier, "opening", &[]),
        Part::Compressed => compressed::run(args, workshop),
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
        let text = match measured(*part, &args, &workshop) {
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
