//! Remembers which pages were read, for distilling a snapshot and for measuring the floor.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Chunk, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

/// A memory that remembers which pages were read through it.
///
/// Sweeps pass unrecorded: a search must confirm what it finds by reading it.
pub struct Recorder {
    inner: Arc<dyn PhysicalMemory>,
    touched: Mutex<BTreeSet<u64>>,
}

impl Recorder {
    /// Starts recording reads of `inner`.
    pub fn new(inner: Arc<dyn PhysicalMemory>) -> Self {
        Self {
            inner,
            touched: Mutex::new(BTreeSet::new()),
        }
    }

    /// The pages read so far, as physical addresses of their first bytes, ascending.
    pub fn touched(&self) -> Vec<PhysAddr> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.iter().copied().map(PhysAddr).collect()
    }
}

impl PhysicalMemory for Recorder {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let chunk = self.inner.chunk(pa)?;
        self.touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pa.page().0);
        // Cut at the page's end, so that each page read is asked for.
        Ok(chunk.truncated(PAGE_BYTES.wrapping_sub(pa.in_page()) as usize))
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.inner.sweep(run, window, visit)
    }
}
