//! Runs every fuzz target for a while.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Targets that run at once.
const JOBS: usize = 2;
/// The largest resident set of a target, in MiB: what readers allocate is bounded by the input.
const MEMORY_MIB: u32 = 1024;
/// Seconds after which one input counts as a hang; and in a gate, which shares its machine with other work.
const HANG: u32 = 5;
const HANG_IN_A_GATE: u32 = 20;

/// Builds all targets and runs each for `seconds`. With `same`, a target starts from its seeds alone
/// and tries the same inputs each time, so that a gate does not close by chance; without, it goes on from
/// what earlier runs found.
pub(crate) fn run(seconds: u32, same: bool) -> Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let installed = Command::new("cargo")
        .args(["fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !installed.success() {
        bail!("cargo-fuzz is not installed; run: cargo install cargo-fuzz --locked");
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    let built = Command::new("cargo")
        .args(["fuzz", "build", "-s", "none"])
        .current_dir(&fuzz)
        .status()?;
    if !built.success() {
        bail!("the fuzz targets do not build ({built})");
    }
    let waiting = Mutex::new(VecDeque::from(names));
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let work = || -> Result<()> {
        while let Some(name) = next() {
            one(&fuzz, &name, seconds, same)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..JOBS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(_) => bail!("a worker panicked"),
            })
    })
}

fn one(fuzz: &Path, name: &str, seconds: u32, same: bool) -> Result<()> {
    let found = Path::new(if same { "target/found" } else { "corpus" }).join(name);
    if same && fuzz.join(&found).is_dir() {
        fs::remove_dir_all(fuzz.join(&found))?;
    }
    fs::create_dir_all(fuzz.join(&found))?;
    let mut corpora: Vec<PathBuf> = vec![found];
    let seeds = Path::new("seeds").join(name);
    if fuzz.join(&seeds).is_dir() {
        corpora.push(seeds);
    }
    let hang = if same { HANG_IN_A_GATE } else { HANG };
    let output = Command::new("cargo")
        .args(["fuzz", "run", "-s", "none", name])
        .args(corpora)
        .args(["--", "-max_len=65536", "-print_final_stats=1"])
        .args(same.then_some("-seed=1"))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={hang}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .current_dir(fuzz)
        .output()?;
    let log = String::from_utf8(output.stderr)?;
    if !output.status.success() {
        bail!("{name}: {}\n{log}", output.status);
    }
    let runs = log
        .lines()
        .find(|line| line.contains("number_of_executed_units"));
    let runs = runs.and_then(|line| line.split_whitespace().last());
    let runs = runs.unwrap_or("?");
    writeln!(
        std::io::stderr(),
        "fuzz {name}: {runs} runs in {seconds} s, nothing found"
    )?;
    Ok(())
}
