//! `osier diff`: what happened between two snapshots of one guest.

use std::path::Path;

use osier::Guest;
use osier::WalkEnds;
use osier::ask::Question;
use osier::tables::Cells;
use osier_compare::{Premise, View, diff, premises};

use super::common::{options, questions};
use crate::args::{DiffArgs, KnownArgs, OutputArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::{Output, say};

pub(super) fn run(args: &DiffArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let asked = compared(&args.ask)?;
    let before = view(&args.before, &args.known, &asked)?;
    let after = view(&args.after, &args.known, &asked)?;
    let mut out = Output::new(output, after.pointer_bytes);
    let premises = premises(&before, &after);
    for premise in &premises {
        out.object(&|line| premise.json(line))?;
    }
    if !output.quiet {
        warn(&premises, output.verbose);
        if let (Ok(was), Ok(is)) = (&before.clock, &after.clock)
            && is < was
        {
            let (before, after) = (&before.label, &after.label);
            say(&format!(
                "{after} is earlier than {before}, by the guest's clock: what is told as new had not gone yet"
            ));
        }
    }
    let mut written = Ok(());
    let mut events = 0_usize;
    diff(&before, &after, &mut |event| {
        if written.is_ok() {
            events = events.saturating_add(1);
            written = out.record(&Cells::of(&event), &|line| event.json(line));
        }
    });
    written?;
    for view in [&before, &after] {
        out.doubt(Some(&view.label), &view.doubts);
        out.lose(view.losses());
        out.ends_of(&view.label, &view.ends())?;
    }
    let outcome = out.finish(&WalkEnds::default())?;
    Ok(if args.exit_code && events > 0 {
        Outcome::Different
    } else {
        outcome
    })
}

/// The questions that these words ask, each of which must be one that is compared.
fn compared(words: &[String]) -> anyhow::Result<Vec<Question>> {
    let other = words.iter().find(|word| {
        let asked = Question::of_word(word.trim());
        !asked.is_some_and(|question| View::QUESTIONS.contains(&question))
    });
    let Some(other) = other else {
        return questions(words);
    };
    let known = View::QUESTIONS.map(Question::word).join(", ");
    let other = osier_text::visible(other);
    let wrong = format!("diff compares nothing that is called `{other}`; it compares {known}");
    Err(Usage(wrong).into())
}

/// Says that the snapshots are not of one boot of one kernel: once for all that means the same, and one by
/// one when everything is asked for or there is only one.
fn warn(premises: &[Premise], verbose: bool) {
    let mut rest = premises;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|other| other.means == first.means);
        let (alike, others) = rest.split_at(alike.count());
        rest = others;
        if verbose || alike.len() == 1 {
            for premise in alike {
                let (about, means) = (premise.about, premise.means);
                let (was, now) = (&premise.was, &premise.now);
                say(&format!("{about} was {was}, is {now}: {means}"));
            }
        } else {
            let about: Vec<&str> = alike.iter().map(|premise| premise.about).collect();
            let (about, means) = (about.join(", "), first.means);
            say(&format!("{about} differ: {means}; -v shows them"));
        }
    }
}

/// Everything that the snapshot at `path` says.
fn view(path: &Path, known: &KnownArgs, asked: &[Question]) -> anyhow::Result<View> {
    view_of(&Guest::open(path, &options(known))?, path, asked)
}

/// Everything that the snapshot says that was opened at `path`.
pub(super) fn view_of(guest: &Guest, path: &Path, asked: &[Question]) -> anyhow::Result<View> {
    let path = osier_text::path(path).to_string();
    let view = View::of(path.clone(), guest, asked);
    if view.processes.rows.is_empty() {
        anyhow::bail!("{path}: the process list is empty, which no running system's is");
    }
    Ok(view)
}
