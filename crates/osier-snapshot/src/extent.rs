//! Stretches of guest memory that lie in a file as they are.

/// A stretch of guest-physical memory and its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Guest-physical address of the first byte.
    pub(crate) start: u64,
    /// Length in bytes; never 0.
    pub(crate) len: u64,
    /// File offset of the first byte.
    pub(crate) offset: u64,
}

/// `extents` by address, without what is held before: where two hold the same memory, the one that
/// starts lower counts. Also the number of bytes that were held more than once: at two places of the
/// file, for what lies at one place is the same, however often it is named.
pub(crate) fn disjoint(mut extents: Vec<Extent>) -> (Vec<Extent>, u64) {
    extents.sort_by_key(|extent| (extent.start, extent.offset));
    let mut end = 0_u64;
    let mut twice = 0_u64;
    // How far the bytes before `end` lie behind their address.
    let mut shift = 0_u64;
    extents.retain_mut(|extent| {
        let skip = end.saturating_sub(extent.start).min(extent.len);
        let own = extent.offset.wrapping_sub(extent.start);
        if own != shift {
            twice = twice.saturating_add(skip);
        }
        if extent.start.saturating_add(extent.len) > end {
            shift = own;
        }
        extent.start = extent.start.saturating_add(skip);
        extent.len = extent
            .len
            .saturating_sub(skip)
            .min(u64::MAX.wrapping_sub(extent.start));
        extent.offset = extent.offset.saturating_add(skip);
        end = end.max(extent.start.saturating_add(extent.len));
        extent.len > 0
    });
    (extents, twice)
}

/// Number of bytes of the file that stand for more than one place of memory, of extents that are disjoint
/// there.
pub(crate) fn claimed_twice(extents: &[Extent]) -> u64 {
    let place = |e: &Extent| (e.offset, e.offset.saturating_add(e.len));
    let mut places: Vec<(u64, u64)> = extents.iter().map(place).collect();
    places.sort_unstable();
    let mut end = 0_u64;
    places.into_iter().fold(0_u64, |twice, (from, to)| {
        let again = end.min(to).saturating_sub(from);
        end = end.max(to);
        twice.saturating_add(again)
    })
}

/// Adds to `extents`, which are sorted and disjoint, the parts of `more` that none of them holds.
pub(crate) fn add(extents: &mut Vec<Extent>, more: Extent) {
    let end = more.start.saturating_add(more.len);
    let mut at = more.start;
    let mut parts = Vec::new();
    let first = extents.partition_point(|e| e.start.saturating_add(e.len) <= at);
    let held = extents.get(first..).unwrap_or_default().iter();
    let borders = held.map(|e| (e.start, e.start.saturating_add(e.len)));
    for (next, past) in borders.chain([(end, end)]) {
        if next.min(end) > at {
            parts.push(Extent {
                start: at,
                len: next.min(end).saturating_sub(at),
                offset: more.offset.saturating_add(at.saturating_sub(more.start)),
            });
        }
        at = at.max(past);
        if at >= end {
            break;
        }
    }
    extents.extend(parts);
    extents.sort_by_key(|extent| extent.start);
}
