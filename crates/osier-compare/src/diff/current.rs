//! What runs on each processor: the offline answer to PANDA's `on_task_change`.

use osier::Current;

use super::pair::{Pair, pair};
use super::teller::{Kinds, Teller};
use crate::{Answer, Kind};

/// A processor does not come or go: it was not met.
const KINDS: Kinds = Kinds {
    new: Kind::CurrentUnknown,
    gone: Kind::CurrentUnknown,
    unknown: Kind::CurrentUnknown,
};

/// What tells a thread from another one.
const THREAD: [&str; 2] = ["tid", "task"];

/// What is told of the thread that ran before.
const TOLD: [&str; 7] = [
    "pid",
    "tid",
    "name",
    "taskd",
    "asid",
    "task",
    "process_name",
];

/// Tells which processors run another thread.
pub(super) fn compare<'a>(
    before: &'a Answer<Current>,
    after: &'a Answer<Current>,
    teller: &mut Teller<'a, '_>,
) {
    let (was, now): (Vec<&Current>, Vec<&Current>) =
        (before.rows.iter().collect(), after.rows.iter().collect());
    for pair in &pair(&was, &now, |current| u64::from(current.cpu), |_, _| true) {
        match *pair {
            Pair::Both(a, b) if !super::fields::changed(a, b, &THREAD).is_empty() => {
                teller.changed(Kind::CurrentChanged, a, b, &TOLD);
            }
            Pair::Both(a, b) => teller.lost(Kind::CurrentUnknown, a, b, &THREAD),
            _ => teller.lone(KINDS, pair, |row| row, (&before.ends, &after.ends)),
        }
    }
}
