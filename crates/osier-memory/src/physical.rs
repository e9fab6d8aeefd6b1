//! Guest-physical memory as a snapshot holds it.

use std::ops::{ControlFlow, Deref, Range};
use std::sync::Arc;

use crate::{Cause, Fault, PAGE_BYTES, PhysAddr, Visit};

/// A page of zeros, for formats that say "this page is zero" without storing it.
pub static ZERO_PAGE: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// A stretch of RAM: `[start, start + len)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysRun {
    /// First byte.
    pub start: PhysAddr,
    /// Length in bytes.
    pub len: u64,
}

impl PhysRun {
    /// The first address past the run.
    pub const fn end(self) -> PhysAddr {
        PhysAddr(self.start.0.saturating_add(self.len))
    }

    /// Whether `pa` lies inside.
    pub const fn contains(self, pa: PhysAddr) -> bool {
        pa.0 >= self.start.0 && pa.0.wrapping_sub(self.start.0) < self.len
    }
}

/// Bytes of physical memory: borrowed from the mapped file, or one decoded page.
#[derive(Clone, Debug)]
pub struct Chunk<'a>(Inner<'a>);

#[derive(Clone, Debug)]
enum Inner<'a> {
    Borrowed(&'a [u8]),
    Decoded {
        page: Arc<[u8]>,
        range: Range<usize>,
    },
}

impl<'a> Chunk<'a> {
    /// A chunk that borrows from the map.
    pub const fn borrowed(bytes: &'a [u8]) -> Self {
        Self(Inner::Borrowed(bytes))
    }

    /// A chunk of a decoded page, from byte `start` to its end.
    pub fn decoded(page: Arc<[u8]>, start: usize) -> Self {
        let range = start.min(page.len())..page.len();
        Self(Inner::Decoded { page, range })
    }

    /// The same chunk without its first `n` bytes.
    #[must_use]
    pub fn advanced(self, n: usize) -> Self {
        match self.0 {
            Inner::Borrowed(bytes) => Self(Inner::Borrowed(bytes.get(n..).unwrap_or_default())),
            Inner::Decoded { page, range } => {
                let start = range.end.min(range.start.saturating_add(n));
                Self(Inner::Decoded {
                    page,
                    range: start..range.end,
                })
            }
        }
    }

    /// The same chunk, cut to at most `max` bytes.
    #[must_use]
    pub fn truncated(self, max: usize) -> Self {
        match self.0 {
            Inner::Borrowed(bytes) => Self(Inner::Borrowed(bytes.get(..max).unwrap_or(bytes))),
            Inner::Decoded { page, range } => {
                let end = range.end.min(range.start.saturating_add(max));
                Self(Inner::Decoded {
                    page,
                    range: range.start..end,
                })
            }
        }
    }
}

impl Deref for Chunk<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Borrowed(bytes) => bytes,
            Inner::Decoded { page, range } => page.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// A page of 4 KiB that whoever asked for it may keep.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page itself, or more that was read with it.
    unit: Arc<[u8]>,
    start: usize,
}

impl Page {
    /// The page that starts at byte `start` of `unit`; `None` when that does not hold all of it.
    pub fn of(unit: Arc<[u8]>, start: usize) -> Option<Self> {
        let end = start.checked_add(PAGE_BYTES as usize)?;
        (end <= unit.len()).then_some(Self { unit, start })
    }

    /// The bytes of the page from `start` on.
    pub(crate) fn chunk<'a>(self, start: usize) -> Chunk<'a> {
        let end = self.start.saturating_add(PAGE_BYTES as usize);
        Chunk(Inner::Decoded {
            range: self.start.saturating_add(start).min(end)..end,
            page: self.unit,
        })
    }

    /// The little-endian integer of `width` bytes at byte `start`; `None` when the page does not have all
    /// of it, and of a width that no integer has.
    pub(crate) fn uint(&self, start: usize, width: usize) -> Option<u64> {
        let end = self.start.wrapping_add(PAGE_BYTES as usize);
        uint(self.unit.get(self.start.wrapping_add(start)..end)?, width)
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let end = self.start.saturating_add(PAGE_BYTES as usize);
        self.unit.get(self.start..end).unwrap_or_default()
    }
}

/// What a snapshot format gives: the machine's RAM by guest-physical address.
///
/// Implementations are immutable and shared between threads; a bounded cache of decoded pages
/// behind a lock is the one state they may keep.
pub trait PhysicalMemory: Send + Sync {
    /// The RAM that the file holds, sorted, disjoint and not adjacent.
    fn runs(&self) -> &[PhysRun];

    /// The longest cheap stretch that starts at `pa`: borrowed from the map to the end of its run,
    /// or the rest of one decoded page. Never empty.
    ///
    /// # Errors
    ///
    /// A [`Fault`] that names `pa` and says why the byte is not there.
    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault>;

