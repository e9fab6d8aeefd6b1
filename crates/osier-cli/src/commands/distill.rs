//! `osier distill`: a small snapshot with only the pages that some questions need.

use std::io::Write;

use osier::ask::Question;
use osier::distill::distill;

use super::options;
use crate::args::{DistillArgs, OutputArgs};
use crate::failure::{Outcome, Usage};

pub(super) fn run(args: &DistillArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let mut questions = Vec::new();
    for word in &args.ask {
        let Some(question) = Question::of_word(word) else {
            let known: Vec<&str> = Question::ALL
                .iter()
                .map(|question| question.word())
                .collect();
            let known = known.join(", ");
            return Err(Usage(format!("no question is called `{word}`; there are {known}")).into());
        };
        questions.push(question);
    }
    let snapshot = &args.snapshot;
    let done = distill(
        &snapshot.snapshot,
        &options(snapshot),
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
