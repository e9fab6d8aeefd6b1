//! The present pages of a process, each with the mapping around it.

use std::ops::{ControlFlow, Range};

use osier_memory::{AddressSpace, Cause, Each, MappedRange, PAGE_BYTES, VirtAddr};

use crate::{Absent, Mapping, PageRange, Seen, WalkEnd, WalkEnds};

/// The walk's name in its endings.
const WALK: &str = "page-tables";
/// More ranges than any process has: 4 KiB each, they are 256 GiB without two neighbours.
const LIMIT: usize = 1 << 26;
/// Tables met again after which the tables are not a process's.
const CYCLE_LIMIT: usize = 16;

/// Shows the present pages of `space` inside `within`, by address. Ranges end where mappings do, so
/// that each has one backing. `mappings` are the process's, and `ends` how the walk over them ended.
///
/// A process has each of its tables once: what a table met before would map is not shown but ends in
/// [`WalkEnd::Cycle`], and many of them in [`WalkEnd::Limit`].
pub fn page_rows(
    space: &AddressSpace,
    within: Range<VirtAddr>,
    pid: &Seen<u32>,
    mappings: Vec<Mapping>,
    mut ends: WalkEnds,
    row: Each<'_, PageRange>,
) -> WalkEnds {
    let mut known = Vec::with_capacity(mappings.len());
    let mut lost = None;
    for mapping in mappings {
        match Span::of(mapping) {
            Ok(span) => known.push(span),
            Err(absent) => lost = Some(absent),
        }
    }
    let outside = outside(lost, &ends);
    known.sort_by_key(|span| span.start);
    let mut end = WalkEnd::Closed;
    let (mut shown, mut cycles) = (0_usize, 0_usize);
    space.mapped_once(within, &mut |found| {
        if shown >= LIMIT || cycles >= CYCLE_LIMIT {
            end = WalkEnd::Limit { after: shown };
            return ControlFlow::Break(());
        }
        let flow = match found {
            Ok(range) => {
                shown = shown.saturating_add(1);
                split(range, &known, &outside, pid, row)
            }
            Err(fault) if fault.cause == Cause::TableAgain => {
                cycles = cycles.saturating_add(1);
                let at = fault.va.unwrap_or_default();
                ends.add(WALK, WalkEnd::Cycle { at, after: shown });
                ControlFlow::Continue(())
            }
            Err(fault) => {
                let from = fault.va.unwrap_or_default();
                ends.add(WALK, WalkEnd::broken(from, None, fault));
                ControlFlow::Continue(())
            }
        };
        if flow.is_break() {
            end = WalkEnd::Stopped;
        }
        flow
    });
    ends.add(WALK, end);
    ends
}

/// The addresses of a mapping, and what it is called.
struct Span {
    start: u64,
    end: u64,
    backing: Seen<Vec<u8>>,
}

impl Span {
    fn of(mapping: Mapping) -> Seen<Self> {
        let (start, size) = match (mapping.base, mapping.size) {
            (Ok(base), Ok(size)) => (base.0, size),
            (Err(absent), _) | (_, Err(absent)) => return Err(absent),
        };
        let Some(end) = start.checked_add(size) else {
            return Err(Absent::implausible(
                size,
                "a mapping ends after it starts",
                Some(mapping.modd),
            ));
        };
        let backing = match (mapping.file, mapping.name) {
            (Ok(file), _) => Ok(file),
            (Err(absent), _) if absent.is_loss() => Err(absent),
            (_, name) => name,
        };
        Ok(Self {
            start,
            end,
            backing,
        })
    }
}

/// Shows `range` in pieces that lie in one mapping, or in none.
fn split(
    range: MappedRange,
    known: &[Span],
    outside: &Seen<Vec<u8>>,
    pid: &Seen<u32>,
    row: Each<'_, PageRange>,
) -> ControlFlow<()> {
    let end = range.start.0.saturating_add(range.len);
    let mut at = range.start.0;
    while at < end {
        let next = known.partition_point(|span| span.end <= at);
        let span = known.get(next);
        let (stop, backing) = match span {
            Some(span) if span.start <= at => (span.end, span.backing.clone()),
            Some(span) => (span.start, outside.clone()),
            None => (end, outside.clone()),
        };
        let len = stop.min(end).wrapping_sub(at);
        row(PageRange {
            pid: pid.clone(),
            start: VirtAddr(at),
            len,
            phys: range.phys.plus(at.wrapping_sub(range.start.0)),
            page_bytes: range.page_bytes,
            flags: range.flags,
            backing,
        })?;
        at = at.wrapping_add(len.max(PAGE_BYTES));
    }
    ControlFlow::Continue(())
}

/// What backs a page that no mapping holds: nothing, or whatever the mappings that could not be read
/// would say.
fn outside(lost: Option<Box<Absent>>, ends: &WalkEnds) -> Seen<Vec<u8>> {
    if let Some(absent) = lost {
        return Err(absent);
    }
    let mut bad = ends.bad().peekable();
    if bad.peek().is_none() {
        return Err(Absent::not_applicable("outside every mapping"));
    }
    let fault = bad.find_map(|(_, end)| match end {
        WalkEnd::BrokenLink { fault, .. } => Some(*fault),
        WalkEnd::NoStart { fault, .. } => *fault,
        _ => None,
    });
    let rule = "the mappings are all known";
    fault.map_or_else(
        || Err(Absent::implausible(0, rule, None)),
        |fault| Err(Absent::unreadable(fault)),
    )
}
