//! `osier run`: many snapshots, tables and a manifest.

pub(super) mod progress;

use std::num::NonZeroUsize;
use std::path::Path;

use osier::Options;
use osier_fleet::{Asking, RunOptions, Summary, TableFormat};

use super::common::{options, questions};
use super::inputs::tell_others;
use crate::args::{KnownArgs, OutputArgs, RunArgs, TableFormatArg};
use crate::outcome::Outcome;
use crate::output::{plural, say};
use progress::Progress;

pub(super) fn run(args: &RunArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let paths = args.inputs.paths()?;
    let options = RunOptions {
        to: match args.to {
            TableFormatArg::Jsonl => TableFormat::Jsonl,
            TableFormatArg::Csv => TableFormat::Csv,
            #[cfg(feature = "parquet")]
            TableFormatArg::Parquet => TableFormat::Parquet,
        },
        row_group: args.row_group.get(),
        fresh: args.fresh,
        ..RunOptions::new(asking(args, output.quiet)?, args.out.clone())
    };
    let mut progress = Progress::new(output.quiet);
    let ran = osier_fleet::run(&paths, &options, &mut |event| progress.show(&event));
    progress.end();
    let summary = ran?;
    if !output.quiet {
        conclude(&summary, &args.out, output.verbose);
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

fn asking(args: &RunArgs, quiet: bool) -> anyhow::Result<Asking> {
    Ok(Asking {
        questions: questions(&args.tables)?,
        time_limit: args.time_limit,
        memory_limit: usize::try_from(args.memory_limit).unwrap_or(usize::MAX),
        hash: args.hash,
        root: args.root.clone(),
        shard: args.shard,
        ..of_many(&args.known, args.jobs, quiet)
    })
}

/// How each of many snapshots is opened, and how many at the same time.
pub(super) fn of_many(known: &KnownArgs, jobs: Option<NonZeroUsize>, quiet: bool) -> Asking {
    let most = Asking::most_jobs();
    if let Some(jobs) = jobs.filter(|jobs| jobs.get() > most && !quiet) {
        say(&format!(
            "--jobs {jobs} is more than this machine can use; {most} snapshots are read at the same time"
        ));
    }
    let one_each = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let sessions = Options {
        // Many snapshots are opened at once; the whole has a bar of its own.
        progress: osier::osier_snapshot::Progress::default(),
        ..options(known)
    };
    Asking::new(sessions, jobs.map_or_else(one_each, NonZeroUsize::get))
}

/// The footer on standard error.
fn conclude(summary: &Summary, out: &Path, verbose: bool) {
    say(&format!("{}: {}", osier_text::path(out), counts(summary)));
    tell_others(&summary.others, verbose);
    for stale in &summary.stale {
        let stale = osier_text::path(stale);
        say(&format!(
            "{stale}: a table of an earlier run, which this one did not write and its manifest does not describe"
        ));
    }
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
