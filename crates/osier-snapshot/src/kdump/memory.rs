//! Physical memory behind page descriptors.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use osier_memory::{Cause, Chunk, Codec, Fault, Filter, PhysAddr, PhysRun, PhysicalMemory, Visit};

use super::bitmap::{Bitmap, Ranked};
use super::pages;
use crate::cache::PageCache;
use crate::cursor::Cursor;
use crate::pieces::View;
use crate::sweep;

/// Bytes of a page descriptor: offset, size, flags, `page_flags`.
const DESCRIPTOR: u64 = 24;
/// Descriptors that are read at once.
const TOGETHER: u64 = 128;

/// One file of a dump.
pub(super) struct Part {
    pub(super) view: View,
    /// The page frames whose descriptors it holds.
    pub(super) frames: Range<u64>,
    /// Offset of the first descriptor.
    pub(super) descriptors: u64,
}

impl Part {
    /// How many descriptors the file can hold at most.
    fn room(&self) -> u64 {
        self.view
            .end()
            .saturating_sub(self.descriptors)
            .min(self.view.file_bytes())
            / DESCRIPTOR
    }
}

/// Where a page's bytes lie, and all else that decides what they unpack to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PackedPage {
    part: usize,
    offset: u64,
    size: u64,
    codec: Codec,
}

/// The memory of a dump.
pub(super) struct KdumpMemory {
    /// By frames, disjoint.
    parts: Vec<Part>,
    /// Frames that the machine has.
    present: Option<Bitmap>,
    /// Frames that the dump has.
    dumped: Ranked,
    /// Bytes of a page; a power of two.
    block: u64,
    runs: Vec<PhysRun>,
    /// Pages.
    decoded: PageCache<PackedPage>,
    /// Descriptors, [`TOGETHER`] by [`TOGETHER`]: by part and by number in it, counted so.
    descriptors: PageCache<(usize, u64)>,
}

impl KdumpMemory {
    /// The memory of `parts`, by frames and disjoint. Without `present`, every frame that is not
    /// `dumped` is no RAM.
    pub(super) fn new(
        parts: Vec<Part>,
        present: Option<Bitmap>,
        dumped: Bitmap,
        block: u64,
        decoded: PageCache<PackedPage>,
    ) -> Self {
        let dumped = Ranked::new(dumped);
        let mut memory = Self {
            parts,
            present,
            dumped,
            block,
            runs: Vec::new(),
            decoded,
            descriptors: PageCache::of_copies(),
        };
        memory.runs = memory.held();
        memory
    }

    /// What the files hold. A frame counts when there is room for its descriptor, so the runs are no
    /// more than the files' lengths justify.
    fn held(&self) -> Vec<PhysRun> {
        let mut stretches = Vec::new();
        let mut held = self.dumped.bits.stretches().peekable();
        for part in &self.parts {
            let mut room = part.room();
            while let Some(&(first, end)) = held.peek() {
                let from = first.max(part.frames.start);
                let to = end.min(part.frames.end);
                if from < to && room > 0 {
                    let taken = to.saturating_sub(from).min(room);
                    room = room.saturating_sub(taken);
                    stretches.push((
                        from.saturating_mul(self.block),
                        taken.saturating_mul(self.block),
                    ));
                }
                if end > part.frames.end {
                    break;
                }
                held.next();
            }
        }
        sweep::join(stretches)
    }

    /// The number of frames of each kind: in the machine, in the dump.
    pub(super) fn counts(&self) -> (Option<u64>, u64) {
        let count = |bits: &Bitmap| {
            bits.stretches().fold(0_u64, |sum, (first, end)| {
                sum.saturating_add(end.saturating_sub(first))
            })
        };
        (self.present.as_ref().map(count), count(&self.dumped.bits))
    }

    /// The first stretch of dumped frames that no part holds.
    pub(super) fn first_missing(&self) -> Option<(u64, u64)> {
        let frames = self.dumped.bits.frames();
        let mut covered = 0_u64;
        let parts = self.parts.iter().map(|part| part.frames.clone());
        for next in parts.chain(std::iter::once(frames..frames)) {
            let gap = covered..next.start.min(frames);
            if !gap.is_empty() && self.dumped.rank(gap.end) > self.dumped.rank(gap.start) {
                return Some((gap.start, gap.end));
            }
            covered = covered.max(next.end);
        }
        None
    }

    /// What the descriptors say against the bitmap and the file, in words: one bit too many or too few
    /// gives every page behind it another's bytes.
    ///
    /// Writers put a page of zeros, or the first page, right behind the descriptors (makedumpfile,
    /// QEMU), or at the next block.
    pub(super) fn contradictions(&self) -> Vec<String> {
        /// Descriptors at the end that are looked at for one of a page with bytes of its own.
        const LAST: u64 = 4096;
        let mut said = Vec::new();
        for part in &self.parts {
            let frames = &part.frames;
            let end = frames.end.min(self.dumped.bits.frames());
            let count = self
                .dumped
                .rank(end)
                .saturating_sub(self.dumped.rank(frames.start));
            let number = |index: u64| {
                let at = part
                    .descriptors
                    .saturating_add(index.saturating_mul(DESCRIPTOR));
                let bytes = part.view.header(at, DESCRIPTOR)?;
                let mut cursor = Cursor::new(&bytes, 0);
                let offset = cursor.le64("").ok()?;
                Some((offset, u64::from(cursor.le32("").ok()?)))
            };
            let data = part
                .descriptors
                .saturating_add(count.saturating_mul(DESCRIPTOR));
            let starts = [data, data.next_multiple_of(self.block)];
            let good = |offset: u64| {
                let first = |start: &u64| [0, self.block].contains(&offset.wrapping_sub(*start));
                offset == 0 || starts.iter().any(first)
            };
            if count > 0
                && let Some((offset, _)) = number(0)
                && !good(offset)
            {
                said.push(format!(
                    "the bitmap counts {count} pages, whose descriptors end at {data:#x}, and the first \
                     page lies at {offset:#x}: pages may be taken for others"
                ));
            }
            let last = (count.saturating_sub(LAST)..count)
                .filter_map(number)
                .map(|(offset, size)| offset.saturating_add(size))
                .max();
            let short = match last {
                Some(last) => last > part.view.end(),
                None => count > 0,
            };
            if (short || data > part.view.end()) && !part.view.cut_short {
                said.push(format!(
                    "the dump is cut short: its {} bytes end before its pages do",
                    part.view.end()
                ));
            }
        }
        said
    }

