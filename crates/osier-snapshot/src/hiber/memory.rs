//! Hibernated memory: each page a part of a compressed unit.

use std::sync::Arc;

use osier_memory::{Cause, Chunk, Codec, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

use crate::cache::PageCache;
use crate::data::Data;
use crate::sweep;
use crate::xpress::Method;

/// How a unit's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Stored,
    Xpress(Method),
}

/// Some pages of a unit that follow one another in memory too.
pub(super) struct Range {
    /// The first page's number.
    pub(super) page: u64,
    /// How many they are; at most a unit's.
    pub(super) count: u64,
}

/// Pages that are compressed together.
pub(super) struct Unit {
    /// File offset of the compressed bytes; the caller has made sure that they are in the file.
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) coding: Coding,
    /// The unit's pages in order.
    pub(super) ranges: Vec<Range>,
    /// Pages behind those, which have no number.
    pub(super) unnamed: u64,
}

impl Unit {
    /// Pages that have a number.
    pub(super) fn pages(&self) -> u64 {
        self.ranges
            .iter()
            .fold(0, |sum, range| sum.saturating_add(range.count))
    }
}

/// A range and its place in a unit.
#[derive(Clone, Copy)]
struct Placed {
    page: u64,
    /// The unit's number.
    unit: u32,
    /// The first page's place in the unit.
    index: u8,
    count: u8,
}

/// A unit without its ranges.
struct Packed {
    offset: u64,
    bytes: u32,
    pages: u8,
    coding: Coding,
}

/// Memory of a hibernation file.
pub(super) struct HiberMemory {
    data: Data,
    units: Vec<Packed>,
    /// Sorted by page, disjoint.
    placed: Vec<Placed>,
    runs: Vec<PhysRun>,
    /// The units' decoded bytes, by number.
    cache: PageCache<u32>,
}

impl HiberMemory {
    /// The memory of `units`, and how many pages are in more than one of them. Of those the unit
    /// that is restored later counts.
    pub(super) fn new(data: Data, units: Vec<Unit>, cache: PageCache<u32>) -> (Self, u64) {
        let mut packed = Vec::with_capacity(units.len());
        let mut placed = Vec::new();
        for unit in units {
            let Ok(number) = u32::try_from(packed.len()) else {
                break; // 2^32 units are more than 64 GiB of them
            };
            let mut index = 0_u8;
            for range in &unit.ranges {
                let count = range.count as u8;
                placed.push(Placed {
                    page: range.page,
                    unit: number,
                    index,
                    count,
                });
                index = index.saturating_add(count);
            }
            packed.push(Packed {
                offset: unit.offset,
                bytes: unit.bytes,
                pages: index.saturating_add(unit.unnamed as u8),
                coding: unit.coding,
            });
        }
        let (placed, twice) = disjoint(placed);
        let stretches = placed.iter().map(|placed| {
            let start = placed.page.saturating_mul(PAGE_BYTES);
            (start, u64::from(placed.count).saturating_mul(PAGE_BYTES))
        });
        let memory = Self {
            data,
            units: packed,
            runs: sweep::join(stretches.collect()),
            placed,
            cache,
        };
        (memory, twice)
    }

    /// Pages in all.
    pub(super) fn pages(&self) -> u64 {
        let counts = self.placed.iter().map(|placed| u64::from(placed.count));
        counts.fold(0, u64::saturating_add)
    }

    /// The decoded bytes of the unit `number`.
    fn unit(&self, number: u32) -> Result<Arc<[u8]>, Cause> {
        let unit = self.units.get(number as usize).ok_or(Cause::NotCaptured)?;
        let offset = unit.offset;
        self.cache.get_or_decode(number, || {
            let bytes = self.data.read(offset, unit.bytes as usize)?;
            let Coding::Xpress(method) = unit.coding else {
                return Ok(Arc::from(bytes));
            };
            let codec = Codec::Xpress;
            let len = usize::from(unit.pages).saturating_mul(PAGE_BYTES as usize);
            let mut out = vec![0; len];
            let decoded = method.decode(&bytes, &mut out);
            decoded.ok_or(Cause::Decode { offset, codec })?;
            Ok(Arc::from(out))
        })
    }
}

/// `placed` sorted and made disjoint: of two for one page the later unit's counts. And how many
/// pages were left out for that.
fn disjoint(mut placed: Vec<Placed>) -> (Vec<Placed>, u64) {
    placed.sort_by_key(|placed| placed.page);
    let end = |placed: &Placed| placed.page.saturating_add(placed.count.into());
    let mut pairs = placed.iter().zip(placed.iter().skip(1));
    if pairs.all(|(a, b)| end(a) <= b.page) {
        return (placed, 0);
    }
    // Page by page; a damaged file's case, and its ranges are short.
    let mut single: Vec<Placed> = placed
        .iter()
        .flat_map(|placed| {
            (0..placed.count).map(|step| Placed {
                page: placed.page.saturating_add(step.into()),
                unit: placed.unit,
                index: placed.index.saturating_add(step),
                count: 1,
            })
        })
        .collect();
    let all = single.len();
    single.sort_by_key(|placed| (placed.page, std::cmp::Reverse(placed.unit)));
    single.dedup_by_key(|placed| placed.page);
    let twice = all.saturating_sub(single.len()) as u64;
    (single, twice)
}

impl PhysicalMemory for HiberMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let page = pa.0 / PAGE_BYTES;
        let next = self.placed.partition_point(|placed| placed.page <= page);
        let placed = next.checked_sub(1).and_then(|index| self.placed.get(index));
        let found = placed.and_then(|placed| {
            let step = page.checked_sub(placed.page)?;
            let left = u64::from(placed.count)
                .checked_sub(step)
                .filter(|n| *n > 0)?;
            let index = u64::from(placed.index).checked_add(step)?;
            Some((placed.unit, index, left))
        });
        let missing = Fault::at_phys(Cause::NotCaptured, pa);
        let (unit, index, left) = found.ok_or(missing)?;
        let start = index
            .saturating_mul(PAGE_BYTES)
            .saturating_add(pa.in_page());
        let bytes = left.saturating_mul(PAGE_BYTES).saturating_sub(pa.in_page());
        let pages = self.unit(unit);
        let pages = pages.map_err(|cause| Fault::at_phys(cause, pa))?;
        Ok(Chunk::decoded(pages, start as usize).truncated(bytes as usize))
    }
}
