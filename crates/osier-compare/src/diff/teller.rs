//! Telling events, and what can be said of rows that only one snapshot has.

use osier::tables::Row;
use osier::{Process, WalkEnds};

use super::fields::{EARLIER, LATER, changed, lost};
use super::pair::Pair;
use crate::{Event, Kind};

/// Where events go.
pub(super) struct Teller<'a, 't> {
    pointer_bytes: u8,
    process: Option<&'a Process>,
    tell: &'t mut dyn FnMut(Event<'a>),
}

/// What it is called when a thing comes, goes, and when that is not known.
#[derive(Clone, Copy)]
pub(super) struct Kinds {
    pub(super) new: Kind,
    pub(super) gone: Kind,
    pub(super) unknown: Kind,
}

impl<'a, 't> Teller<'a, 't> {
    pub(super) fn new(pointer_bytes: u8, tell: &'t mut dyn FnMut(Event<'a>)) -> Self {
        Self {
            pointer_bytes,
            process: None,
            tell,
        }
    }

    /// The same, for what belongs to a process.
    pub(super) fn of_process(&mut self, process: &'a Process) -> Teller<'a, '_> {
        Teller {
            pointer_bytes: self.pointer_bytes,
            process: Some(process),
            tell: &mut *self.tell,
        }
    }

    /// Tells an event of `row`, with what `more` adds.
    pub(super) fn event(
        &mut self,
        kind: Kind,
        row: &'a dyn Row,
        more: impl FnOnce(&mut Event<'a>),
    ) {
        let mut event = Event {
            kind,
            row,
            process: self.process,
            was: None,
            range: None,
            because: Vec::new(),
            pointer_bytes: self.pointer_bytes,
        };
        more(&mut event);
        (self.tell)(event);
    }

    /// Tells `kind` when one of `fields` had another value. Says whether it did.
    pub(super) fn changed(
        &mut self,
        kind: Kind,
        before: &'a dyn Row,
        after: &'a dyn Row,
        fields: &[&'static str],
    ) -> bool {
        let fields = changed(before, after, fields);
        let any = !fields.is_empty();
        if any {
            self.event(kind, after, |event| event.was = Some((before, fields)));
        }
        any
    }

    /// Tells `kind` when one of `fields` was lost on either side.
    pub(super) fn lost(
        &mut self,
        kind: Kind,
        before: &'a dyn Row,
        after: &'a dyn Row,
        fields: &[&'static str],
    ) {
        let because = lost(before, after, fields);
        if !because.is_empty() {
            self.event(kind, after, |event| event.because = because);
        }
    }

    /// Tells of a row that only one snapshot has, by how the walks of both ended.
    pub(super) fn lone<T: Copy>(
        &mut self,
        kinds: Kinds,
        pair: &Pair<T>,
        as_row: impl Fn(T) -> &'a dyn Row,
        ends: (&WalkEnds, &WalkEnds),
    ) {
        let (row, replaced, certain, why) = match *pair {
            Pair::Both(..) => return,
            Pair::Before { row, replaced } => (row, replaced, kinds.gone, open(LATER, ends.1)),
            Pair::After { row, replaced } => (row, replaced, kinds.new, open(EARLIER, ends.0)),
        };
        if replaced || why.is_empty() {
            self.event(certain, as_row(row), |_| {});
        } else {
            self.event(kinds.unknown, as_row(row), |event| event.because = why);
        }
    }
}

/// The walks of one snapshot that did not close, in words.
pub(super) fn open(side: &str, ends: &WalkEnds) -> Vec<String> {
    let words = ends.bad().map(|(walk, end)| end.of(walk));
    words
        .map(|words| format!("in the {side} snapshot the walk of {words}"))
        .collect()
}
