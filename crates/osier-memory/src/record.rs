//! Remembers which pages were read, for distilling a snapshot and for measuring the floor.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Cause, Chunk, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory, Visit};

/// A memory that remembers which pages were read through it, and which could not be.
///
/// Sweeps pass unrecorded: a search must confirm what it finds by reading it.
pub struct Recorder {
    inner: Arc<dyn PhysicalMemory>,
    touched: Mutex<BTreeSet<u64>>,
    /// For each page of which bytes could not be read, the first of them and why.
    missed: Mutex<BTreeMap<u64, (PhysAddr, Cause)>>,
}

impl Recorder {
    /// Starts recording reads of `inner`.
    pub fn new(inner: Arc<dyn PhysicalMemory>) -> Self {
        Self {
            inner,
            touched: Mutex::new(BTreeSet::new()),
            missed: Mutex::new(BTreeMap::new()),
        }
    }

    /// The pages read so far, as physical addresses of their first bytes, ascending.
    pub fn touched(&self) -> Vec<PhysAddr> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.iter().copied().map(PhysAddr).collect()
    }

    /// What could not be read since this was asked before, and why, ascending: whole pages, or the
    /// rest of one whose first bytes were read.
    pub fn take_missed(&self) -> Vec<(PhysRun, Cause)> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = std::mem::take(&mut *missed).into_iter();
        let runs = runs.map(|(page, (first, cause))| {
            let start = if touched.contains(&page) {
                first
            } else {
                PhysAddr(page)
            };
            let len = PAGE_BYTES.wrapping_sub(start.in_page());
            let at_start = self.inner.chunk(start).err().map(|fault| fault.cause);
            (PhysRun { start, len }, at_start.unwrap_or(cause))
        });
        runs.collect()
    }
}

impl PhysicalMemory for Recorder {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let chunk = self.inner.chunk(pa).inspect_err(|fault| {
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            let first = missed.entry(pa.page().0).or_insert((pa, fault.cause));
            if pa < first.0 {
                *first = (pa, fault.cause);
            }
        })?;
        self.touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pa.page().0);
        // Cut at the page's end, so that each page read is asked for.
        Ok(chunk.truncated(PAGE_BYTES.wrapping_sub(pa.in_page()) as usize))
    }

    fn lost(&self) -> Vec<(PhysRun, Cause)> {
        self.inner.lost()
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        self.inner.sweep(run, window, visit)
    }
}
