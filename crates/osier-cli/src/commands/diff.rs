//! `osier diff`: what happened between two snapshots of one guest.

use std::path::Path;

use osier::Guest;
use osier::WalkEnds;
use osier::ask::Question;
use osier::tables::Cells;
use osier_compare::{View, diff, premises};

use super::common::{options, questions};
use crate::args::{DiffArgs, KnownArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::{Output, say};

pub(super) fn run(args: &DiffArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let asked = questions(&args.ask)?;
    let before = view(&args.before, &args.known, &asked)?;
    let after = view(&args.after, &args.known, &asked)?;
    let mut out = Output::new(output, after.pointer_bytes);
    for premise in premises(&before, &after) {
        out.object(&|line| premise.json(line))?;
        if !output.quiet {
            let (about, means) = (premise.about, premise.means);
            let (was, now) = (&premise.was, &premise.now);
            say(&format!("{about} was {was}, is {now}: {means}"));
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
