//! Physical memory behind a stream: pages where the stream sent them.

use std::ops::ControlFlow;
use std::sync::Arc;

use miniz_oxide::inflate::decompress_slice_iter_to_slice;
use osier_memory::{
    Cause, Chunk, Codec, Fault, Page, PhysAddr, PhysRun, PhysicalMemory, Visit, ZERO_PAGE,
};

use super::pages::{Block, Entry, PAGE};
use super::xbzrle::{self, Delta};
use crate::cache::PageCache;
use crate::data::{self, Data};
use crate::sweep;

/// The longest file span that a sweep reads at once.
const SPAN: u64 = 1 << 20;
/// The longest record of a compressed page: its length, and at most two pages.
const ZLIB_MAX: usize = 4 + 2 * PAGE as usize;
/// Page records between two raw pages that a sweep reads along rather than starting again.
const GAP: u64 = 1 << 10;

/// The page entries: from the pass, or from a kept index.
pub(crate) enum Entries {
    Owned(Vec<u64>),
    /// Eight little-endian bytes each, from this offset on.
    Kept(Vec<u8>, usize),
}

impl Entries {
    fn get(&self, index: u64) -> Entry {
        let word = match self {
            Self::Owned(entries) => usize::try_from(index)
                .ok()
                .and_then(|index| entries.get(index).copied()),
            Self::Kept(bytes, start) => usize::try_from(index)
                .ok()
                .and_then(|index| index.checked_mul(8)?.checked_add(*start))
                .and_then(|at| bytes.get(at..)?.first_chunk())
                .map(|bytes| u64::from_le_bytes(*bytes)),
        };
        word.map_or(Entry::Absent, Entry::decode)
    }
}

/// A stretch of guest-physical memory and its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// Guest-physical address of the first byte; a page's start.
    pub(crate) start: u64,
    /// Length in bytes; whole pages.
    pub(crate) len: u64,
    /// The number of the first page's entry.
    pub(crate) first: u64,
}

/// The pages of a stream, by the number of their entry.
pub(crate) struct Pages {
    data: Data,
    entries: Entries,
    deltas: Vec<Delta>,
    /// Pages by the file offset of their bytes: copied, and decoded.
    copied: PageCache,
    kept: PageCache,
}

impl Pages {
    /// The pages that `entries` tell of in `map`; at most `cache_bytes` of decoded ones are kept.
    pub(crate) fn new(data: Data, entries: Entries, deltas: Vec<Delta>, cache_bytes: u64) -> Self {
        Self {
            data,
            entries,
            deltas,
            copied: PageCache::of_copies(),
            kept: PageCache::of_pages(cache_bytes),
        }
    }

    /// The first `most` bytes of `block`; a page that cannot be read is left out, with all after it.
    pub(crate) fn block(&self, block: &Block, most: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for page in 0..block.bytes.min(most) / PAGE {
            let entry = self.entries.get(block.first.saturating_add(page));
            let Ok(page) = self.page(entry) else { break };
            bytes.extend_from_slice(page.get(..PAGE as usize).unwrap_or_default());
        }
        bytes
    }

