//! Measures the command as whole processes: CPU seconds, wall seconds and peak resident memory,
//! as the operating system accounts them.
//!
//! `cargo run --release -p osier-benches -- SNAP...` builds nothing but itself; build the command
//! first with `cargo build --release -p osier-cli`.

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a program that prints figures"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use wait4::Wait4;

/// Measures `osier` on snapshots, as whole processes.
#[derive(Parser)]
struct Args {
    /// Snapshots.
    #[arg(required = true)]
    snapshots: Vec<PathBuf>,
    /// The command to measure.
    #[arg(long, default_value = "target/release/osier")]
    osier: PathBuf,
    /// Counted runs of each line, after one that is not counted.
    #[arg(long, default_value_t = 15)]
    runs: usize,
}

/// One run: what the operating system accounted.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
    peak_kib: u64,
}

fn run(osier: &Path, arguments: &[OsString], cache: &Path) -> Result<Cost> {
    let start = Instant::now();
    let mut child = Command::new(osier)
        .args(arguments)
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", osier.display()))?;
    let used = child.wait4()?;
    let wall = start.elapsed();
    ensure!(
        used.status.success(),
        "{arguments:?} ended with {}",
        used.status
    );
    // Linux counts the peak in KiB; the crate gives bytes.
    let cost = Cost {
        cpu: used.rusage.utime + used.rusage.stime,
        wall,
        peak_kib: used.rusage.maxrss / 1024,
    };
    Ok(cost)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn line(name: &str, costs: &[Cost]) {
    let ms = |f: fn(&Cost) -> Duration| {
        median(costs.iter().map(|c| f(c).as_secs_f64() * 1000.0).collect())
    };
    let peak = costs.iter().map(|c| c.peak_kib).max().unwrap_or(0);
    println!(
        "| {name} | {:.1} | {:.1} | {} |",
        ms(|c| c.cpu),
        ms(|c| c.wall),
        peak / 1024
    );
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cache = std::env::temp_dir().join(format!("osier-bench-{}", std::process::id()));
    println!("| command | CPU ms (median) | wall ms (median) | peak MiB (largest) |");
    println!("|---|--:|--:|--:|");
    let measure = |name: &str, arguments: &[OsString], cold: bool| -> Result<()> {
        let mut costs = Vec::new();
        for round in 0..=args.runs {
            if cold {
                let _ = std::fs::remove_dir_all(&cache);
            }
            let cost = run(&args.osier, arguments, &cache)?;
            if round > 0 {
                costs.push(cost);
            }
        }
        line(name, &costs);
        Ok(())
    };
    measure("`osier --version`", &["--version".into()], false)?;
    for snapshot in &args.snapshots {
        let shown = snapshot
            .file_name()
            .unwrap_or(snapshot.as_os_str())
            .display()
            .to_string();
        let asked = |table: &str| {
            [
                OsString::from(table),
                "--format".into(),
                "jsonl".into(),
                snapshot.into(),
            ]
        };
        let mut first = asked("ps").to_vec();
        first.push("--no-shipped".into());
        measure(&format!("`osier ps {shown}`, first contact"), &first, true)?;
        for table in ["ps", "modules", "maps"] {
            measure(
                &format!("`osier {table} {shown}`, cached"),
                &asked(table),
                false,
            )?;
        }
    }
    let _ = std::fs::remove_dir_all(&cache);
    Ok(())
}
