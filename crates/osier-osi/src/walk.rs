//! How a traversal ended, and the guard that keeps it from going round for ever.

use std::fmt;

use foldhash::HashSet;
use osier_memory::{Fault, VirtAddr};

use crate::Absent;

/// How a traversal of a list or tree ended. [`Closed`](Self::Closed) is the only good ending.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// The walk came back to where it started, or to the list's proper end.
    Closed,
    /// A link could not be read.
    BrokenLink {
        /// The node whose link it is.
        from: VirtAddr,
        /// What the link says, when it was read but leads nowhere.
        to: Option<VirtAddr>,
        /// Why.
        fault: Fault,
    },
    /// A node's back link does not lead to the node that led to it.
    Inconsistent {
        /// The node.
        at: VirtAddr,
        /// Its back link.
        back_link: VirtAddr,
        /// Where the back link should lead.
        expected: VirtAddr,
    },
    /// A node was met a second time before the walk closed.
    Cycle {
        /// The node.
        at: VirtAddr,
        /// Nodes walked before.
        after: usize,
    },
    /// The walk was given up: more nodes than any real system has.
    Limit {
        /// Nodes walked.
        after: usize,
    },
    /// The caller asked to stop.
    Stopped,
    /// Two sources that should name the same set do not.
    Disagreement {
        /// What was compared, such as `task list and pid table`.
        between: &'static str,
        /// Rows that only the first names.
        only_first: usize,
        /// Rows that only the second names.
        only_second: usize,
    },
    /// What was walked says of itself what cannot be, in values that the answer does not show.
    Implausible {
        /// The first node that does.
        at: VirtAddr,
        /// How many values of all nodes.
        values: usize,
    },
    /// Parts of what was searched could not be read: what lies there is not in the answer.
    Unread {
        /// What is in parts, such as `pages of page descriptors`.
        what: &'static str,
        /// How many of them.
        parts: usize,
        /// Why the first could not be read, and where.
        fault: Fault,
    },
    /// Nobody answers this of the guest's system yet.
    NotAnswered,
    /// The walk could not start: its head or a value it needs cannot be read.
    NoStart {
        /// What was missing, in words.
        missing: String,
        /// Why, when it was a read.
        fault: Option<Fault>,
    },
}

impl WalkEnd {
    /// A link of `from` that cannot be read, or that leads `to` where nothing is.
    pub fn broken(from: VirtAddr, to: impl Into<Option<VirtAddr>>, fault: Fault) -> Self {
        let to = to.into();
        Self::BrokenLink { from, to, fault }
    }

    /// A walk that could not start for want of what is `missing`.
    pub fn no_start(missing: impl Into<String>, fault: impl Into<Option<Fault>>) -> Self {
        let (missing, fault) = (missing.into(), fault.into());
        Self::NoStart { missing, fault }
    }

    /// A walk that could not start, for a value that is called `missing` is absent.
    pub fn without(missing: impl fmt::Display, absent: &Absent) -> Self {
        match absent.fault() {
            Some(fault) => Self::no_start(missing.to_string(), fault),
            None => Self::no_start(format!("{missing}: {absent}"), None),
        }
    }

    /// Whether everything there was has been walked.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// The word that rows and scripts know this ending by; see `docs/rows.md`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::BrokenLink { .. } => "broken-link",
            Self::Inconsistent { .. } => "inconsistent",
            Self::Cycle { .. } => "cycle",
            Self::Limit { .. } => "limit",
            Self::Stopped => "stopped",
            Self::Disagreement { .. } => "disagreement",
            Self::Implausible { .. } => "implausible",
            Self::Unread { .. } => "unread",
            Self::NotAnswered => "not-answered",
            Self::NoStart { .. } => "no-start",
        }
    }

    /// This ending of the walk of that name, in words. One that is called by the two sources it holds against
    /// each other is not named twice.
    pub fn of(&self, walk: &str) -> String {
        match self {
            Self::Disagreement {
                between,
                only_first,
                only_second,
            } if *between == walk => format!(
                "{between} disagree: {only_first} only in the first, {only_second} only in the second"
            ),
            _ => format!("{walk} {self}"),
        }
    }
}

impl fmt::Display for WalkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self {
            Self::Closed => "closed".to_owned(),
            Self::Stopped => "was stopped".to_owned(),
            Self::NotAnswered => "cannot be asked of this system".to_owned(),
            Self::BrokenLink { from, to, fault } => match to {
                Some(to) => format!("breaks: the link of {from} leads to {to}: {fault}"),
                None => format!("breaks: the link of {from} cannot be read: {fault}"),
            },
            Self::Inconsistent {
                at,
                back_link,
                expected,
            } => format!("is inconsistent: {at} links back to {back_link}, not to {expected}"),
            Self::Cycle { at, after } => format!("goes round at {at} after {after} nodes"),
            Self::Limit { after } => format!("was given up after {after} nodes"),
            Self::Disagreement {
                between,
                only_first,
                only_second,
            } => format!(
                "disagrees: {between}; {only_first} only in the first, {only_second} only in the second"
            ),
            Self::Implausible { at, values } => {
                let values = if *values == 1 {
                    "1 value"
                } else {
                    &format!("{values} values")
                };
                format!(
                    "cannot be trusted: {values} cannot be right, the first of {at} (`ps` shows them)"
                )
            }
            Self::Unread { what, parts, fault } => {
                format!("is short of {parts} {what} that cannot be read, the first: {fault}")
            }
            Self::NoStart { missing, fault } => match fault {
                Some(fault) => format!("cannot start: {missing}: {fault}"),
                None => format!("cannot start: {missing}"),
            },
        };
        f.write_str(&how)
    }
}

