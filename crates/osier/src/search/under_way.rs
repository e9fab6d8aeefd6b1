//! A search under way: what it takes, and how far it got.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use osier_memory::{Cause, Fault, PhysAddr, PhysRun, PhysicalMemory};
use osier_osi::{Absent, WalkEnds};

use super::pattern::Pattern;
use crate::hit::{Hit, MOST_SHOWN};

/// Bytes of memory that are read at a time.
pub(super) const WINDOW: usize = 1 << 20;
/// The walk's name in endings.
pub(super) const WALK: &str = "search";

/// How far a search got.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Matches that were told.
    pub hits: u64,
    /// Bytes that were not, by the reason in words.
    pub lost: BTreeMap<String, u64>,
    /// How the walks ended.
    pub ends: WalkEnds,
}

impl Searched {
    /// Bytes that could not be looked at.
    pub fn lost_bytes(&self) -> u64 {
        self.lost
            .values()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    pub(super) fn lose(&mut self, why: &Absent, bytes: u64) {
        let why = match why.why {
            // Without the place, which is another each time.
            osier_osi::Why::Unreadable(fault) => Fault::new(fault.cause).to_string(),
            osier_osi::Why::Implausible { rule, .. } => rule.to_owned(),
            _ => why.to_string(),
        };
        // An entry tells itself apart from every other, and says no more than its kind.
        let why = why.split(" (entry").next().unwrap_or(&why).to_owned();
        let why = match why.split_once(", entry") {
            Some((kind, _)) => format!("{kind})"),
            None => why,
        };
        let known = self.lost.len();
        let held = self.lost.contains_key(&why);
        // Some causes name a place in the file.
        let why = if held || known < 64 {
            why
        } else {
            "for other reasons".to_owned()
        };
        let bytes_of = self.lost.entry(why).or_default();
        *bytes_of = bytes_of.saturating_add(bytes);
    }
}

/// Whoever is told of a hit; it may end the search.
pub type Tell<'t> = dyn FnMut(Hit) -> ControlFlow<()> + 't;

/// A search under way.
pub(super) struct Search<'a> {
    pub(super) patterns: &'a [Pattern],
    pub(super) until: Option<Instant>,
    pub(super) done: Searched,
    pub(super) tell: &'a mut Tell<'a>,
}

impl Search<'_> {
    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Notes bytes that are looked at, and ends the search when its time is over.
    pub(super) fn look(&mut self, bytes: usize) -> ControlFlow<()> {
        self.done.bytes = self.done.bytes.saturating_add(bytes as u64);
        if self.is_late() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    pub(super) fn hit(&mut self, hit: Hit) -> ControlFlow<()> {
        self.done.hits = self.done.hits.saturating_add(1);
        (self.tell)(hit)
    }
}

/// What is shown of a match.
pub(super) fn shown(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..MOST_SHOWN).unwrap_or(bytes).to_vec()
}

/// Whoever is shown bytes, and where they stand.
pub(super) type Visit<'v> = dyn FnMut(&mut Search<'_>, PhysAddr, &[u8]) -> ControlFlow<()> + 'v;

/// Shows the bytes of `run`, and notes what of it cannot be read.
pub(super) fn sweep(
    search: &mut Search<'_>,
    memory: &dyn PhysicalMemory,
    run: PhysRun,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let mut next = run.start;
    memory.sweep(run, WINDOW, &mut |pa, bytes| {
        passed_over(&mut search.done, memory, next, pa);
        next = pa.plus(bytes.len() as u64);
        search.look(bytes.len())?;
        visit(search, pa, bytes)
    })?;
    passed_over(&mut search.done, memory, next, run.end());
    ControlFlow::Continue(())
}

/// Notes the bytes from `from` to `to`, which a sweep passed over.
fn passed_over(done: &mut Searched, memory: &dyn PhysicalMemory, from: PhysAddr, to: PhysAddr) {
    if from >= to {
        return;
    }
    let fault = match memory.chunk(from) {
        Err(fault) => fault,
        Ok(_) => Fault::new(Cause::NotCaptured),
    };
    done.lose(&Absent::unreadable(fault), to.since(from));
}
