//! A small file, copied whole when it is opened.

use std::cell::Cell;
use std::io;
use std::iter;
use std::sync::Arc;

use osier_memory::Page;

/// The largest file that is read whole, and what room for one is a multiple of.
const LARGEST: usize = 16 << 20;
const ROOM: usize = 1 << 20;

thread_local! {
    /// The room of the file that this thread let go of last, for the next: memory that was touched.
    static SPARE: Cell<Option<Arc<[u8]>>> = const { Cell::new(None) };
}

/// All bytes of a file.
pub(crate) struct Whole {
    /// The file's bytes, and behind them what is no file's.
    room: Arc<[u8]>,
    len: usize,
}

impl Whole {
    /// The `len` bytes that `fill` reads, which says how many it did. `None` of too many, and where one cannot be
    /// read: who asks for it is told.
    pub(crate) fn of(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Option<Self> {
        if len > LARGEST {
            return None;
        }
        let fits = |room: &Arc<[u8]>| room.len() >= len && Arc::strong_count(room) == 1;
        let new = || iter::repeat_n(0, len.next_multiple_of(ROOM)).collect();
        let mut room: Arc<[u8]> = SPARE.take().filter(fits).unwrap_or_else(new);
        let filled = fill(Arc::get_mut(&mut room)?.get_mut(..len)?);
        (filled.ok()? == len).then_some(Self { room, len })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// The page that starts at byte `start`; `None` when the file does not hold all of it.
    pub(crate) fn page(&self, start: u64) -> Option<Page> {
        let start = usize::try_from(start).ok()?;
        Page::of(Arc::clone(&self.room), start).filter(|page| {
            let end = start.saturating_add(page.len());
            end <= self.len
        })
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Whoever keeps a page of it keeps it; the next file takes it when nobody does.
        SPARE.set(Some(Arc::clone(&self.room)));
    }
}
