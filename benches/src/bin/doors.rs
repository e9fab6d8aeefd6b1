//! What the doors stand on: a list of processes and the same as Arrow, in Rust, as a JSON object of milliseconds.
//!
//! `cargo run --release -p osier-benches --bin doors -- SNAP`

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a program that prints figures"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use osier::ask::Question;
use osier::tables::Cells;
use osier::{Guest, Options};
use osier_fleet::Gathering;

/// The least of many runs: what is measured waits for nothing, so that anything more is somebody else's.
fn least(mut what: impl FnMut()) -> f64 {
    let mut least = Duration::MAX;
    for _ in 0..300 {
        let begun = Instant::now();
        what();
        least = least.min(begun.elapsed());
    }
    least.as_secs_f64() * 1000.0
}

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.context("name a snapshot")?;
    let guest = Guest::open(&path, &Options::default())?;
    let list = least(|| {
        let rows: Vec<_> = guest.processes().collect();
        black_box(&rows);
    });
    let arrow = least(|| {
        let mut gathering = Gathering::new(Question::Processes);
        for row in guest.processes() {
            gathering.push(&Cells::of(&row));
        }
        let _ = black_box(gathering.take("memory.elf", "0"));
    });
    println!("{{\"list\": {list:.4}, \"arrow\": {arrow:.4}}}");
    Ok(())
}
