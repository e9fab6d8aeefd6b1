//! What a search has learnt of the machine's pages and tables, so that it looks at each once.

use std::collections::HashMap;

use osier_memory::{PAGE_BYTES, PhysAddr, PhysicalMemory, TablesMet};

/// Of so many pages of RAM a search enters one as a table, at most: a machine that maps all its memory
/// by 4 KiB pages has one table for 512 of them.
const PAGES_PER_TABLE: u64 = 16;
/// Tables that are entered on the smallest machine.
const LEAST_TABLES: u64 = 4096;

/// What a search for an image has learnt.
pub(super) struct Learnt {
    /// Which pages start as an image does.
    pub(super) pages: Pages,
    /// Which tables lead to no such page.
    pub(super) tables: TablesMet,
}

impl Learnt {
    /// Nothing yet of `memory`.
    pub(super) fn of(memory: &dyn PhysicalMemory) -> Self {
        let runs = memory.runs().iter();
        let bytes = runs.fold(0_u64, |sum, run| sum.saturating_add(run.len));
        let limit = bytes / PAGE_BYTES / PAGES_PER_TABLE;
        Self {
            pages: Pages::default(),
            tables: TablesMet::with_limit(limit.max(LEAST_TABLES)),
        }
    }
}

/// The pages that were looked at.
#[derive(Default)]
pub(super) struct Pages {
    /// By number.
    groups: HashMap<u64, Group>,
}

impl Pages {
    /// The first page of the `len` bytes from `start` on that starts as a PE image does. Only what the
    /// file holds is looked at, and each page once.
    pub(super) fn image_in(
        &mut self,
        memory: &dyn PhysicalMemory,
        start: PhysAddr,
        len: u64,
    ) -> Option<PhysAddr> {
        let end = start.0.saturating_add(len);
        let runs = memory.runs();
        let first = runs.partition_point(|run| run.end() <= start);
        let near = runs.iter().skip(first).take_while(|run| run.start.0 < end);
        for run in near {
            let first = start.0.max(run.start.0).div_ceil(PAGE_BYTES);
            let past = end.min(run.end().0).div_ceil(PAGE_BYTES);
            let mut number = first;
            while number < past {
                let group = number / GROUP;
                let last = past.min(group.saturating_add(1).saturating_mul(GROUP));
                let known = self.groups.entry(group).or_default();
                let image = (number..last).find(|number| known.starts_as_image(memory, *number));
                if let Some(number) = image {
                    return Some(PhysAddr(number.saturating_mul(PAGE_BYTES)));
                }
                number = last;
            }
        }
        None
    }
}

/// Pages of a group.
const GROUP: u64 = 64;

/// What is known of a group of pages, a bit for each.
#[derive(Default)]
struct Group {
    looked: u64,
    images: u64,
}

impl Group {
    fn starts_as_image(&mut self, memory: &dyn PhysicalMemory, number: u64) -> bool {
        const MZ: u64 = 0x5a4d;
        let bit = 1_u64 << (number % GROUP);
        if self.looked & bit == 0 {
            self.looked |= bit;
            let page = PhysAddr(number.saturating_mul(PAGE_BYTES));
            if memory.read_uint(page, 2) == Ok(MZ) {
                self.images |= bit;
            }
        }
        self.images & bit != 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use osier_memory::{Chunk, Fault, PhysRun};
    use osier_testkit::MemoryBuilder;

    use super::*;

    /// Counts what is read.
    struct Counted(MemoryBuilder, AtomicUsize);

    impl PhysicalMemory for Counted {
        fn runs(&self) -> &[PhysRun] {
            self.0.runs()
        }

        fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.chunk(pa)
        }
    }

    #[test]
    fn a_page_is_looked_at_once_and_what_the_file_lacks_not_at_all() {
        let mut memory = MemoryBuilder::new(PhysAddr(0));
        memory.write_bytes(PhysAddr(0x10_0000), &vec![0; 0x8000]);
        memory.write_bytes(PhysAddr(0x10_5000), b"MZ");
        let memory = Counted(memory, AtomicUsize::new(0));
        let mut pages = Pages::default();
        let at = pages.image_in(&memory, PhysAddr(0), 1 << 40);
        assert_eq!(at, Some(PhysAddr(0x10_5000)));
        let beyond = pages.image_in(&memory, PhysAddr(0x10_6000), 1 << 40);
        assert_eq!(beyond, None);
        let reads = memory.1.load(Ordering::Relaxed);
        for _ in 0..100 {
            assert_eq!(pages.image_in(&memory, PhysAddr(0x10_1000), 1 << 40), at);
        }
        assert_eq!(memory.1.load(Ordering::Relaxed), reads);
    }
}
