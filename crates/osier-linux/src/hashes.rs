//! Hash tables of objects: arrays of the heads of chains (`hlist_head`, `hlist_nulls_head`).
//!
//! Each link leads back to what led to it (`pprev`), and a chain with nulls ends with the number of its bucket: what
//! tells a chain that was cut or led elsewhere from one that ends, and a table from its first part.

use std::mem::Discriminant;

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd, WalkEnds};

use crate::guest::Guest;
use crate::list;

/// Most buckets of one table that are read.
const MOST_BUCKETS: u64 = 1 << 24;
/// Most objects of all tables of one question.
pub(crate) const MOST_OBJECTS: usize = 1 << 22;
/// Bytes of buckets that are read at a time.
const WINDOW: u64 = 1 << 16;
/// Most objects of a chain behind the last bucket that are followed.
const MOST_BEHIND: usize = 1 << 10;
/// `LISTENING_NULLS_BASE`: added to a bucket's number by the tables of listeners.
const LISTENING: u64 = 1 << 29;

/// How the chains of a table end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chains {
    /// With a null pointer: `hlist_head`.
    Plain,
    /// With the bucket's number: `hlist_nulls_head`.
    Nulls,
}

/// Where the buckets of a table lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    /// The head of the first chain.
    pub(crate) first: VirtAddr,
    /// How many there are.
    pub(crate) count: u64,
    /// Bytes from one to the next.
    pub(crate) stride: u64,
    /// Where in a bucket, behind the head, the number of its objects stands; 4 bytes.
    pub(crate) counted: Option<u64>,
    /// How chains end.
    pub(crate) chains: Chains,
}

/// The links of the objects in a table, and how the walk of it, called `walk`, ended. What `met` has met is not
/// given again.
pub(crate) fn links(
    guest: &Guest,
    walk: &'static str,
    buckets: Buckets,
    met: &mut Guard,
    ends: &mut WalkEnds,
) -> Vec<VirtAddr> {
    let mut table = Table {
        guest,
        walk,
        chains: buckets.chains,
        word: usize::from(guest.pointer_bytes()),
        met,
        ends,
        found: Vec::new(),
        sound: true,
        said: Vec::new(),
    };
    let stride = buckets.stride.max(table.word as u64);
    let count = buckets.count.min(MOST_BUCKETS);
    if count < buckets.count {
        let after = MOST_BUCKETS as usize;
        table.bad(WalkEnd::Limit { after });
    }
    let mut at = 0;
    while at < count {
        let part = WINDOW.checked_div(stride).unwrap_or(1).max(1);
        let part = part.min(count.wrapping_sub(at));
        let start = buckets.first.plus(at.wrapping_mul(stride));
        let mut bytes = vec![0; part.wrapping_mul(stride) as usize];
        let gaps = guest.space.read_partial(start, &mut bytes);
        if let Some(gap) = gaps.first() {
            let from = start.plus(gap.start as u64);
            table.bad(broken(from, None, gap.fault));
        }
        for (index, bucket) in bytes.chunks_exact(stride as usize).enumerate() {
            let offset = index.wrapping_mul(stride as usize);
            let lost = gaps.iter().any(|gap| {
                let end = gap.start.saturating_add(gap.len);
                offset < end && offset.saturating_add(table.word) > gap.start
            });
            if lost {
                continue;
            }
            let head = number(bucket.get(..table.word).unwrap_or_default());
            let place = start.plus(offset as u64);
            let before = table.found.len();
            let closed = table.chain(place, head, at.wrapping_add(index as u64));
            let counted = buckets.counted.and_then(|counted| {
                let from = usize::try_from(counted).ok()?;
                Some(number(bucket.get(from..from.checked_add(4)?)?))
            });
            let met = table.found.len().wrapping_sub(before) as u64;
            if closed && counted.is_some_and(|counted| counted != met) {
                let counted = counted.unwrap_or(0) as usize;
                table.sound = false;
                table
                    .ends
                    .differ("a bucket's objects and their number", met as usize, counted);
            }
        }
        at = at.wrapping_add(part);
        if table.met.count() >= MOST_OBJECTS {
            break;
        }
    }
    let behind = buckets.first.plus(count.wrapping_mul(stride));
    if count == buckets.count && table.goes_on(behind, count) {
        table.sound = false;
        let counted = usize::try_from(count).unwrap_or(usize::MAX);
        let met = counted.saturating_add(1);
        table
            .ends
            .differ("a table's buckets and their number", met, counted);
    }
    if table.sound {
        table.ends.add(walk, WalkEnd::Closed);
    }
    table.found
}

