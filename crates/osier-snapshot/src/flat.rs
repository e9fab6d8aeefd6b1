//! Memory that lies in the file as it lay in the machine: raw dumps and ELF cores.

use std::ops::{ControlFlow, Range};

use std::sync::Arc;

use osier_memory::{
    Cause, Chunk, Fault, Filter, PAGE_BYTES, Page, PhysAddr, PhysRun, PhysicalMemory, Visit,
};

use crate::bytes::Bytes;
use crate::cache::PageCache;
use crate::data::Data;
use crate::extent::Extent;
use crate::source::Lost;
use crate::sweep;

/// Where in a list of extents to look for an address: the addresses from the first extent's start to
/// the last one's end are cut in about as many equal stretches as there are extents, and for each is
/// known how many extents start before it. A distilled snapshot has hundreds of extents and is asked
/// tens of thousands of times.
struct Places {
    start: u64,
    /// A stretch has 2 to this power bytes.
    shift: u32,
    before: Vec<u32>,
}

impl Places {
    /// `extents` are sorted and disjoint.
    fn of(extents: &[Extent]) -> Self {
        let start = extents.first().map_or(0, |first| first.start);
        let last = extents.last().map_or(start, |last| last.start);
        let span = last.saturating_sub(start);
        let mut shift = 0_u32;
        while span >> shift > extents.len() as u64 {
            shift = shift.saturating_add(1);
        }
        let stretches = (span >> shift).saturating_add(1);
        let mut before = Vec::new();
        let mut count = 0_u32;
        let mut coming = extents.iter().peekable();
        for stretch in 0..stretches {
            let stretch = start.saturating_add(stretch << shift);
            while coming.next_if(|extent| extent.start < stretch).is_some() {
                count = count.saturating_add(1);
            }
            before.push(count);
        }
        Self {
            start,
            shift,
            before,
        }
    }

    /// The extents among which is the first that starts after `at`, and the end of them all when
    /// none does.
    fn around(&self, at: u64, len: usize) -> Range<usize> {
        let Some(into) = at.checked_sub(self.start) else {
            return 0..0;
        };
        let stretch = usize::try_from(into >> self.shift).unwrap_or(usize::MAX);
        let number = |stretch: usize| self.before.get(stretch).map(|&count| count as usize);
        let Some(from) = number(stretch) else {
            return len..len;
        };
        from..number(stretch.saturating_add(1)).unwrap_or(len)
    }
}

/// File-backed memory made of extents.
pub(crate) struct FlatMemory {
    bytes: Bytes,
    /// Sorted, disjoint.
    extents: Vec<Extent>,
    places: Places,
    runs: Vec<PhysRun>,
    /// Pages copied out of the file, by their address; unused where bytes are borrowed or decoded.
    pages: PageCache,
    /// What a byte outside all extents means.
    outside: Cause,
    /// What the writer left out on purpose.
    left_out: Vec<PhysRun>,
    /// What was lost before the file was written; sorted, and no extent holds any of it.
    lost: Vec<Lost>,
}

