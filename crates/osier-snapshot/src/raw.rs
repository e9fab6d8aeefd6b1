//! Runs of a file that stand for runs of physical memory: the memory behind raw dumps and cores.

use std::ops::ControlFlow;

use osier_memory::{Cause, Chunk, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

use crate::map::FileMap;

/// A stretch of the file that is a stretch of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Physical address of the first byte.
    pub(crate) start: PhysAddr,
    /// Bytes that the file holds.
    pub(crate) len: u64,
    /// Their file offset.
    pub(crate) offset: u64,
}

/// Physical memory in uncompressed extents of one file.
pub(crate) struct ExtentMemory {
    map: FileMap,
    /// Sorted by address, disjoint.
    extents: Vec<Extent>,
    runs: Vec<PhysRun>,
    /// RAM that the headers name but the file does not hold.
    uncaptured: Vec<PhysRun>,
}

impl ExtentMemory {
    /// The memory of `extents`; of two that overlap, the later keeps what the earlier leaves.
    pub(crate) fn new(map: FileMap, mut extents: Vec<Extent>, uncaptured: Vec<PhysRun>) -> Self {
        extents.retain(|extent| extent.len > 0);
        extents.sort_by_key(|extent| extent.start);
        let mut disjoint: Vec<Extent> = Vec::with_capacity(extents.len());
        for mut extent in extents {
            if let Some(last) = disjoint.last() {
                let end = last.start.0.saturating_add(last.len);
                if extent.start.0 < end {
                    let cut = end.saturating_sub(extent.start.0).min(extent.len);
                    extent.start = extent.start.plus(cut);
                    extent.offset = extent.offset.saturating_add(cut);
                    extent.len = extent.len.saturating_sub(cut);
                }
            }
            if extent.len > 0 {
                disjoint.push(extent);
            }
        }
        let mut runs: Vec<PhysRun> = Vec::new();
        for extent in &disjoint {
            match runs.last_mut() {
                Some(last) if last.end() == extent.start => {
                    last.len = last.len.saturating_add(extent.len);
                }
                _ => runs.push(PhysRun {
                    start: extent.start,
                    len: extent.len,
                }),
            }
        }
        Self {
            map,
            extents: disjoint,
            runs,
            uncaptured,
        }
    }

    fn extent(&self, pa: PhysAddr) -> Option<&Extent> {
        let after = self.extents.partition_point(|extent| extent.start <= pa);
        let extent = self.extents.get(after.checked_sub(1)?)?;
        (pa.since(extent.start) < extent.len).then_some(extent)
    }

    fn missing(&self, pa: PhysAddr) -> Fault {
        let cause = if self.uncaptured.iter().any(|run| run.contains(pa)) {
            Cause::NotCaptured
        } else if self.runs.last().is_none_or(|last| pa >= last.end()) {
            Cause::NoRam
        } else {
            Cause::NotCaptured
        };
        Fault::at_phys(cause, pa)
    }
}

impl PhysicalMemory for ExtentMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let extent = self.extent(pa).ok_or_else(|| self.missing(pa))?;
        let inside = pa.since(extent.start);
        let offset = extent.offset.saturating_add(inside);
        let end = offset.saturating_add(extent.len.saturating_sub(inside));
        let (from, to) = (offset as usize, (end as usize).min(self.map.len()));
        match self.map.get(from..to) {
            Some(bytes) if !bytes.is_empty() => Ok(Chunk::borrowed(bytes)),
            _ => Err(Fault::at_phys(Cause::FileShort { offset }, pa)),
        }
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let page = PAGE_BYTES as usize;
        let mut buffer = vec![0; window.max(page).next_multiple_of(page)];
        for extent in &self.extents {
            let start = extent.start.max(run.start);
            let end = extent.start.plus(extent.len).min(run.end());
            let mut at = start;
            while at < end {
                let first = buffer.len().saturating_sub(at.in_page() as usize);
                let n = first.min(end.since(at) as usize);
                let offset = extent.offset.saturating_add(at.since(extent.start));
                let Some(into) = buffer.get_mut(..n) else {
                    break;
                };
                let read = self.map.read_at(offset, into).unwrap_or(0);
                if read == 0 {
                    break;
                }
                visit(at, into.get(..read).unwrap_or_default())?;
                at = at.plus(read as u64);
            }
        }
        ControlFlow::Continue(())
    }
}
