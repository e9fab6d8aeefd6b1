//! `osier report`: one page to look at.

use std::path::PathBuf;
use std::time::Instant;

use osier::{Options, WalkEnds};
use osier_fleet::{Input, RunError};
use osier_report::{Bounds, Error, Report, Subject, names, write};

use super::common::{options, spare};
use super::inputs::tell_others;
use crate::args::{Format, OutputArgs, ReportArgs};
use crate::failure::{Usage, in_file};
use crate::outcome::Outcome;
use crate::output::{Output, plural, say};

pub(super) fn run(args: &ReportArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    if output.format.is_some() {
        let wrong = "report writes a page and no rows, which have no --format";
        return Err(Usage(wrong.to_owned()).into());
    }
    let options = options(&args.known);
    let files = args.inputs.files(&options)?;
    for file in &files {
        spare(&args.out, &options.files_of(&file.path))?;
    }
    let bounds = Bounds {
        rows: args.rows.get(),
        wide: output.wide,
        until: args.time_limit.and_then(|limit| {
            let until = Instant::now().checked_add(limit)?;
            Some((until, limit))
        }),
        ..Bounds::default()
    };
    let opens: Vec<_> = files
        .iter()
        .map(|file| opener(file, &options, &bounds))
        .collect();
    let names = names(files.iter().map(|file| file.name.as_str()));
    let subjects = names.iter().zip(&opens).map(|(name, open)| Subject {
        name: name.clone(),
        open,
    });
    let subjects: Vec<Subject<'_>> = subjects.collect();
    let report = write(&subjects, &bounds, &args.out).map_err(|error| match error {
        // A folder without snapshots is told as the other commands tell it.
        Error::Nothing(_) if files.len() != 1 => RunError::Nothing {
            looked: files.len(),
        }
        .into(),
        Error::Nothing(why) => anyhow::anyhow!(why),
        Error::Io(error) => in_file(&args.out)(error),
        scratch @ Error::Scratch { .. } => scratch.into(),
    })?;
    tell(&report, &files, &names, args, output)
}

/// What opens the file, in the time that is left.
fn opener<'a>(
    file: &'a Input,
    options: &'a Options,
    bounds: &'a Bounds,
) -> impl Fn() -> Result<Option<osier::Guest>, String> + 'a {
    move || {
        let left = bounds
            .until
            .map(|(until, _)| until.saturating_duration_since(Instant::now()));
        file.open_within(options, left)
    }
}

/// Says what was written, and what it lacks.
fn tell(
    report: &Report,
    files: &[Input],
    names: &[String],
    args: &ReportArgs,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    // What is said goes to standard error, whatever standard output is.
    let said = OutputArgs {
        format: Some(Format::Table),
        ..output.clone()
    };
    let mut out = Output::new(&said, 8);
    for failed in &report.failed {
        say(&format!("left out: {}", failed.why));
    }
    out.lose(report.failed.len());
    if !output.quiet {
        let named = names.iter().zip(files);
        let others = named.filter(|(name, _)| report.others.contains(name));
        let others: Vec<PathBuf> = others.map(|(_, file)| file.path.clone()).collect();
        tell_others(&others, output.verbose);
        if !report.by_clock {
            say("the guest's clock is not known of every snapshot: the order is as given");
        }
        let page = osier_text::path(&args.out);
        let snapshots = plural(report.snapshots.len(), "snapshot");
        say(&format!("{page}: {snapshots}"));
    }
    let one = report.snapshots.len() == 1;
    for told in &report.snapshots {
        let name = (!one).then_some(told.name.as_str());
        out.doubt(name, &told.doubts);
        out.lose(told.lost);
        out.ended(name, told.bad_ends, &told.ends);
        if told.late {
            let limit = args.time_limit.unwrap_or_default();
            let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
            say(&format!(
                "{name}stopped: the time limit of {limit:?} was over before all was asked"
            ));
            out.ended(None, 1, &[]);
        }
    }
    Ok(out.conclude(&WalkEnds::default())?)
}
