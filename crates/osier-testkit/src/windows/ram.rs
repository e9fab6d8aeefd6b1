//! The RAM of a machine: every byte is there, and zero where nothing was written.

use osier_memory::{Cause, Chunk, Fault, PhysAddr, PhysRun, PhysicalMemory, ZERO_PAGE};

use crate::MemoryBuilder;

const MIB: u64 = 1 << 20;

/// RAM as firmware leaves it to Windows: the first 640 KiB but for their first page, and all from
/// the first mebibyte on.
#[derive(Clone, Debug)]
pub struct Ram {
    written: MemoryBuilder,
    runs: [PhysRun; 2],
}

impl Ram {
    /// RAM of at least `bytes` that holds what was written.
    pub(super) fn new(written: MemoryBuilder, bytes: u64) -> Self {
        let last = written.pages().last().map_or(0, |page| page.0 + 0x1000);
        let end = bytes.max(last).next_multiple_of(MIB);
        let run = |start, end| PhysRun {
            start: PhysAddr(start),
            len: end - start,
        };
        let runs = [run(0x1000, 0x9_f000), run(MIB, end)];
        let inside = |pa: PhysAddr| runs.iter().any(|run| run.contains(pa));
        assert!(written.pages().all(inside), "a page outside of RAM");
        Self { written, runs }
    }

    /// One past the highest address.
    pub fn bytes(&self) -> u64 {
        self.runs[1].end().0
    }

    /// The pages that something was written to, with their bytes.
    pub(super) fn pages(&self) -> impl Iterator<Item = (PhysAddr, Chunk<'_>)> {
        let pages = self.written.pages();
        pages.map(|pa| (pa, self.written.chunk(pa).expect("a page of ours")))
    }
}

impl PhysicalMemory for Ram {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        if !self.runs.iter().any(|run| run.contains(pa)) {
            return Err(Fault::at_phys(Cause::NoRam, pa));
        }
        let zeros = || Chunk::borrowed(&ZERO_PAGE[pa.in_page() as usize..]);
        Ok(self.written.chunk(pa).unwrap_or_else(|_| zeros()))
    }
}
