//! Memory of which a bitmap tells the pages that are there: the set bits' pages lie one after
//! another in the file.

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{
    Cause, Chunk, Fault, PAGE_BYTES, Page, PhysAddr, PhysRun, PhysicalMemory, Visit,
};

use crate::cache::PageCache;
use crate::data::Data;
use crate::sweep;

/// Bits of one word of the bitmap.
const WORD: u64 = 64;
/// Words between two kept counts of set bits.
const STRIDE: u64 = 64;
/// The most pages of one chunk.
const CHUNK_PAGES: u64 = 1 << 16;

/// Memory by a bitmap, with a count for each 512 of its bytes.
pub(super) struct BitmapMemory {
    data: Data,
    /// The bitmap: bit 0 of byte 0 is page 0.
    map: Vec<u8>,
    /// Bits of the bitmap.
    bits: u64,
    /// File offset of the first page.
    first: u64,
    /// Set bits before each stride.
    before: Vec<u64>,
    /// Set bits in all.
    set: u64,
    runs: Vec<PhysRun>,
    /// Pages copied out of the file, by their address.
    pages: PageCache,
}

impl BitmapMemory {
    /// Memory by the first `bits` bits of `map`, its pages from `first` of the file on.
    pub(super) fn new(data: Data, map: Vec<u8>, bits: u64, first: u64) -> Self {
        let mut memory = Self {
            data,
            map,
            bits,
            first,
            before: Vec::new(),
            set: 0,
            runs: Vec::new(),
            pages: PageCache::of_copies(),
        };
        for index in 0..bits.div_ceil(WORD) {
            if index.is_multiple_of(STRIDE) {
                memory.before.push(memory.set);
            }
            let ones = memory.word(index).count_ones();
            memory.set = memory.set.saturating_add(ones.into());
        }
        memory.runs = memory.held();
        memory
    }

    /// Pages that the bitmap says are there.
    pub(super) fn set(&self) -> u64 {
        self.set
    }

    /// The stretches of set bits, as far as the file goes.
    fn held(&self) -> Vec<PhysRun> {
        let mut runs = Vec::new();
        let mut left = self.data.len().saturating_sub(self.first);
        let mut page = self.run_end(0, false, self.bits);
        while left > 0 && page < self.bits {
            let end = self.run_end(page, true, self.bits);
            let len = end
                .saturating_sub(page)
                .saturating_mul(PAGE_BYTES)
                .min(left);
            runs.push(PhysRun {
                start: PhysAddr(page.saturating_mul(PAGE_BYTES)),
                len,
            });
            left = left.saturating_sub(len);
            page = self.run_end(end, false, self.bits);
        }
        runs
    }

    /// Word `index` of the bitmap; bits past its end are clear.
    fn word(&self, index: u64) -> u64 {
        let bytes = usize::try_from(index.saturating_mul(8))
            .ok()
            .and_then(|at| self.map.get(at..))
            .unwrap_or_default();
        let mut raw = [0; 8];
        for (into, byte) in raw.iter_mut().zip(bytes) {
            *into = *byte;
        }
        let word = u64::from_le_bytes(raw);
        match self.bits.saturating_sub(index.saturating_mul(WORD)) {
            0 => 0,
            left if left < WORD => word & (1_u64 << left).wrapping_sub(1),
            _ => word,
        }
    }

    /// The first page from `page` on, and before `limit`, whose bit is not `set`; else `limit`.
    fn run_end(&self, page: u64, set: bool, limit: u64) -> u64 {
        let mut at = page;
        while at < limit {
            let word = self.word(at / WORD);
            let other = if set { !word } else { word } >> (at % WORD);
            if other != 0 {
                return at.saturating_add(other.trailing_zeros().into()).min(limit);
            }
            at = (at / WORD).saturating_add(1).saturating_mul(WORD);
        }
        limit
    }

    /// How many pages lie before `page` in the file; `None` when its bit is clear.
    fn rank(&self, page: u64) -> Option<u64> {
        let index = page / WORD;
        let bit = 1_u64 << (page % WORD);
        let word = self.word(index);
        if page >= self.bits || word & bit == 0 {
            return None;
        }
        let stride = index / STRIDE;
        let mut rank = *self.before.get(usize::try_from(stride).ok()?)?;
        for index in stride.saturating_mul(STRIDE)..index {
            rank = rank.saturating_add(self.word(index).count_ones().into());
        }
        Some(rank.saturating_add((word & bit.wrapping_sub(1)).count_ones().into()))
    }

    /// The file offset of the byte at `pa`, and how many bytes follow one another from there.
    fn place(&self, pa: PhysAddr) -> Option<(u64, u64)> {
        let page = pa.0 / PAGE_BYTES;
        let rank = self.rank(page)?;
        let limit = self.bits.min(page.saturating_add(CHUNK_PAGES));
        let pages = self.run_end(page, true, limit).saturating_sub(page);
        let offset = self
            .first
            .saturating_add(rank.saturating_mul(PAGE_BYTES))
            .saturating_add(pa.in_page());
        let len = pages
            .saturating_mul(PAGE_BYTES)
            .saturating_sub(pa.in_page());
        Some((offset, len))
    }

    /// The page of `pa`, copied out of the file. A file that is shorter by now gives less of it.
    fn copied(&self, pa: PhysAddr) -> Result<Arc<[u8]>, Cause> {
        let start = pa.page();
        let (offset, _) = self.place(start).ok_or(Cause::NotCaptured)?;
        self.pages
            .get_or_copy(start.0, &self.data, offset, PAGE_BYTES)
    }

    /// Fills `buf` from `pa` on; returns the bytes filled.
    fn fill(&self, pa: PhysAddr, buf: &mut [u8]) -> usize {
        let Some((offset, len)) = self.place(pa) else {
            return 0;
        };
        let left = len.min(self.data.len().saturating_sub(offset));
        let n = usize::try_from(left).unwrap_or(buf.len()).min(buf.len());
        match buf.get_mut(..n).map(|buf| self.data.read_at(offset, buf)) {
            Some(Ok(())) => n,
            _ => 0,
        }
    }
}

impl PhysicalMemory for BitmapMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        // Of the byte that was asked for, not of its page.
        let short = || Cause::FileShort {
            offset: self.place(pa).map_or(0, |(offset, _)| offset),
        };
        let chunk = match self.copied(pa) {
            Ok(page) => {
                let chunk = Chunk::decoded(page, pa.in_page() as usize);
                (!chunk.is_empty()).then_some(chunk).ok_or_else(short)
            }
            Err(Cause::FileShort { .. }) => Err(short()),
            Err(cause) => Err(cause),
        };
        chunk.map_err(|cause| Fault::at_phys(cause, pa))
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        Page::of(self.copied(pa).ok()?, 0)
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        sweep::in_windows(&self.runs, run, window, |pa, buf| self.fill(pa, buf), visit)
    }
}
