//! Searches through the mapped memory of an address space.

use std::ops::{ControlFlow, Range};

use crate::{AddressSpace, PhysAddr, PhysRun, VirtAddr, Visit};

/// Bytes of one window of a search.
const WINDOW: usize = 1 << 20;

impl AddressSpace {
    /// Shows the captured bytes that `within` maps in ascending windows, for searches. Where two
    /// windows adjoin, the last and first `join` bytes around the seam are shown once more, as one
    /// window of their own: with `join` one less than the length of a needle, each occurrence lies
    /// whole inside exactly one window.
    ///
    /// As with [`crate::PhysicalMemory::sweep`], a recorder does not see these reads: what a search
    /// finds is confirmed by reading it. Memory that cannot be read is passed over.
    pub fn sweep(
        &self,
        within: Range<VirtAddr>,
        join: usize,
        visit: Visit<'_, VirtAddr>,
    ) -> ControlFlow<()> {
        let mut seam = Seam {
            join,
            tail: Vec::new(),
            next: VirtAddr(0),
        };
        let mut pending: Option<(VirtAddr, PhysRun)> = None;
        let mut flow = ControlFlow::Continue(());
        let (first, last) = (within.start, within.end);
        self.mapped(within, &mut |range| {
            let Ok(range) = range else {
                return ControlFlow::Continue(());
            };
            // A large page may reach over either end.
            let before = first.0.saturating_sub(range.start.0);
            let after = range
                .start
                .0
                .saturating_add(range.len)
                .saturating_sub(last.0);
            let len = range.len.saturating_sub(before).saturating_sub(after);
            let start = range.start.plus(before);
            let run = PhysRun {
                start: range.phys.plus(before),
                len,
            };
            match &mut pending {
                Some((at, joined)) if at.plus(joined.len) == start && joined.end() == run.start => {
                    joined.len = joined.len.saturating_add(len);
                }
                _ => {
                    if let Some((at, run)) = pending.replace((start, run)) {
                        flow = self.sweep_run(at, run, &mut seam, visit);
                    }
                }
            }
            flow
        });
        flow?;
        match pending {
            Some((at, run)) => self.sweep_run(at, run, &mut seam, visit),
            None => ControlFlow::Continue(()),
        }
    }

    fn sweep_run(
        &self,
        at: VirtAddr,
        run: PhysRun,
        seam: &mut Seam,
        visit: Visit<'_, VirtAddr>,
    ) -> ControlFlow<()> {
        self.memory()
            .sweep(run, WINDOW, &mut |pa: PhysAddr, bytes| {
                let va = at.plus(pa.since(run.start));
                seam.cross(va, bytes, visit)?;
                visit(va, bytes)
            })
    }
}

/// The end of the last window, kept to be shown with the start of the next.
struct Seam {
    join: usize,
    tail: Vec<u8>,
    next: VirtAddr,
}

impl Seam {
    fn cross(&mut self, va: VirtAddr, bytes: &[u8], visit: Visit<'_, VirtAddr>) -> ControlFlow<()> {
        if self.join == 0 {
            return ControlFlow::Continue(());
        }
        let mut flow = ControlFlow::Continue(());
        if va == self.next && !self.tail.is_empty() {
            let before = va.minus(self.tail.len() as u64);
            let head = bytes.get(..self.join).unwrap_or(bytes);
            self.tail.extend_from_slice(head);
            flow = visit(before, &self.tail);
        }
        self.tail.clear();
        let from = bytes.len().saturating_sub(self.join);
        self.tail
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        self.next = va.plus(bytes.len() as u64);
        flow
    }
}