impl FlatMemory {
    /// Memory of `extents`, which must be sorted and disjoint. Bytes outside of them fault with
    /// `outside`; bytes past the end of the file with [`Cause::FileShort`].
    pub(crate) fn new(bytes: Bytes, extents: Vec<Extent>, outside: Cause) -> Self {
        let in_file = |extent: &Extent| {
            let left = bytes.len().saturating_sub(extent.offset);
            (extent.start, extent.len.min(left))
        };
        let runs = sweep::join(extents.iter().map(in_file).collect());
        Self {
            bytes,
            places: Places::of(&extents),
            extents,
            runs,
            pages: PageCache::of_copies(),
            outside,
            left_out: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// The same memory, whose bytes in `lost`, sorted, are missing for the reason given.
    pub(crate) fn lacking(self, lost: Vec<Lost>) -> Self {
        Self { lost, ..self }
    }

    /// The same memory, whose bytes in `stretches` are excluded where no extent holds them.
    pub(crate) fn leaving_out(self, stretches: Vec<(u64, u64)>) -> Self {
        Self {
            left_out: sweep::join(stretches),
            ..self
        }
    }

    /// Why no extent holds `pa`.
    fn absent(&self, pa: PhysAddr) -> Fault {
        let next = self.left_out.partition_point(|run| run.end() <= pa);
        let run = self.left_out.get(next);
        let near = self.lost.partition_point(|lost| lost.run.start <= pa);
        let lost = near.checked_sub(1).and_then(|last| self.lost.get(last));
        let cause = if let Some(lost) = lost.filter(|lost| lost.run.contains(pa)) {
            lost.cause_at(pa)
        } else if run.is_some_and(|run| run.contains(pa)) {
            Cause::Excluded {
                filter: Filter::DumpLevel,
            }
        } else {
            self.outside
        };
        Fault::at_phys(cause, pa)
    }

    /// The extent that holds `pa`.
    fn extent(&self, pa: PhysAddr) -> Option<Extent> {
        let around = self.places.around(pa.0, self.extents.len());
        let first = around.start;
        let among = self.extents.get(around)?;
        let next = first.saturating_add(among.partition_point(|e| e.start <= pa.0));
        let extent = self.extents.get(next.checked_sub(1)?)?;
        (pa.0.wrapping_sub(extent.start) < extent.len).then_some(*extent)
    }

    /// The bytes of the page of `pa` that `extent` holds, copied out of the file, and the address of
    /// the first. A file that is shorter by now gives fewer.
    fn copied(&self, data: &Data, extent: Extent, pa: PhysAddr) -> Result<(u64, Arc<[u8]>), Cause> {
        let page = pa.page().0;
        let start = page.max(extent.start);
        let end = page
            .saturating_add(PAGE_BYTES)
            .min(extent.start.saturating_add(extent.len));
        let offset = extent
            .offset
            .saturating_add(start.saturating_sub(extent.start));
        let len = end.saturating_sub(start);
        let bytes = self.pages.get_or_copy(start, data, offset, len)?;
        Ok((start, bytes))
    }

    /// Fills `buf` from `pa` on, over neighbouring extents; returns the bytes filled.
    fn fill(&self, pa: PhysAddr, buf: &mut [u8]) -> usize {
        let filled = sweep::fill(buf, |done, rest| {
            let at = pa.plus(done);
            let extent = self.extent(at).ok_or(self.outside)?;
            let into = at.0.wrapping_sub(extent.start);
            let left = usize::try_from(extent.len.saturating_sub(into)).unwrap_or(usize::MAX);
            let len = rest.len().min(left);
            let rest = rest.get_mut(..len).unwrap_or_default();
            Ok::<_, Cause>(self.bytes.fill(extent.offset.saturating_add(into), rest))
        });
        filled.unwrap_or(0)
    }
}

impl PhysicalMemory for FlatMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let extent = self.extent(pa).ok_or_else(|| self.absent(pa))?;
        let into = pa.0.wrapping_sub(extent.start);
        let offset = extent.offset.saturating_add(into);
        let len = extent.len.saturating_sub(into);
        let chunk = match (self.bytes.chunk(offset, len), &self.bytes) {
            (None, Bytes::File(data)) => match self.copied(data, extent, pa) {
                Ok((start, page)) => {
                    let into = usize::try_from(pa.0.saturating_sub(start)).unwrap_or(usize::MAX);
                    let chunk = Chunk::decoded(page, into);
                    (!chunk.is_empty())
                        .then_some(chunk)
                        .ok_or(Cause::FileShort { offset })
                }
                // Of a page without any byte, too, the place is that of the byte that was asked for.
                Err(Cause::FileShort { .. }) => Err(Cause::FileShort { offset }),
                Err(cause) => Err(cause),
            },
            (chunk, _) => chunk.unwrap_or(Err(Cause::FileShort { offset })),
        };
        chunk.map_err(|cause| match cause {
            // Of the byte that was asked for, not of its page.
            Cause::FileShort { .. } => Fault::at_phys(Cause::FileShort { offset }, pa),
            cause => Fault::at_phys(cause, pa),
        })
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        let Bytes::File(data) = &self.bytes else {
            return None;
        };
        let extent = self.extent(pa)?;
        if data.here().is_some() {
            let into = pa.page().0.checked_sub(extent.start)?;
            let inside = extent.len.saturating_sub(into) >= PAGE_BYTES;
            return data.page(extent.offset.checked_add(into).filter(|_| inside)?);
        }
        Page::of(self.copied(data, extent, pa).ok()?.1, 0)
    }

    fn read_uint_alone(&self, pa: PhysAddr, width: usize) -> Result<u64, Fault> {
        let alone = || {
            let Bytes::File(data) = &self.bytes else {
                return None;
            };
            let extent = self.extent(pa).filter(|_| data.here().is_none())?;
            let into = pa.0.wrapping_sub(extent.start);
            let mut raw = [0; 8];
            let bytes = raw.get_mut(..width)?;
            let inside = extent.len.wrapping_sub(into) >= width as u64;
            if !inside || self.pages.wants(pa.page().0.max(extent.start)) {
                return None;
            }
            let read = data.read_at(extent.offset.saturating_add(into), bytes);
            read.ok().map(|()| u64::from_le_bytes(raw))
        };
        alone().map_or_else(|| self.read_uint(pa, width), Ok)
    }

    fn lost(&self) -> Vec<(PhysRun, Cause)> {
        let end = self.bytes.len();
        let short = self.extents.iter().filter_map(|extent| {
            let held = extent.len.min(end.saturating_sub(extent.offset));
            let run = PhysRun {
                start: PhysAddr(extent.start.saturating_add(held)),
                len: extent.len.saturating_sub(held),
            };
            let offset = extent.offset.saturating_add(held);
            (run.len > 0).then_some((run, Cause::FileShort { offset }))
        });
        let before = self.lost.iter().map(|lost| (lost.run, lost.cause));
        short.chain(before).collect()
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        sweep::in_windows(&self.runs, run, window, |pa, buf| self.fill(pa, buf), visit)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_address_finds_its_extent() {
        // Neighbours, gaps of all sizes, a lone one far away, and the top of the address space.
        let starts = [
            0x1000,
            0x2000,
            0x5000,
            0x10_0000,
            0x10_1000,
            0x4000_0000,
            u64::MAX - 0xfff,
        ];
        for count in 0..=starts.len() {
            let extents: Vec<Extent> = starts[..count]
                .iter()
                .map(|&start| Extent {
                    start,
                    len: 0xfff,
                    offset: start,
                })
                .collect();
            let places = Places::of(&extents);
            assert!(places.before.len() <= extents.len() + 1, "{count}");
            let near = starts.iter().flat_map(|&start| {
                [-0x1001, -1, 0, 1, 0xffe, 0xfff, 0x1000].map(|by| start.wrapping_add_signed(by))
            });
            for at in near.chain([0, u64::MAX, 1 << 63]) {
                let wanted = extents.partition_point(|e| e.start <= at);
                let around = places.around(at, extents.len());
                let first = around.start;
                let got = first + extents[around].partition_point(|e| e.start <= at);
                assert_eq!(got, wanted, "{at:#x} among {count}");
            }
        }
    }
}
