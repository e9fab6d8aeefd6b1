//! `osier merge`: the parts of a run, put together.

use super::run::{counts, outcome};
use crate::args::{MergeArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::say;

pub(super) fn run(args: &MergeArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let summary = osier_fleet::merge(&args.folders, &args.out)?;
    if !output.quiet {
        say(&format!(
            "{}: {}",
            osier_text::path(&args.out),
            counts(&summary)
        ));
    }
    Ok(outcome(&summary, output))
}