    /// The page of `entry`.
    fn page(&self, entry: Entry) -> Result<Chunk<'_>, Cause> {
        match entry {
            Entry::Absent => Err(Cause::NotCaptured),
            Entry::Raw(offset) => self.raw(offset).map(|page| Chunk::decoded(page, 0)),
            Entry::Fill(0) => Ok(Chunk::borrowed(&ZERO_PAGE)),
            Entry::Fill(byte) => Ok(Chunk::decoded(Arc::from([byte; PAGE as usize]), 0)),
            Entry::Zlib(offset) => self.decoded(offset, Codec::Zlib, || self.inflate(offset)),
            Entry::Xbzrle(number) => {
                let offset = self.delta(number).map_or(0, |delta| delta.data);
                self.decoded(offset, Codec::Xbzrle, || self.undo_deltas(number))
            }
        }
    }

    /// The page that lies at `offset` as it is.
    fn raw(&self, offset: u64) -> Result<Arc<[u8]>, Cause> {
        let page = self.copied.get_or_copy(offset, &self.data, offset, PAGE)?;
        let held = page.len() as u64;
        let offset = offset.saturating_add(held);
        (held == PAGE)
            .then_some(page)
            .ok_or(Cause::FileShort { offset })
    }

    /// The bytes from `inside` on of the page that lies at `offset` as it is, as far as the file has them.
    fn raw_from(&self, offset: u64, inside: u64) -> Result<Chunk<'_>, Cause> {
        let short = Cause::FileShort {
            offset: offset.saturating_add(inside),
        };
        match self.copied.get_or_copy(offset, &self.data, offset, PAGE) {
            Ok(page) => {
                let chunk = Chunk::decoded(page, inside as usize);
                (!chunk.is_empty()).then_some(chunk).ok_or(short)
            }
            // Of the byte that was asked for, not of its page.
            Err(Cause::FileShort { .. }) => Err(short),
            Err(cause) => Err(cause),
        }
    }

    /// The page whose bytes start at `offset`: kept, or decoded now.
    fn decoded(
        &self,
        offset: u64,
        codec: Codec,
        decode: impl FnOnce() -> Result<Option<Arc<[u8]>>, Cause>,
    ) -> Result<Chunk<'_>, Cause> {
        let decode = || decode()?.ok_or(Cause::Decode { offset, codec });
        let page = self.kept.get_or_decode(offset, decode)?;
        Ok(Chunk::decoded(page, 0))
    }

    fn delta(&self, number: u64) -> Option<Delta> {
        self.deltas.get(usize::try_from(number).ok()?).copied()
    }

    /// The page of delta `number`: the last whole sending, and the deltas after it. `None` when
    /// there was no whole sending, or one of them cannot be decoded.
    fn undo_deltas(&self, mut number: u64) -> Result<Option<Arc<[u8]>>, Cause> {
        let mut chain = Vec::new();
        let whole = loop {
            let Some(delta) = self.delta(number) else {
                return Ok(None);
            };
            chain.push(delta.data);
            match Entry::decode(delta.base) {
                // A base was sent before, so the chain ends.
                Entry::Xbzrle(base) if base < number => number = base,
                Entry::Xbzrle(_) | Entry::Absent => return Ok(None),
                whole => break whole,
            }
        };
        let mut page = [0; PAGE as usize];
        let whole = self.page(whole)?;
        let Some(whole) = whole.get(..PAGE as usize) else {
            return Ok(None);
        };
        page.copy_from_slice(whole);
        for offset in chain.into_iter().rev() {
            let data = self.record(offset, xbzrle::HEADER.saturating_add(PAGE as usize))?;
            if xbzrle::apply(&data, &mut page).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Arc::from(page)))
    }

    /// The bytes from `offset` on: `most`, or fewer at the end of the file.
    fn record(&self, offset: u64, most: usize) -> Result<Vec<u8>, Cause> {
        let left = self.data.len().saturating_sub(offset);
        let mut bytes = vec![0; most];
        match self.data.read_some(offset, &mut bytes) {
            Ok(n) if n > 0 && n as u64 >= left.min(most as u64) => {
                bytes.truncate(n);
                Ok(bytes)
            }
            Ok(_) => Err(Cause::FileShort { offset }),
            Err(error) => Err(data::cause(&error, offset)),
        }
    }

    fn inflate(&self, offset: u64) -> Result<Option<Arc<[u8]>>, Cause> {
        let record = self.record(offset, ZLIB_MAX)?;
        let packed = record.split_first_chunk().and_then(|(len, rest)| {
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            rest.get(..len)
        });
        let Some(packed) = packed else {
            return Ok(None);
        };
        let mut page = [0; PAGE as usize];
        let len = decompress_slice_iter_to_slice(&mut page, std::iter::once(packed), true, false);
        Ok((len == Ok(PAGE as usize)).then(|| Arc::from(page)))
    }
}

/// What a byte that cannot be read means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Causes {
    /// Of a page that was not sent.
    pub(crate) absent: Cause,
    /// Where nothing is placed.
    pub(crate) outside: Cause,
}

/// The memory of a stream.
pub(crate) struct StreamMemory {
    pages: Pages,
    /// Sorted by address, disjoint.
    placed: Vec<Placed>,
    runs: Vec<PhysRun>,
    causes: Causes,
}

impl StreamMemory {
    /// The memory of `placed`. `gaps`: some pages may be absent, and the runs go around them.
    pub(crate) fn new(pages: Pages, mut placed: Vec<Placed>, gaps: bool, causes: Causes) -> Self {
        placed.sort_by_key(|placed| placed.start);
        let mut stretches = Vec::new();
        for placed in &placed {
            if !gaps {
                stretches.push((placed.start, placed.len));
                continue;
            }
            for page in 0..placed.len / PAGE {
                if pages.entries.get(placed.first.saturating_add(page)) == Entry::Absent {
                    continue;
                }
                let start = placed.start.saturating_add(page.saturating_mul(PAGE));
                match stretches.last_mut() {
                    Some((from, len)) if start == u64::saturating_add(*from, *len) => {
                        *len = len.saturating_add(PAGE);
                    }
                    _ => stretches.push((start, PAGE)),
                }
            }
        }
        Self {
            pages,
            placed,
            runs: sweep::join(stretches),
            causes,
        }
    }

