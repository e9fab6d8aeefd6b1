//! How rows and a guest's own word compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// The outcome of one question of one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that are as the guest said.
    pub equal: usize,
    /// Reason to number of rows.
    pub excused: BTreeMap<&'static str, usize>,
    /// What differs, a line for each.
    pub wrong: Vec<String>,
}

impl Tally {
    pub(super) fn excuse(&mut self, reason: &'static str) {
        *self.excused.entry(reason).or_default() += 1;
    }

    /// How many rows were held against the truth.
    pub fn compared(&self) -> usize {
        self.equal + self.excused.values().sum::<usize>() + self.wrong.len()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.equal += other.equal;
        for (reason, count) in other.excused {
            *self.excused.entry(reason).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }
}

/// Both sets beside each other; `excused` names the reason why one of them has what the other has not.
pub(super) fn sets<T: Ord + Debug>(
    truth: &BTreeSet<T>,
    rows: &BTreeSet<T>,
    excused: impl Fn(&T) -> Option<&'static str>,
) -> Tally {
    let mut tally = Tally {
        equal: truth.intersection(rows).count(),
        ..Tally::default()
    };
    if truth.is_empty() {
        tally.wrong.push("there is no truth".to_owned());
    }
    for (ones, others, side) in [
        (truth, rows, "is missing"),
        (rows, truth, "is not in the truth"),
    ] {
        for one in ones.difference(others) {
            match excused(one) {
                Some(reason) => tally.excuse(reason),
                None => tally.wrong.push(format!("{one:?} {side}")),
            }
        }
    }
    tally
}
