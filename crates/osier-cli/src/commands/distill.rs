//! `osier distill`: a small snapshot with only the pages that some questions need.

use std::io::Write;

use osier::distill::distill;

use super::{options, questions};
use crate::args::{DistillArgs, OutputArgs};
use crate::failure::Outcome;
use crate::output::{MAY_SUFFER, plural};

pub(super) fn run(args: &DistillArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let questions = questions(&args.ask)?;
    let snapshot = &args.snapshot;
    let done = distill(
        &snapshot.snapshot,
        &options(&snapshot.known),
        &questions,
        &args.out,
    )?;
    if !output.quiet {
        writeln!(
            std::io::stderr(),
            "osier: {}: {} pages, {} bytes; {} rows answer as before",
            osier_text::path(&args.out),
            done.pages,
            done.bytes,
            done.rows
        )?;
    }
    let (file, lost) = (osier_text::path(&args.out), done.lost);
    if !output.quiet {
        for doubt in &done.doubts {
            writeln!(std::io::stderr(), "osier: {file}: {MAY_SUFFER}: {doubt}")?;
        }
        if lost > 0 {
            let lost = plural(lost, "value or list");
            writeln!(
                std::io::stderr(),
                "osier: {file}: incomplete: {lost} could not be read, here as in the whole snapshot"
            )?;
        }
    }
    Ok(match (lost == 0 && done.doubts.is_empty(), output.strict) {
        (true, _) => Outcome::Complete,
        (false, true) => Outcome::PartialIsFailure,
        (false, false) => Outcome::Partial,
    })
}