/// The endings of all walks that one answer took, each with the walk's name, such as `tasks`.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalkEnds(pub Vec<(&'static str, WalkEnd)>);

impl WalkEnds {
    /// The endings of one walk.
    pub fn one(walk: &'static str, end: WalkEnd) -> Self {
        Self(vec![(walk, end)])
    }

    /// Adds the ending of `walk`; of good endings one is kept for each name, as of questions that are not answered
    /// and of what a profile lacks, which every process lacks alike.
    pub fn add(&mut self, walk: &'static str, end: WalkEnd) {
        let lacks = matches!(end, WalkEnd::NoStart { fault: None, .. });
        let once = lacks || matches!(end, WalkEnd::Closed | WalkEnd::NotAnswered);
        let known = |(name, known): &(&str, WalkEnd)| {
            let same = if lacks {
                *known == end
            } else {
                *known == WalkEnd::NotAnswered
            };
            *name == walk && (end.is_closed() || same)
        };
        if !(once && self.0.iter().any(known)) {
            self.0.push((walk, end));
        }
    }

    /// Adds the endings of another answer.
    pub fn join(&mut self, other: Self) {
        for (walk, end) in other.0 {
            self.add(walk, end);
        }
    }

    /// Says that two sources name different sets, when they do.
    pub fn disagree(&mut self, between: &'static str, only_first: usize, only_second: usize) {
        if only_first > 0 || only_second > 0 {
            let end = WalkEnd::Disagreement {
                between,
                only_first,
                only_second,
            };
            self.add(between, end);
        }
    }

    /// Says that two sources count differently, when they do.
    pub fn differ(&mut self, between: &'static str, first: usize, second: usize) {
        let more = first.saturating_sub(second);
        self.disagree(between, more, second.saturating_sub(first));
    }

    /// These endings of `walk`, whose rows the caller did not want all of: the good ones tell nothing.
    pub fn stopped(&self, walk: &'static str) -> Self {
        let mut all = Self::one(walk, WalkEnd::Stopped);
        for (walk, end) in self.bad() {
            all.add(walk, end.clone());
        }
        all
    }

    /// Whether every walk closed (or was stopped by the caller).
    pub fn is_complete(&self) -> bool {
        self.0
            .iter()
            .all(|(_, end)| matches!(end, WalkEnd::Closed | WalkEnd::Stopped))
    }

    /// Whether every walk that was begun closed, and was not stopped by the caller either.
    pub fn all_closed(&self) -> bool {
        self.0.iter().all(|(_, end)| end.is_closed())
    }

    /// The endings that are not good.
    pub fn bad(&self) -> impl Iterator<Item = (&'static str, &WalkEnd)> {
        let bad = |end: &WalkEnd| !matches!(end, WalkEnd::Closed | WalkEnd::Stopped);
        self.0
            .iter()
            .filter(move |(_, end)| bad(end))
            .map(|(walk, end)| (*walk, end))
    }
}

/// The endings that are not good, a line each; `every walk closed` when there is none.
impl fmt::Display for WalkEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bad = self.bad().peekable();
        if bad.peek().is_none() {
            return f.write_str("every walk closed");
        }
        for (number, (walk, end)) in bad.enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            f.write_str(&end.of(walk))?;
        }
        Ok(())
    }
}

/// Tells a node met twice, and ends a walk that is longer than any real one.
#[derive(Debug)]
pub struct Guard {
    met: HashSet<u64>,
    limit: usize,
}

impl Guard {
    /// A guard that gives up after `limit` nodes.
    pub fn new(limit: usize) -> Self {
        Self {
            met: HashSet::default(),
            limit,
        }
    }

    /// Notes a node.
    ///
    /// # Errors
    ///
    /// The ending, when the node was met before or the limit is reached.
    pub fn meet(&mut self, node: VirtAddr) -> Result<(), WalkEnd> {
        let after = self.met.len();
        if after >= self.limit {
            return Err(WalkEnd::Limit { after });
        }
        if self.met.insert(node.0) {
            Ok(())
        } else {
            Err(WalkEnd::Cycle { at: node, after })
        }
    }

    /// Nodes met so far.
    pub fn count(&self) -> usize {
        self.met.len()
    }

    /// Whether `node` was met.
    pub fn has_met(&self, node: VirtAddr) -> bool {
        self.met.contains(&node.0)
    }
}
