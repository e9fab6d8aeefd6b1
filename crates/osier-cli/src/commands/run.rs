//! `osier run`: many snapshots, tables and a manifest.

pub(super) mod progress;

use std::io::{self, BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use osier::Options;
use osier_fleet::{Asking, RunOptions, Summary, TableFormat};

use super::{options, questions};
use crate::args::{KnownArgs, OutputArgs, RunArgs, TableFormatArg};
use crate::failure::Outcome;
use crate::output::plural;
use progress::Progress;

pub(super) fn run(args: &RunArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let paths = named(&args.paths, args.inputs_from.as_deref())?;
    let options = RunOptions {
        to: match args.to {
            TableFormatArg::Jsonl => TableFormat::Jsonl,
            TableFormatArg::Csv => TableFormat::Csv,
            #[cfg(feature = "parquet")]
            TableFormatArg::Parquet => TableFormat::Parquet,
        },
        row_group: args.row_group,
        fresh: args.fresh,
        ..RunOptions::new(asking(args, output.quiet)?, args.out.clone())
    };
    let mut progress = Progress::new(output.quiet);
    let ran = osier_fleet::run(&paths, &options, &mut |event| progress.show(&event));
    progress.end();
    let summary = ran?;
    if !output.quiet {
        conclude(&summary, &args.out, output.verbose)?;
    }
    Ok(outcome(&summary, output))
}

/// Whether every snapshot was read whole, or any at all.
pub(super) fn outcome(summary: &Summary, output: &OutputArgs) -> Outcome {
    let read = summary.complete.saturating_add(summary.partial);
    if summary.complete == summary.snapshots() {
        Outcome::Complete
    } else if output.strict {
        Outcome::PartialIsFailure
    } else if read == 0 {
        Outcome::NothingDone
    } else {
        Outcome::Partial
    }
}

/// The paths that are named, and those in a list.
pub(super) fn named(paths: &[PathBuf], list: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = paths.to_vec();
    if let Some(list) = list {
        all.extend(listed(list)?);
    }
    Ok(all)
}

fn asking(args: &RunArgs, quiet: bool) -> anyhow::Result<Asking> {
    Ok(Asking {
        questions: questions(&args.tables)?,
        time_limit: args.time_limit,
        memory_limit: usize::try_from(args.memory_limit).unwrap_or(usize::MAX),
        hash: args.hash,
        ..of_many(&args.known, args.jobs, quiet)
    })
}

/// How each of many snapshots is opened, and how many at the same time.
pub(super) fn of_many(known: &KnownArgs, jobs: Option<NonZeroUsize>, quiet: bool) -> Asking {
    let most = Asking::most_jobs();
    if let Some(jobs) = jobs.filter(|jobs| jobs.get() > most && !quiet) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(
            io::stderr(),
            "osier: --jobs {jobs} is more than this machine can use; {most} snapshots are read at the same time"
        );
    }
    let one_each = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let sessions = Options {
        // Many snapshots are opened at once; the whole has a bar of its own.
        progress: osier::osier_snapshot::Progress::default(),
        ..options(known)
    };
    Asking::new(sessions, jobs.map_or_else(one_each, NonZeroUsize::get))
}

/// The paths in a list, one a line.
fn listed(list: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reader: Box<dyn BufRead> = if list == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = std::fs::File::open(list)
            .map_err(|error| anyhow::anyhow!("{}: {error}", list.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut paths = Vec::new();
    for line in reader.split(b'\n') {
        let mut line = line?;
        if line.ends_with(b"\r") {
            line.pop();
        }
        if !line.is_empty() {
            paths.push(path(line));
        }
    }
    Ok(paths)
}

#[cfg(unix)]
fn path(line: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(line))
}

#[cfg(not(unix))]
fn path(line: Vec<u8>) -> PathBuf {
    let mut text = String::new();
    osier::format::escape_bytes(&line, &mut text);
    PathBuf::from(text)
}

/// The footer on standard error.
fn conclude(summary: &Summary, out: &Path, verbose: bool) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "osier: {}: {}", out.display(), counts(summary))?;
    if !summary.others.is_empty() {
        let hint = if verbose { "" } else { "; -v names them" };
        let count = summary.others.len();
        let files = if count == 1 {
            "1 file in folders is no snapshot".to_owned()
        } else {
            format!("{count} files in folders are no snapshots")
        };
        writeln!(err, "osier: {files}{hint}")?;
    }
    for other in summary.others.iter().filter(|_| verbose) {
        writeln!(err, "osier: {}: no snapshot", other.display())?;
    }
    Ok(())
}

/// How many snapshots ended how.
pub(super) fn counts(summary: &Summary) -> String {
    let parts = [
        (summary.complete, "complete"),
        (summary.partial, "partial"),
        (summary.failed, "failed"),
        (summary.skipped, "skipped"),
    ];
    let counts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let snapshots = plural(summary.snapshots(), "snapshot");
    format!("{snapshots}: {}", counts.join(", "))
}
