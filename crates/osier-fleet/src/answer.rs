//! The second pass over one snapshot: open, attach, ask.

use std::sync::Arc;
use std::time::Instant;

use osier::ask::{Asker, Question};
use osier::osier_profile::Profile;
use osier::{Error, Guest, LastKernel, Located, ProfileSource, Shared, Snapshot};

use crate::Asking;
use crate::budget::Budget;
use crate::deadline::Deadline;
use crate::inputs::Input;
use crate::manifest::{Asked, Entry, Status};
use crate::opened::Waiting;
use crate::rows::{Piece, Rows};
use crate::table::Table;
use osier::osier_symbols::fence::fence;

/// What one snapshot gave.
pub(crate) struct Answer {
    pub(crate) entry: Entry,
    /// For each table its rows; empty when the snapshot failed.
    pub(crate) rows: Vec<Piece>,
}

/// Where the first pass found the snapshot's kernel, and what it is read with.
pub(crate) struct Found<'a> {
    pub(crate) last: LastKernel,
    pub(crate) profile: &'a Arc<Profile>,
    pub(crate) source: &'a ProfileSource,
}

/// Asks the snapshot everything. `entry` has what the first pass knows of it.
pub(crate) fn answer(
    input: &Input,
    found: &Found<'_>,
    mut entry: Entry,
    (shared, waiting): (&Shared, &Waiting),
    tables: &[Table],
    asking: &Asking,
) -> Answer {
    let deadline = Deadline::new(asking.time_limit);
    let began = Instant::now();
    let mut budget = None;
    let id = entry.id.clone().unwrap_or_default();
    let asked = fence(|| {
        if let Some(probe) = &asking.probe {
            (probe.0)(&input.path);
        }
        let opened = waiting.take(&input.path, deadline.clone());
        if let Some(why) = deadline.gave_up("it was opened") {
            return Err(why);
        }
        let mut opened = opened.map_err(|error| error.to_string())?;
        let deadline = opened.deadline.clone();
        let located =
            opened.search(|snapshot| shared.locate_again(snapshot, found.profile, found.last));
        if let Some(why) = deadline.gave_up("its kernel was found again") {
            return Err(why);
        }
        let budget = budget.insert(Budget::new(deadline, asking.memory_limit));
        let guest = located.and_then(|located| attach(opened.snapshot, located, found, shared));
        let guest = guest.map_err(|error| error.to_string())?;
        let doubts = guest.info().doubts().map(ToString::to_string).collect();
        let (asked, rows) = ask_all(&guest, tables, (&entry.snapshot, &id), budget)?;
        Ok((doubts, asked, rows))
    });
    entry.elapsed = began.elapsed();
    match asked.and_then(|asked| asked) {
        Ok((doubts, asked, rows)) => {
            entry.asked = asked;
            entry.doubts = doubts;
            judge(&mut entry, budget.as_ref().and_then(Budget::over));
            Answer { entry, rows }
        }
        Err(why) => {
            entry.fail(why);
            Answer {
                entry,
                rows: Vec::new(),
            }
        }
    }
}

fn attach(
    snapshot: Snapshot,
    located: Located,
    found: &Found<'_>,
    shared: &Shared,
) -> Result<Guest, Error> {
    if found.profile.inferred() {
        // What is told of a snapshot does not depend on what others of its kernel prove.
        return Guest::found(snapshot, located, shared);
    }
    Guest::with(
        snapshot,
        located,
        found.profile.clone(),
        found.source.clone(),
    )
}

/// The rows of every table, up to where the budget ends.
fn ask_all(
    guest: &Guest,
    tables: &[Table],
    (name, id): (&str, &str),
    budget: &mut Budget,
) -> Result<(Vec<Asked>, Vec<Piece>), String> {
    let osi = guest.provider();
    let asker = Asker::new(&*osi);
    let mut all = Vec::new();
    let mut pieces = Vec::new();
    let mut before = 0_usize;
    for table in tables {
        let mut rows = Rows::new(table, name, id);
        let (mut count, mut lost) = (0_usize, 0_usize);
        if budget.over().is_none() {
            let ends = asker.ask(table.question, &mut |row| {
                rows.push(row);
                count = count.saturating_add(1);
                lost = lost.saturating_add(row.losses());
                budget.look(before.saturating_add(rows.held()))
            });
            if count == 0 && never_empty(table.question) && budget.over().is_none() {
                let what = table.question.word();
                return Err(format!(
                    "the answer to {what} is empty, which no running system's is"
                ));
            }
            all.push(Asked {
                question: table.question,
                rows: count,
                lost,
                ends,
            });
        }
        before = before.saturating_add(rows.held());
        pieces.push(rows.finish()?);
    }
    Ok((all, pieces))
}

/// Whether a running system always has rows for an answer.
const fn never_empty(question: Question) -> bool {
    matches!(
        question,
        Question::Processes | Question::Handles | Question::Threads
    )
}

/// Bad endings of one answer that are told in words; `ends` has all of them.
const ENDS: usize = 8;

/// Decides how complete the answer is, and says why it is not.
fn judge(entry: &mut Entry, over: Option<&str>) {
    let of_file = entry.doubts.iter();
    let mut why: Vec<String> = of_file.map(|doubt| format!("the file: {doubt}")).collect();
    why.extend(over.map(str::to_owned));
    for asked in &entry.asked {
        let word = asked.question.word();
        if asked.lost > 0 {
            why.push(format!("{word}: {} values could not be read", asked.lost));
        }
        for (walk, end) in asked.ends.bad().take(ENDS) {
            why.push(format!("{word}: {}", end.of(walk)));
        }
        let more = asked.ends.bad().count().saturating_sub(ENDS);
        if more > 0 {
            why.push(format!("{word}: {more} more walks ended badly"));
        }
    }
    entry.status = if why.is_empty() {
        Status::Complete
    } else {
        Status::Partial
    };
    entry.why = why;
}
