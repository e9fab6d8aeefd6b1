//! `osier distill`: a small snapshot with only the pages that some questions need.

use osier::distill::distill;

use super::common::{options_beside, questions};
use crate::args::{DistillArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::{MAY_SUFFER, plural, say};

pub(super) fn run(args: &DistillArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let questions = questions(&args.ask)?;
    let snapshot = &args.snapshot;
    let options = options_beside(snapshot, &args.out)?;
    let done = distill(&snapshot.snapshot, &options, &questions, &args.out)?;
    let (file, lost) = (osier_text::path(&args.out), done.lost);
    if !output.quiet {
        let (pages, bytes) = (plural(done.pages, "page"), done.bytes);
        let rows = plural(done.rows, "row");
        say(&format!(
            "{file}: {pages}, {bytes} bytes; {rows} answer as before"
        ));
    }
    if !output.quiet {
        for doubt in &done.doubts {
            say(&format!("{file}: {MAY_SUFFER}: {doubt}"));
        }
        if lost > 0 {
            let lost = match lost {
                1 => "1 value or list".to_owned(),
                lost => format!("{lost} values or lists"),
            };
            say(&format!(
                "{file}: incomplete: {lost} could not be read, here as in the whole snapshot"
            ));
        }
    }
    Ok(match (lost == 0 && done.doubts.is_empty(), output.strict) {
        (true, _) => Outcome::Complete,
        (false, true) => Outcome::PartialIsFailure,
        (false, false) => Outcome::Partial,
    })
}