struct Table<'a> {
    guest: &'a Guest,
    walk: &'static str,
    chains: Chains,
    word: usize,
    met: &'a mut Guard,
    ends: &'a mut WalkEnds,
    found: Vec<VirtAddr>,
    sound: bool,
    said: Vec<Discriminant<WalkEnd>>,
}

impl Table<'_> {
    /// Notes a bad ending: of each kind the first, for a page of zeros would have hundreds.
    fn bad(&mut self, end: WalkEnd) {
        self.sound = false;
        let kind = std::mem::discriminant(&end);
        if !self.said.contains(&kind) {
            self.said.push(kind);
            self.ends.add(self.walk, end);
        }
    }

    /// Whether what lies at `place` is a further bucket, called `index`: of a table whose chains end with nulls, for no
    /// other says where it ends.
    fn goes_on(&self, place: VirtAddr, index: u64) -> bool {
        if self.chains != Chains::Nulls {
            return false;
        }
        let mut at = place;
        for _ in 0..MOST_BEHIND {
            match self.guest.space.read_uint(at, self.word) {
                Ok(next) if next & 1 == 1 => return is_end_of(next, index),
                Ok(next) if list::plausible(self.guest, VirtAddr(next)).is_ok() => {
                    at = VirtAddr(next);
                }
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }

    /// Follows the chain whose head at `place` says `head`; whether it ended as a chain of bucket `index` does.
    fn chain(&mut self, place: VirtAddr, head: u64, index: u64) -> bool {
        let space = &self.guest.space;
        let (mut from, mut next) = (place, head);
        let mut doubts = 0_u32;
        loop {
            if next == 0 || next & 1 == 1 {
                let right = match self.chains {
                    Chains::Plain => next == 0,
                    Chains::Nulls => is_end_of(next, index),
                };
                if !right {
                    let expected = match self.chains {
                        Chains::Plain => 0,
                        Chains::Nulls => index.wrapping_shl(1) | 1,
                    };
                    self.bad(WalkEnd::Inconsistent {
                        at: from,
                        back_link: VirtAddr(next),
                        expected: VirtAddr(expected),
                    });
                }
                return right && doubts == 0;
            }
            let at = VirtAddr(next);
            if let Err(fault) = list::plausible(self.guest, at) {
                self.bad(broken(from, Some(at), fault));
                return false;
            }
            if let Err(end) = self.met.meet(at) {
                self.bad(end);
                return false;
            }
            self.found.push(at);
            let read = || {
                let next = space.read_uint(at, self.word)?;
                Ok((next, space.read_uint(at.plus(self.word as u64), self.word)?))
            };
            let read: Result<_, Fault> = read();
            let (after, back) = match read {
                Ok(links) => links,
                Err(fault) => {
                    self.bad(broken(at, None, fault));
                    return false;
                }
            };
            if back != from.0 {
                doubts = doubts.saturating_add(1);
                self.bad(WalkEnd::Inconsistent {
                    at,
                    back_link: VirtAddr(back),
                    expected: from,
                });
                // One odd link is damage; two in a row are no chain of this table.
                if doubts > 1 {
                    return false;
                }
            }
            (from, next) = (at, after);
        }
    }
}

/// Whether `link` is the end of the chain of bucket `index`, of a table whose chains end with nulls.
fn is_end_of(link: u64, index: u64) -> bool {
    let said = link.wrapping_shr(1);
    link & 1 == 1 && (said == index || said == index.wrapping_add(LISTENING))
}

pub(crate) fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}

/// The number in bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
