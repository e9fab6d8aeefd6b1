//! The kernel's pools, searched for blocks by their tags, whoever leads to them.
//!
//! The kernel's half of the address space is gone through by its page tables, each frame once. A block that has
//! a page of its own, or several, has no header, and is not found.
//!
//! Source: `_POOL_HEADER` of Microsoft's kernel PDBs from XP to 11, and `pooltag.txt` of its debugger.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::{Fault, PAGE_BYTES, PhysAddr, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds};

use crate::windows::Windows;

/// The walk's name in endings.
const WALK: &str = "pool";
/// More ranges of pages than any kernel's half has.
const LIMIT: usize = 1 << 26;
/// The kernel maps memory more than once, but not all of it so often.
const OFTEN: u64 = 64;
const PAGE: usize = PAGE_BYTES as usize;

/// Shows every block whose tag is one of `tags`, by the address of its header.
pub(crate) fn blocks(
    windows: &Windows,
    tags: &[[u8; 4]],
    show: &mut dyn FnMut([u8; 4], VirtAddr),
) -> WalkEnds {
    let (guest, layout) = (&windows.guest, &windows.driver.pool);
    let no_start = |missing: &str| WalkEnds::one(WALK, WalkEnd::no_start(missing, None));
    let Some(tag) = layout.tag else {
        return no_start("members of _POOL_HEADER in the profile");
    };
    let Ok(by) = usize::try_from(tag.offset) else {
        return no_start("members of _POOL_HEADER in the profile");
    };
    if guest.space.mode().entry_bytes() == 0 {
        return no_start("page tables, of which a dump of virtual memory has none");
    }
    // Blocks are aligned to two words.
    let step = usize::from(guest.pointer_bytes()).saturating_mul(2);
    let within = if guest.pointer_bytes() == 4 {
        VirtAddr(0x8000_0000)..VirtAddr(1 << 32)
    } else {
        VirtAddr(1 << 63)..VirtAddr(u64::MAX)
    };
    let memory = guest.space.memory().runs().iter();
    let memory = memory.fold(0_u64, |sum, run| sum.saturating_add(run.len));
    let mut search = Search {
        windows,
        tags,
        by,
        step,
        frames: HashSet::new(),
        left: (memory >> 12).saturating_add(1).saturating_mul(OFTEN),
        unread: None,
        show,
    };
    let mut ranges = 0_usize;
    let mut end = WalkEnd::Closed;
    guest.space.mapped_rights(within, &mut |range| {
        ranges = ranges.saturating_add(1);
        if ranges > LIMIT || search.left == 0 {
            end = WalkEnd::Limit { after: ranges };
            return ControlFlow::Break(());
        }
        match range {
            Ok(range) => search.range(range.start, range.len, range.phys),
            Err(fault) => search.lose(fault),
        }
        ControlFlow::Continue(())
    });
    if search.left == 0 {
        end = WalkEnd::Limit { after: ranges };
    }
    let mut ends = WalkEnds::one(WALK, end);
    if let Some((parts, fault)) = search.unread {
        let what = "pages and tables of the kernel's half";
        ends.add(WALK, WalkEnd::Unread { what, parts, fault });
    }
    ends
}

struct Search<'a> {
    windows: &'a Windows,
    tags: &'a [[u8; 4]],
    /// Where a header has its tag.
    by: usize,
    step: usize,
    /// Frames that were searched: the kernel maps many of them more than once.
    frames: HashSet<u64>,
    /// Pages that may still be looked at.
    left: u64,
    unread: Option<(usize, Fault)>,
    show: &'a mut dyn FnMut([u8; 4], VirtAddr),
}

impl Search<'_> {
    fn lose(&mut self, fault: Fault) {
        let (count, first) = self.unread.unwrap_or((0, fault));
        self.unread = Some((count.saturating_add(1), first));
    }

    fn range(&mut self, start: VirtAddr, len: u64, phys: PhysAddr) {
        let memory = self.windows.guest.space.memory();
        let end = phys.0.saturating_add(len);
        let mut raw = [0; PAGE];
        // What lies in no memory, such as a device's, is no pool: a page may be larger than all memory.
        let runs = memory.runs();
        let before = runs.partition_point(|run| run.end() <= phys);
        let runs = runs.get(before..).unwrap_or_default();
        for run in runs.iter().take_while(|run| run.start.0 < end) {
            let first = run.start.0.max(phys.0);
            let Some(first) = first.checked_next_multiple_of(PAGE_BYTES) else {
                continue;
            };
            for at in (first..run.end().0.min(end)).step_by(PAGE) {
                let Some(left) = self.left.checked_sub(1) else {
                    return;
                };
                self.left = left;
                if !self.frames.insert(at >> 12) {
                    continue;
                }
                let at = PhysAddr(at);
                match memory.read(at, &mut raw) {
                    Ok(()) => self.page(start.plus(at.since(phys)), &raw),
                    Err(fault) => self.lose(fault),
                }
            }
        }
    }

    fn page(&mut self, start: VirtAddr, raw: &[u8; PAGE]) {
        for (at, header) in (0_u64..).zip(raw.chunks_exact(self.step)) {
            let tag = header.get(self.by..self.by.saturating_add(4));
            let tag: Option<[u8; 4]> = tag.and_then(|tag| tag.try_into().ok());
            if let Some(tag) = tag.filter(|tag| self.tags.contains(tag)) {
                let by = at.saturating_mul(self.step as u64);
                (self.show)(tag, start.plus(by));
            }
        }
    }
}