    /// The whole page of 4 KiB that holds `pa`, of a memory that has its pages as units which whoever
    /// asked may keep: copied out of the file, or decoded. `None` where the page is no such unit, and
    /// of a memory that wants to see every read; [`chunk`](Self::chunk) then has the bytes, or says
    /// why there are none.
    fn page(&self, pa: PhysAddr) -> Option<Page> {
        let _ = pa;
        None
    }

    /// Stretches that the file should hold and does not, and why, as far as that is known without
    /// reading: for whoever writes the memory down somewhere else.
    fn lost(&self) -> Vec<(PhysRun, Cause)> {
        Vec::new()
    }

    /// Shows every captured byte of `run` in ascending windows of at most `window` bytes, for
    /// searches. A window never crosses a hole; holes are passed over. A file-backed memory reads
    /// into a buffer here, so that a search does not map the whole file into the process.
    ///
    /// `window` is rounded up to whole pages. Windows start at page boundaries, except at the
    /// start of a run that does not.
    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        sweep_chunks(self, run, window, visit)
    }

    /// Fills `buf` from `pa` on.
    ///
    /// # Errors
    ///
    /// The fault of the first byte that could not be read; `buf` is then filled up to that byte.
    fn read(&self, pa: PhysAddr, buf: &mut [u8]) -> Result<(), Fault> {
        let mut at = pa;
        let mut rest = buf;
        while !rest.is_empty() {
            let chunk = self.chunk(at)?;
            let n = chunk.len().min(rest.len());
            if n == 0 {
                return Err(Fault::at_phys(Cause::NotCaptured, at));
            }
            let (head, tail) = rest.split_at_mut(n);
            head.copy_from_slice(chunk.get(..n).unwrap_or_default());
            rest = tail;
            at = at.plus(n as u64);
        }
        Ok(())
    }

    /// The little-endian integer of `width` bytes (1 to 8) at `pa`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_uint(&self, pa: PhysAddr, width: usize) -> Result<u64, Fault> {
        let chunk = self.chunk(pa)?;
        if let Some(value) = uint(&chunk, width) {
            return Ok(value);
        }
        let mut raw = [0_u8; 8];
        let width = width.min(raw.len());
        self.read(pa, raw.get_mut(..width).unwrap_or_default())?;
        Ok(u64::from_le_bytes(raw))
    }

    /// As [`read_uint`](Self::read_uint), of a place near which nothing else will be read soon: a memory that
    /// copies its pages out of a file copies these bytes alone.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_uint_alone(&self, pa: PhysAddr, width: usize) -> Result<u64, Fault> {
        self.read_uint(pa, width)
    }
}

/// The little-endian integer of `width` bytes at the start of `bytes`; `None` when there are fewer, and of a width
/// that no integer has.
pub(crate) fn uint(bytes: &[u8], width: usize) -> Option<u64> {
    // Copies of a known length are plain loads.
    match width {
        8 => bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
        4 => bytes
            .first_chunk()
            .map(|bytes| u64::from(u32::from_le_bytes(*bytes))),
        2 => bytes
            .first_chunk()
            .map(|bytes| u64::from(u16::from_le_bytes(*bytes))),
        1 => bytes.first().map(|&byte| u64::from(byte)),
        _ => None,
    }
}

/// The [`PhysicalMemory::sweep`] of a memory that has no better way: chunk by chunk.
pub(crate) fn sweep_chunks<M: PhysicalMemory + ?Sized>(
    memory: &M,
    run: PhysRun,
    window: usize,
    visit: Visit<'_, PhysAddr>,
) -> ControlFlow<()> {
    let page = PAGE_BYTES as usize;
    let window = window.max(page).next_multiple_of(page);
    let mut at = run.start;
    while run.contains(at) {
        let left = run.end().since(at);
        match memory.chunk(at) {
            Ok(chunk) => {
                // Keep windows page-aligned when the run starts inside a page.
                let max = window.saturating_sub(at.in_page() as usize);
                let n = chunk
                    .len()
                    .min(max)
                    .min(usize::try_from(left).unwrap_or(max))
                    .max(1);
                visit(at, chunk.get(..n).unwrap_or(&chunk))?;
                at = at.plus(n as u64);
            }
            Err(_) => at = at.page().plus(PAGE_BYTES),
        }
        if at.0 == 0 {
            break; // wrapped at the top of the address space
        }
    }
    ControlFlow::Continue(())
}

impl<M: PhysicalMemory + ?Sized> PhysicalMemory for Arc<M> {
    fn runs(&self) -> &[PhysRun] {
        (**self).runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        (**self).chunk(pa)
    }

    fn page(&self, pa: PhysAddr) -> Option<Page> {
        (**self).page(pa)
    }

    fn read_uint_alone(&self, pa: PhysAddr, width: usize) -> Result<u64, Fault> {
        (**self).read_uint_alone(pa, width)
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        (**self).sweep(run, window, visit)
    }
}
