//! Memories that differ from another one: a page hidden, or bytes changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use osier_memory::{Cause, Chunk, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

/// A memory with one page hidden: its bytes are [`Cause::NotCaptured`].
pub struct Knockout<M> {
    inner: M,
    hidden: PhysAddr,
}

impl<M: PhysicalMemory> Knockout<M> {
    /// Hides the page that holds `pa`.
    pub fn new(inner: M, pa: PhysAddr) -> Self {
        Self {
            inner,
            hidden: pa.page(),
        }
    }
}

impl<M: PhysicalMemory> PhysicalMemory for Knockout<M> {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        if pa.page() == self.hidden {
            return Err(Fault::at_phys(Cause::NotCaptured, pa));
        }
        let chunk = self.inner.chunk(pa)?;
        let before = self.hidden.0.checked_sub(pa.0).unwrap_or(u64::MAX);
        Ok(chunk.truncated(usize::try_from(before).unwrap_or(usize::MAX)))
    }
}

/// A memory with some bytes changed. The memory beneath is shared and stays as it is.
#[derive(Clone)]
pub struct Patched {
    inner: Arc<dyn PhysicalMemory>,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Patched {
    /// `inner`, nothing changed yet.
    pub fn new(inner: Arc<dyn PhysicalMemory>) -> Self {
        Self {
            inner,
            pages: BTreeMap::new(),
        }
    }

    /// Writes `bytes` from `pa` on; the pages must exist.
    pub fn write_bytes(&mut self, pa: PhysAddr, bytes: &[u8]) {
        for (at, byte) in (pa.0..).zip(bytes) {
            let at = PhysAddr(at);
            self.page(at)[at.in_page() as usize] = *byte;
        }
    }

    /// Writes the low `width` bytes (1 to 8) of `value`, little-endian.
    pub fn write_uint(&mut self, pa: PhysAddr, value: u64, width: usize) {
        self.write_bytes(pa, &value.to_le_bytes()[..width]);
    }

    /// Turns bit `bit` (0 to 7) of the byte at `pa` over.
    pub fn flip(&mut self, pa: PhysAddr, bit: u8) {
        self.page(pa)[pa.in_page() as usize] ^= 1 << bit;
    }

    fn page(&mut self, pa: PhysAddr) -> &mut Vec<u8> {
        let inner = &self.inner;
        self.pages.entry(pa.page().0).or_insert_with(|| {
            let mut bytes = vec![0; PAGE_BYTES as usize];
            inner.read(pa.page(), &mut bytes).expect("a page to patch");
            bytes
        })
    }
}

impl PhysicalMemory for Patched {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        if let Some(page) = self.pages.get(&pa.page().0) {
            return Ok(Chunk::borrowed(&page[pa.in_page() as usize..]));
        }
        let chunk = self.inner.chunk(pa)?;
        Ok(chunk.truncated((PAGE_BYTES - pa.in_page()) as usize))
    }
}
