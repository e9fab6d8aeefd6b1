//! A snapshot's memory out of its file, and the same with a damage: a campaign reads it more often than a file is to be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use osier::osier_memory::{
    Cause, Chunk, Fault, PAGE_BYTES, Page, PhysAddr, PhysRun, PhysicalMemory,
};

use crate::Damage;

/// Bytes of memory that are held, and the addresses that they may span; what lies beyond is read where it is.
const MOST: usize = 64 << 20;
const SPAN: u64 = 16 << 30;
const PAGE: usize = PAGE_BYTES as usize;

/// The whole pages of a memory, by their numbers.
pub(crate) struct Held {
    inner: Arc<dyn PhysicalMemory>,
    /// The number of the first page.
    first: u64,
    /// Where in `bytes` each page begins, from the first on; `None` of one that is not there, or not whole.
    places: Vec<Option<usize>>,
    bytes: Arc<[u8]>,
}

impl Held {
    pub(crate) fn of(inner: Arc<dyn PhysicalMemory>) -> Self {
        let number = |pa: PhysAddr| pa.0 / PAGE_BYTES;
        let first = inner.runs().first().map_or(0, |run| number(run.start));
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for run in inner.runs() {
            let end = run.end().0.min(first * PAGE_BYTES + SPAN);
            for page in number(run.start)..end.div_ceil(PAGE_BYTES) {
                let mut whole = [0; PAGE];
                let there = inner.read(PhysAddr(page * PAGE_BYTES), &mut whole);
                if there.is_err() || bytes.len() >= MOST {
                    continue;
                }
                let place = (page - first) as usize;
                places.resize(places.len().max(place + 1), None);
                places[place] = Some(bytes.len());
                bytes.extend_from_slice(&whole);
            }
        }
        Self {
            inner,
            first,
            places,
            bytes: bytes.into(),
        }
    }

    /// Where in `bytes` the page of `pa` begins.
    fn place(&self, pa: PhysAddr) -> Option<usize> {
        let number = (pa.0 / PAGE_BYTES).checked_sub(self.first)?;
        *self.places.get(number as usize)?
    }
}

impl PhysicalMemory for Held {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        match self.place(pa) {
            Some(at) => Ok(Chunk::borrowed(
                &self.bytes[at + pa.in_page() as usize..at + PAGE],
            )),
            None => self.inner.chunk(pa),
        }
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        Page::of(self.bytes.clone(), self.place(pa)?)
    }
}

/// A memory with a damage.
pub(crate) struct Damaged {
    held: Arc<Held>,
    /// Pages that bytes were written over, by their addresses.
    pages: Vec<(PhysAddr, Arc<[u8]>)>,
    missing: Option<PhysAddr>,
}

impl Damaged {
    pub(crate) fn of(held: &Arc<Held>, damage: &Damage) -> Self {
        let mut pages: BTreeMap<PhysAddr, Vec<u8>> = BTreeMap::new();
        for (pa, bytes) in &damage.writes {
            for (at, byte) in (pa.0..).map(PhysAddr).zip(bytes) {
                let page = pages.entry(at.page()).or_insert_with(|| {
                    let mut bytes = vec![0; PAGE];
                    held.read(at.page(), &mut bytes).expect("a page to damage");
                    bytes
                });
                page[at.in_page() as usize] = *byte;
            }
        }
        Self {
            held: held.clone(),
            pages: pages
                .into_iter()
                .map(|(at, page)| (at, page.into()))
                .collect(),
            missing: damage.missing.map(PhysAddr::page),
        }
    }

    fn written(&self, pa: PhysAddr) -> Option<&Arc<[u8]>> {
        let page = pa.page();
        let found = self.pages.iter().find(|(at, _)| *at == page);
        found.map(|(_, bytes)| bytes)
    }
}

impl PhysicalMemory for Damaged {
    fn runs(&self) -> &[PhysRun] {
        self.held.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        if self.missing == Some(pa.page()) {
            return Err(Fault::at_phys(Cause::NotCaptured, pa));
        }
        if let Some(page) = self.written(pa) {
            return Ok(Chunk::borrowed(&page[pa.in_page() as usize..]));
        }
        let chunk = self.held.chunk(pa)?;
        Ok(chunk.truncated(PAGE - pa.in_page() as usize))
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        if self.missing == Some(pa.page()) {
            return None;
        }
        match self.written(pa) {
            Some(page) => Page::of(page.clone(), 0),
            None => self.held.page(pa),
        }
    }
}
