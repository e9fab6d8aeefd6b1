//! Threads of one process.

use osier::{Process, Thread};

use super::pair::{Pair, compatible, pair};
use super::teller::{Kinds, Teller};
use crate::{Answer, Kind};

const KINDS: Kinds = Kinds {
    new: Kind::ThreadStarted,
    gone: Kind::ThreadGone,
    unknown: Kind::ThreadUnknown,
};

/// Tells what happened to the threads of `process`.
pub(super) fn compare<'a>(
    process: &'a Process,
    before: &'a Answer<Thread>,
    after: &'a Answer<Thread>,
    teller: &mut Teller<'a, '_>,
) {
    let mut teller = teller.of_process(process);
    let (was, now): (Vec<&Thread>, Vec<&Thread>) =
        (before.rows.iter().collect(), after.rows.iter().collect());
    let same = |one: &Thread, other: &Thread| compatible(&one.tid, &other.tid);
    for pair in &pair(&was, &now, |thread| thread.task.0, same) {
        match *pair {
            // The process is named after its leader: that name is told of the process.
            Pair::Both(_, b) if compatible(&b.tid, &b.pid) => {}
            Pair::Both(a, b) => {
                teller.changed(Kind::ThreadRenamed, a, b, &["name"]);
                teller.lost(Kind::ThreadUnknown, a, b, &["tid", "name"]);
            }
            _ => teller.lone(KINDS, pair, |row| row, (&before.ends, &after.ends)),
        }
    }
}
