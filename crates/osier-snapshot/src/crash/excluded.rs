//! Memory of which the writer left pages out, and said so.

use std::ops::ControlFlow;

use osier_memory::{Cause, Chunk, Fault, Filter, Page, PhysAddr, PhysRun, PhysicalMemory, Visit};

/// A memory and the machine's RAM: what lies in the RAM and is not held was left out on purpose.
pub(super) struct Excluding<M> {
    pub(super) held: M,
    /// Sorted by start.
    pub(super) ram: Vec<PhysRun>,
}

impl<M: PhysicalMemory> PhysicalMemory for Excluding<M> {
    fn runs(&self) -> &[PhysRun] {
        self.held.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        self.held.chunk(pa).map_err(|fault| {
            let next = self.ram.partition_point(|run| run.start <= pa);
            let run = next.checked_sub(1).and_then(|index| self.ram.get(index));
            if fault.cause == Cause::NotCaptured && run.is_some_and(|run| run.contains(pa)) {
                let filter = Filter::DumpLevel;
                Fault {
                    cause: Cause::Excluded { filter },
                    ..fault
                }
            } else {
                fault
            }
        })
    }

    fn lost(&self) -> Vec<(PhysRun, Cause)> {
        self.held.lost()
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        self.held.page(pa)
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        self.held.sweep(run, window, visit)
    }
}
