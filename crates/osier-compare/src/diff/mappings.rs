//! Mappings of one process, compared address by address.
//!
//! The kernel splits and joins mappings as it likes: an `mprotect` in the middle of one makes three
//! of it. So rows are not held against rows. All bounds of both snapshots cut the address space into
//! pieces, within each of which there is at most one mapping before and one after; what happened to
//! each piece is plain, and neighbours of one fate are told together.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use osier::{Mapping, Process, SeenExt as _};

use super::fields::{EARLIER, LATER, changed, lost, undeleted};
use super::teller::{Teller, open};
use crate::{Answer, Kind};

/// A mapping and the addresses it covers.
#[derive(Clone, Copy)]
struct Span<'a> {
    row: &'a Mapping,
    start: u64,
    end: u64,
}

/// A stretch of addresses with one fate.
struct Piece<'a> {
    range: Range<u64>,
    before: Option<Span<'a>>,
    after: Option<Span<'a>>,
}

/// Tells what happened to the mappings of `process`.
pub(super) fn compare<'a>(
    process: &'a Process,
    before: &'a Answer<Mapping>,
    after: &'a Answer<Mapping>,
    teller: &mut Teller<'a, '_>,
) {
    let mut teller = teller.of_process(process);
    let was = Side::new(EARLIER, before);
    let now = Side::new(LATER, after);
    let pieces = pieces(&was.spans, &now.spans);
    let rests = Rests::of(&pieces);
    let moved = moved(&pieces);
    for piece in &pieces {
        match (piece.before, piece.after) {
            (Some(a), Some(b)) => reprotected(piece, a.row, b.row, &mut teller),
            (Some(a), None) => {
                if let Some(rest) = rests.of_before.get(&a.start) {
                    resized(Kind::Shrunk, piece, a.row, rest, &mut teller);
                } else if !moved.gone.contains(&a.start) {
                    known(Kind::Unmapped, piece, a.row, &now, &mut teller);
                }
            }
            (None, Some(b)) => {
                if let Some(rest) = rests.of_after.get(&b.start) {
                    resized(Kind::Grown, piece, rest, b.row, &mut teller);
                } else if let Some(from) = moved.came.get(&b.start) {
                    resized(Kind::Moved, piece, from, b.row, &mut teller);
                } else {
                    known(Kind::Mapped, piece, b.row, &was, &mut teller);
                }
            }
            (None, None) => {}
        }
    }
    for side in [&was, &now] {
        for &row in &side.unplaced {
            let because = lost(row, row, &["base", "size"]);
            teller.event(Kind::MappingUnknown, row, |event| event.because = because);
        }
    }
}

/// One snapshot's mappings, and what keeps them from being all there are.
struct Side<'a> {
    spans: Vec<Span<'a>>,
    unplaced: Vec<&'a Mapping>,
    open: Vec<String>,
}

impl<'a> Side<'a> {
    fn new(side: &str, answer: &'a Answer<Mapping>) -> Self {
        let mut placed = Self {
            spans: Vec::new(),
            unplaced: Vec::new(),
            open: open(side, &answer.ends),
        };
        for row in &answer.rows {
            match (row.base.value(), row.size.value()) {
                (Some(base), Some(size)) => placed.spans.push(Span {
                    row,
                    start: base.0,
                    end: base.0.saturating_add(size),
                }),
                _ => placed.unplaced.push(row),
            }
        }
        placed.spans.sort_by_key(|span| span.start);
        if !placed.unplaced.is_empty() {
            let why = format!("in the {side} snapshot a mapping's bounds were lost");
            placed.open.push(why);
        }
        placed
    }
}

/// Of each mapping that is still there in part, by its first address: what it was, or is now.
#[derive(Default)]
struct Rests<'a> {
    of_before: HashMap<u64, &'a Mapping>,
    of_after: HashMap<u64, &'a Mapping>,
}

impl<'a> Rests<'a> {
    fn of(pieces: &[Piece<'a>]) -> Self {
        let mut rests = Self::default();
        for piece in pieces {
            if let (Some(a), Some(b)) = (piece.before, piece.after) {
                rests.of_before.entry(a.start).or_insert(b.row);
                rests.of_after.entry(b.start).or_insert(a.row);
            }
        }
        rests
    }
}

/// Cuts the addresses at every bound and joins neighbours of one fate. A piece whose content was
/// replaced becomes two: one that went, one that came.
fn pieces<'a>(before: &[Span<'a>], after: &[Span<'a>]) -> Vec<Piece<'a>> {
    let bounds = before
        .iter()
        .chain(after)
        .flat_map(|span| [span.start, span.end]);
    let bounds: Vec<u64> = bounds.collect::<BTreeSet<u64>>().into_iter().collect();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    let (mut a, mut b) = (before.iter().peekable(), after.iter().peekable());
    for (&start, &end) in bounds.iter().zip(bounds.iter().skip(1)) {
        while a.next_if(|span| span.end <= start).is_some() {}
        while b.next_if(|span| span.end <= start).is_some() {}
        let was = a
            .peek()
            .copied()
            .copied()
            .filter(|span| span.start <= start);
        let now = b
            .peek()
            .copied()
            .copied()
            .filter(|span| span.start <= start);
        let replaced = matches!((was, now), (Some(was), Some(now)) if !same(was, now));
        let parts = if replaced {
            [(was, None), (None, now)]
        } else {
            [(was, now), (None, None)]
        };
        for (before, after) in parts {
            if before.is_some() || after.is_some() {
                join(
                    &mut pieces,
                    Piece {
                        range: start..end,
                        before,
                        after,
                    },
                );
            }
        }
    }
    pieces
}

/// Adds a piece, or makes the last of its kind longer by it.
fn join<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    let is = |one: Option<Span<'_>>, other: Option<Span<'_>>| {
        one.map(|span| span.start) == other.map(|span| span.start)
    };
    // Of a stretch that was replaced, the part that went stands before the part that came.
    let last = pieces.iter_mut().rev().take(2).find(|last| {
        last.range.end == piece.range.start
            && is(last.before, piece.before)
            && is(last.after, piece.after)
    });
    match last {
        Some(last) => last.range.end = piece.range.end,
        None => pieces.push(piece),
    }
}