    /// The number of the entry of the page at `pa`, and the bytes left in its stretch.
    fn number(&self, pa: PhysAddr) -> Option<(u64, u64)> {
        let next = self.placed.partition_point(|p| p.start <= pa.0);
        let placed = self.placed.get(next.checked_sub(1)?)?;
        let inside = pa.0.wrapping_sub(placed.start);
        let left = placed.len.checked_sub(inside).filter(|left| *left > 0)?;
        Some((placed.first.saturating_add(inside / PAGE), left))
    }

    /// Fills `buf` from `pa` on; returns the bytes filled. Raw pages that lie near one another in
    /// the file are read at once.
    fn fill(&self, pa: PhysAddr, buf: &mut [u8], scratch: &mut Vec<u8>) -> usize {
        let filled = sweep::fill(buf, |done, rest| -> Result<usize, Cause> {
            let at = pa.plus(done);
            let (number, left) = self.number(at).ok_or(Cause::NotCaptured)?;
            let left = usize::try_from(left).unwrap_or(rest.len());
            let len = rest.len().min(left);
            let rest = rest.get_mut(..len).unwrap_or_default();
            let entry = self.pages.entries.get(number);
            Ok(match entry {
                Entry::Raw(offset) => self.fill_raw(number, offset, at, rest, scratch),
                Entry::Fill(byte) => {
                    let n = (PAGE.wrapping_sub(at.in_page()) as usize).min(rest.len());
                    rest.get_mut(..n).unwrap_or_default().fill(byte);
                    n
                }
                _ => {
                    let page = self.pages.page(entry)?.advanced(at.in_page() as usize);
                    sweep::copy(&page, rest)
                }
            })
        });
        filled.unwrap_or(0)
    }

    /// Fills `rest` with the raw page of entry `number` and those that follow it closely in the
    /// file, pages of fill between them included; returns the bytes filled.
    fn fill_raw(
        &self,
        number: u64,
        offset: u64,
        at: PhysAddr,
        rest: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> usize {
        let inside = at.in_page();
        let mut end = offset.saturating_add(PAGE);
        let mut pages = 1_u64;
        let most = (rest.len() as u64).saturating_add(inside).div_ceil(PAGE);
        for next in 1..most {
            match self.pages.entries.get(number.saturating_add(next)) {
                Entry::Fill(_) => {}
                Entry::Raw(offset_of) => {
                    let gap = offset_of.checked_sub(end);
                    let stop = offset_of.saturating_add(PAGE);
                    if gap.is_none_or(|gap| gap > GAP) || stop.saturating_sub(offset) > SPAN {
                        break;
                    }
                    end = stop;
                    pages = next.saturating_add(1);
                }
                _ => break,
            }
        }
        let span = end.saturating_sub(offset) as usize;
        if scratch.len() < span {
            scratch.resize(span, 0);
        }
        let Some(read) = scratch.get_mut(..span) else {
            return 0;
        };
        if self.pages.data.read_at(offset, read).is_err() {
            return 0;
        }
        let mut done = 0_usize;
        for page in 0..pages {
            let skip = if page == 0 { inside } else { 0 } as usize;
            let n = (PAGE as usize)
                .saturating_sub(skip)
                .min(rest.len().saturating_sub(done));
            let Some(into) = rest.get_mut(done..done.saturating_add(n)) else {
                break;
            };
            match self.pages.entries.get(number.saturating_add(page)) {
                Entry::Raw(here) => {
                    let from = (here.saturating_sub(offset) as usize).saturating_add(skip);
                    match read.get(from..from.saturating_add(n)) {
                        Some(bytes) => into.copy_from_slice(bytes),
                        None => break,
                    }
                }
                Entry::Fill(byte) => into.fill(byte),
                _ => break,
            }
            done = done.saturating_add(n);
        }
        done
    }
}

impl PhysicalMemory for StreamMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let (number, _) = self
            .number(pa)
            .ok_or(Fault::at_phys(self.causes.outside, pa))?;
        let inside = pa.in_page();
        let chunk = match self.pages.entries.get(number) {
            Entry::Absent => Err(self.causes.absent),
            Entry::Raw(offset) => self.pages.raw_from(offset, inside),
            entry => (self.pages.page(entry)).map(|page| page.advanced(inside as usize)),
        };
        chunk.map_err(|cause| Fault::at_phys(cause, pa))
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        let (number, _) = self.number(pa)?;
        match self.pages.entries.get(number) {
            Entry::Raw(offset) => Page::of(self.pages.raw(offset).ok()?, 0),
            _ => None,
        }
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        let mut scratch = Vec::new();
        sweep::in_windows(
            &self.runs,
            run,
            window,
            |pa, buf| self.fill(pa, buf, &mut scratch),
            visit,
        )
    }
}
