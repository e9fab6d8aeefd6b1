//! Physical memories made by hand.

use std::collections::BTreeMap;

use osier_memory::{Cause, Chunk, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

const PAGE: usize = PAGE_BYTES as usize;

/// A sparse physical memory of 4 KiB pages. A page exists once something was written to it, and
/// starts as zeros; any other address has no RAM.
#[derive(Clone, Debug, Default)]
pub struct MemoryBuilder {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    runs: Vec<PhysRun>,
    next: u64,
}

impl MemoryBuilder {
    /// An empty memory whose [`allocate`](Self::allocate) gives pages from `first` on.
    pub fn new(first: PhysAddr) -> Self {
        Self {
            next: first.page().0,
            ..Self::default()
        }
    }

    /// A new page of zeros.
    pub fn allocate(&mut self) -> PhysAddr {
        let page = PhysAddr(self.next);
        self.next += PAGE_BYTES;
        self.touch(page);
        page
    }

    /// Makes the page that holds `pa` exist.
    pub fn touch(&mut self, pa: PhysAddr) {
        let page = pa.page().0;
        if self.pages.contains_key(&page) {
            return;
        }
        self.pages.insert(page, Box::new([0; PAGE]));
        let at = self.runs.partition_point(|run| run.start.0 < page);
        let run = PhysRun {
            start: PhysAddr(page),
            len: PAGE_BYTES,
        };
        self.runs.insert(at, run);
        if self.runs.get(at + 1).is_some_and(|b| run.end() == b.start) {
            self.runs[at].len += self.runs.remove(at + 1).len;
        }
        if at > 0 && self.runs[at - 1].end() == self.runs[at].start {
            self.runs[at - 1].len += self.runs.remove(at).len;
        }
    }

    /// The pages that exist, by address.
    pub fn pages(&self) -> impl Iterator<Item = PhysAddr> {
        self.pages.keys().copied().map(PhysAddr)
    }

    /// Writes `bytes` from `pa` on; pages that do not exist come into being.
    pub fn write_bytes(&mut self, pa: PhysAddr, bytes: &[u8]) {
        let mut at = pa;
        let mut rest = bytes;
        while !rest.is_empty() {
            self.touch(at);
            let start = at.in_page() as usize;
            let n = rest.len().min(PAGE - start);
            let page = self.pages.get_mut(&at.page().0).expect("just touched");
            page[start..start + n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            at = at.plus(n as u64);
        }
    }

    /// Writes a byte.
    pub fn write_u8(&mut self, pa: PhysAddr, value: u8) {
        self.write_bytes(pa, &[value]);
    }

    /// Writes a little-endian number.
    pub fn write_u16(&mut self, pa: PhysAddr, value: u16) {
        self.write_bytes(pa, &value.to_le_bytes());
    }

    /// Writes a little-endian number.
    pub fn write_u32(&mut self, pa: PhysAddr, value: u32) {
        self.write_bytes(pa, &value.to_le_bytes());
    }

    /// Writes a little-endian number.
    pub fn write_u64(&mut self, pa: PhysAddr, value: u64) {
        self.write_bytes(pa, &value.to_le_bytes());
    }

    /// Writes the low `width` bytes (1 to 8) of `value`, little-endian.
    pub fn write_uint(&mut self, pa: PhysAddr, value: u64, width: usize) {
        self.write_bytes(pa, &value.to_le_bytes()[..width]);
    }
}

impl PhysicalMemory for MemoryBuilder {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        match self.pages.get(&pa.page().0) {
            Some(page) => Ok(Chunk::borrowed(&page[pa.in_page() as usize..])),
            None => Err(Fault::at_phys(Cause::NoRam, pa)),
        }
    }
}

/// A memory that is one stretch from address 0, such as a raw dump read whole.
#[derive(Clone, Debug)]
pub struct FlatMemory {
    bytes: Vec<u8>,
    run: [PhysRun; 1],
}

impl FlatMemory {
    /// The memory that holds `bytes` from physical address 0 on.
    pub fn new(bytes: Vec<u8>) -> Self {
        let run = PhysRun {
            start: PhysAddr(0),
            len: bytes.len() as u64,
        };
        Self { bytes, run: [run] }
    }
}

impl PhysicalMemory for FlatMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.run
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let rest = usize::try_from(pa.0)
            .ok()
            .and_then(|at| self.bytes.get(at..));
        match rest {
            Some(rest) if !rest.is_empty() => Ok(Chunk::borrowed(rest)),
            _ => Err(Fault::at_phys(Cause::NoRam, pa)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_in_any_order() {
        let mut memory = MemoryBuilder::default();
        for page in [5_u64, 3, 9, 4, 8, 0] {
            memory.touch(PhysAddr(page * 4096 + 7));
        }
        let runs: Vec<_> = memory
            .runs()
            .iter()
            .map(|r| (r.start.0 / 4096, r.len / 4096))
            .collect();
        assert_eq!(runs, [(0, 1), (3, 3), (8, 2)]);
    }

    #[test]
    fn a_write_across_a_page_reads_back() {
        let mut memory = MemoryBuilder::default();
        memory.write_u64(PhysAddr(0xffd), 0x1122_3344_5566_7788);
        assert_eq!(
            memory.read_uint(PhysAddr(0xffd), 8),
            Ok(0x1122_3344_5566_7788)
        );
        assert_eq!(
            memory.read_uint(PhysAddr(0x2000), 1),
            Err(Fault::at_phys(Cause::NoRam, PhysAddr(0x2000)))
        );
    }
}