/// Whether two mappings that cover one address hold the same there: the same place of the same
/// file, or memory without a file. What was lost is not told from anything.
fn same(before: Span<'_>, after: Span<'_>) -> bool {
    let file = |span: Span<'_>| match &span.row.file {
        Ok(file) => Some(Some(undeleted(file).to_vec())),
        Err(absent) if absent.is_loss() => None,
        Err(_) => Some(None),
    };
    match (file(before), file(after)) {
        (Some(None), Some(None)) | (None, _) | (_, None) => true,
        (Some(Some(was)), Some(Some(now))) => was == now && delta(before) == delta(after),
        _ => false,
    }
}

/// Where the file's first byte would be mapped.
fn delta(span: Span<'_>) -> Option<u64> {
    Some(span.start.wrapping_sub(span.row.offset.value()?))
}

/// Mappings of a file that went from one place and came to another, each whole and once.
#[derive(Default)]
struct Moved<'a> {
    /// First addresses of those that went.
    gone: HashSet<u64>,
    /// Those that came, by their new first address: what they were.
    came: HashMap<u64, &'a Mapping>,
}

fn moved<'a>(pieces: &[Piece<'a>]) -> Moved<'a> {
    let whole = |piece: &Piece<'a>, one: Option<Span<'a>>, other: Option<Span<'a>>| match other {
        None => one.filter(|span| piece.range == (span.start..span.end)),
        Some(_) => None,
    };
    let mut gone: HashMap<Content<'a>, Vec<Span<'a>>> = HashMap::new();
    for piece in pieces {
        if let Some(span) = whole(piece, piece.before, piece.after)
            && let Some(content) = content(span.row)
        {
            gone.entry(content).or_default().push(span);
        }
    }
    let mut moved = Moved::default();
    for piece in pieces {
        if let Some(to) = whole(piece, piece.after, piece.before)
            && let Some(from) = content(to.row)
                .and_then(|content| gone.get_mut(&content))
                .and_then(Vec::pop)
        {
            moved.gone.insert(from.start);
            moved.came.insert(to.start, from.row);
        }
    }
    moved
}

/// File, offset, size.
type Content<'a> = (&'a [u8], u64, u64);

/// What a mapping of a file takes with it when it moves.
fn content(row: &Mapping) -> Option<Content<'_>> {
    Some((row.file.get()?, row.offset.value()?, row.size.value()?))
}

fn reprotected<'a>(piece: &Piece<'a>, a: &'a Mapping, b: &'a Mapping, teller: &mut Teller<'a, '_>) {
    let range = Some(piece.range.clone());
    let because = lost(a, b, &["perms", "file"]);
    if !changed(a, b, &["perms"]).is_empty() {
        let fields = changed(a, b, &["flags", "perms"]);
        teller.event(Kind::Reprotected, b, |event| {
            event.was = Some((a, fields));
            event.range = range;
        });
    } else if !because.is_empty() {
        teller.event(Kind::MappingUnknown, b, |event| {
            event.range = range;
            event.because = because;
        });
    }
}

fn resized<'a>(
    kind: Kind,
    piece: &Piece<'a>,
    a: &'a Mapping,
    b: &'a Mapping,
    teller: &mut Teller<'a, '_>,
) {
    let fields = changed(a, b, &["base", "size", "offset", "perms", "modd"]);
    teller.event(kind, b, |event| {
        event.was = Some((a, fields));
        event.range = Some(piece.range.clone());
    });
}

/// Tells of a piece that only one snapshot has, when the `other` one is known to be whole.
fn known<'a>(
    kind: Kind,
    piece: &Piece<'a>,
    row: &'a Mapping,
    other: &Side<'a>,
    teller: &mut Teller<'a, '_>,
) {
    let kind = if other.open.is_empty() {
        kind
    } else {
        Kind::MappingUnknown
    };
    teller.event(kind, row, |event| {
        event.range = Some(piece.range.clone());
        event.because.clone_from(&other.open);
    });
}
