//! `osier distill`: a small snapshot with only the pages that some questions need.

use std::io::Write;

use osier::distill::distill;

use super::{options, questions};
use crate::args::{DistillArgs, OutputArgs};
use crate::failure::Outcome;

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
            args.out.display(),
            done.pages,
            done.bytes,
            done.rows
        )?;
    }
    Ok(Outcome::Complete)
}