    /// Where the bytes of `frame` lie.
    fn place(&self, frame: u64) -> Result<PackedPage, Cause> {
        if !self.dumped.bits.has(frame) {
            let excluded = self.present.as_ref().is_some_and(|bits| bits.has(frame));
            return Err(if excluded {
                Cause::Excluded {
                    filter: Filter::DumpLevel,
                }
            } else {
                Cause::NoRam
            });
        }
        let next = self
            .parts
            .partition_point(|part| part.frames.start <= frame);
        let (number, part) = next
            .checked_sub(1)
            .and_then(|number| Some((number, self.parts.get(number)?)))
            .filter(|(_, part)| part.frames.contains(&frame))
            .ok_or(Cause::NotCaptured)?;
        let before = self.dumped.rank(part.frames.start);
        let index = self.dumped.rank(frame).saturating_sub(before);
        let at = part
            .descriptors
            .saturating_add(index.saturating_mul(DESCRIPTOR));
        let short = || Cause::FileShort {
            offset: part.view.file_offset(at),
        };
        let (group, into) = (index / TOGETHER, index % TOGETHER);
        let first = group.saturating_mul(TOGETHER);
        let together = self.descriptors.get_or_decode((number, group), || {
            let at = part
                .descriptors
                .saturating_add(first.saturating_mul(DESCRIPTOR));
            let left = part.view.end().saturating_sub(at);
            let len = TOGETHER.saturating_mul(DESCRIPTOR).min(left);
            part.view.read(at, len as usize).map(Arc::from)
        });
        let (bytes, into) = match together {
            Ok(bytes) => (bytes, into.saturating_mul(DESCRIPTOR)),
            Err(_) => (Arc::from(part.view.read(at, DESCRIPTOR as usize)?), 0),
        };
        let mut cursor = Cursor::new(&*bytes, into as usize);
        let (Ok(offset), Ok(size), Ok(flags)) = (cursor.le64(""), cursor.le32(""), cursor.le32(""))
        else {
            return Err(short());
        };
        if offset == 0 || size == 0 {
            return Err(Cause::NotCaptured); // the writer came to its end before this page
        }
        let codec = pages::codec(flags).ok_or(Cause::Decode {
            offset: part.view.file_offset(at),
            codec: Codec::Stored,
        })?;
        Ok(PackedPage {
            part: number,
            offset,
            size: size.into(),
            codec,
        })
    }

    /// The page of `frame`.
    fn page(&self, frame: u64, keep: bool) -> Result<Chunk<'_>, Cause> {
        let place = self.place(frame)?;
        let view = &self.parts.get(place.part).ok_or(Cause::NotCaptured)?.view;
        let file_offset = || view.file_offset(place.offset);
        let packed = || view.read(place.offset, place.size as usize);
        let undecodable = |codec| Cause::Decode {
            offset: file_offset(),
            codec,
        };
        let codec = place.codec;
        // No compression makes a page twice as long.
        let most = match codec {
            Codec::Stored => self.block,
            _ => self.block.saturating_mul(2),
        };
        if place.size > most || codec == Codec::Stored && place.size != self.block {
            return Err(undecodable(codec));
        }
        let decode = || {
            if codec == Codec::Stored {
                return packed().map(Arc::from);
            }
            pages::decode(codec, &packed()?, self.block as usize).ok_or_else(|| undecodable(codec))
        };
        let page = if keep {
            self.decoded.get_or_decode(place, decode)?
        } else {
            decode()?
        };
        Ok(Chunk::decoded(page, 0))
    }

    /// The page frame of `pa`, and the bytes before `pa` in it.
    fn split(&self, pa: PhysAddr) -> (u64, usize) {
        let shift = self.block.trailing_zeros();
        let into = pa.0 & self.block.wrapping_sub(1);
        (pa.0 >> shift, into as usize)
    }

    /// Fills `buf` from `pa` on, past the cache; returns the bytes filled.
    fn fill(&self, pa: PhysAddr, buf: &mut [u8]) -> usize {
        let filled = sweep::fill(buf, |done, rest| {
            let (frame, into) = self.split(pa.plus(done));
            let page = self.page(frame, false);
            page.map(|page| sweep::copy(&page.advanced(into), rest))
        });
        filled.unwrap_or(0)
    }
}

impl PhysicalMemory for KdumpMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let (frame, into) = self.split(pa);
        let page = self.page(frame, true);
        let page = page.map_err(|cause| Fault::at_phys(cause, pa))?;
        Ok(page.advanced(into))
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        sweep::in_windows(&self.runs, run, window, |pa, buf| self.fill(pa, buf), visit)
    }
}
