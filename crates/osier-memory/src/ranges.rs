//! The mapped ranges of an address space, absent tables passed over.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use crate::physical::uint;
use crate::{AddressSpace, Cause, Each, Fault, Paging, PhysAddr, VirtAddr};

/// Adjacent pages of one size and one set of rights that lie side by side in physical memory too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// First virtual address.
    pub start: VirtAddr,
    /// Length in bytes.
    pub len: u64,
    /// Physical address of the first byte.
    pub phys: PhysAddr,
    /// Bytes of each page: 4 KiB, 2 MiB, 4 MiB or 1 GiB.
    pub page_bytes: u64,
    /// Rights and marks.
    pub flags: PageFlags,
}

/// What the tables say of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one bit of a page-table entry"
)]
pub struct PageFlags {
    /// Every level allows writing.
    pub write: bool,
    /// Every level allows user mode.
    pub user: bool,
    /// Some level forbids execution.
    pub no_execute: bool,
    /// The mapping entry is global.
    pub global: bool,
    /// The mapping entry was accessed.
    pub accessed: bool,
    /// The mapping entry was written through.
    pub dirty: bool,
    /// The processor does not keep copies of it as of memory (PCD or PWT): it is a device's.
    pub uncached: bool,
    /// The processor finds the page not present, but the operating system keeps it in memory.
    pub kept: bool,
}

const PS: u64 = 1 << 7;
const NX: u64 = 1 << 63;
/// PWT and PCD.
const UNCACHED: u64 = 3 << 3;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const GLOBAL: u64 = 1 << 8;
/// What an entry says of a page besides rights.
const MARKS: u64 = ACCESSED | DIRTY | GLOBAL;
/// How often a table of large pages may be met again: Linux shares those of hugetlbfs between the
/// mappings of one file, within a process too.
const SHARED_LIMIT: u32 = 4096;

/// The tables of a process, each by its depth, and how many large ones were met again.
#[derive(Default)]
struct OwnTables {
    depths: HashMap<PhysAddr, usize>,
    shared: u32,
}

impl OwnTables {
    /// Whether the table at `at` may be entered at `depth`, where tables have this `level`.
    fn enter(&mut self, at: PhysAddr, depth: usize, level: u8) -> bool {
        match self.depths.insert(at, depth) {
            None => true,
            Some(before) => {
                self.shared = self.shared.saturating_add(1);
                before == depth && level == 2 && self.shared <= SHARED_LIMIT
            }
        }
    }
}

/// The tables that descents met and need not enter again; see [`AddressSpace::mapped_where`].
#[derive(Debug, Default)]
pub struct TablesMet {
    /// Tables (by mode and depth) that hold nothing that is wanted. Tables may share tables and point
    /// at themselves; what is known to be empty is not entered again, so that each step of a descent
    /// either finds something to show or is its last of that kind.
    empty: HashSet<(Paging, usize, PhysAddr)>,
    entered: u64,
    limit: Option<u64>,
}

impl TablesMet {
    /// None met yet; at most `limit` will be entered, one counted as often as it is entered.
    pub fn with_limit(limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..Self::default()
        }
    }

    /// Whether the limit ended a descent.
    pub fn exhausted(&self) -> bool {
        self.limit.is_some_and(|limit| self.entered > limit)
    }

    fn enter(&mut self) -> ControlFlow<()> {
        self.entered = self.entered.saturating_add(1);
        if self.exhausted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Whether a page, or the fault of a stretch, is wanted.
type Want<'w> = dyn FnMut(Result<&MappedRange, &Fault>) -> bool + 'w;

/// The state of one descent.
struct Descent<'a> {
    space: &'a AddressSpace,
    within: Range<u64>,
    pending: Option<MappedRange>,
    /// Pages and faults met so far that are wanted.
    met: u64,
    /// The tables met, when each may be met but once.
    own: Option<OwnTables>,
    tables: &'a mut TablesMet,
    /// Which pages and faults are wanted; `None` for all.
    want: Option<&'a mut Want<'a>>,
    visit: Each<'a, Result<MappedRange, Fault>>,
    /// The bits of an entry that tell ranges apart.
    told: u64,
}

impl AddressSpace {
    /// Shows the mapped ranges inside `within` in ascending order. A stretch of a table that cannot
    /// be read is shown as the fault of its first entry, with the first virtual address it would
    /// map, and passed over.
    ///
    /// `within` counts in canonical addresses; its end is exclusive, so the last byte of the
    /// address space is never asked for. A page that lies partly inside is shown whole. Tables that
    /// point at themselves can map more than any memory holds: `visit` ends what it finds too long.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use osier_memory::{AddressSpace, VirtAddr};
    ///
    /// fn list(space: &AddressSpace) {
    ///     space.mapped(VirtAddr(0)..VirtAddr(1 << 47), &mut |range| {
    ///         match range {
    ///             Ok(range) => println!("{} {} bytes at {}", range.start, range.len, range.phys),
    ///             Err(fault) => println!("{fault}"),
    ///         }
    ///         ControlFlow::Continue(())
    ///     });
    /// }
    /// ```
    pub fn mapped(&self, within: Range<VirtAddr>, visit: Each<'_, Result<MappedRange, Fault>>) {
        let tables = &mut TablesMet::default();
        self.descend(within, None, tables, None, visit, u64::MAX);
    }

    /// As [`mapped`](Self::mapped), of rights alone: pages that differ in nothing but whether they are global,
    /// accessed or dirty lie in one range, which says that they are neither.
    pub fn mapped_rights(
        &self,
        within: Range<VirtAddr>,
        visit: Each<'_, Result<MappedRange, Fault>>,
    ) {
        let tables = &mut TablesMet::default();
        self.descend(within, None, tables, None, visit, !MARKS);
    }

    /// Like [`mapped`](Self::mapped), for the user half of a process, which has each of its tables
    /// once. A table that was met before, itself above all, is not entered but shown as a fault of
    /// [`Cause::TableAgain`] with the table's place, so that no more is shown than memory can hold
    /// tables for. A table of large pages may be shared, as Linux does for hugetlbfs.
    pub fn mapped_once(
        &self,
        within: Range<VirtAddr>,
        visit: Each<'_, Result<MappedRange, Fault>>,
    ) {
        let mut own = OwnTables::default();
        own.depths.insert(self.root(), 0);
        let tables = &mut TablesMet::default();
        self.descend(within, Some(own), tables, None, visit, u64::MAX);
    }

    /// As [`mapped`](Self::mapped), but only the pages that `want` says yes to: neither others nor
    /// faults are shown. `tables` remembers which tables hold none, for this descent and for those of
    /// other roots of the same memory that want the same, so that tables which alias large stretches
    /// are gone through once.
    pub fn mapped_where(
        &self,
        within: Range<VirtAddr>,
        tables: &mut TablesMet,
        want: &mut dyn FnMut(&MappedRange) -> bool,
        visit: Each<'_, MappedRange>,
    ) {
        let mut want = |met: Result<&MappedRange, &Fault>| met.is_ok_and(&mut *want);
        let visit = &mut |range| match range {
            Ok(range) => visit(range),
            Err(_) => ControlFlow::Continue(()),
        };
        self.descend(within, None, tables, Some(&mut want), visit, u64::MAX);
    }

    fn descend<'a>(
        &'a self,
        within: Range<VirtAddr>,
        own: Option<OwnTables>,
        tables: &'a mut TablesMet,
        want: Option<&'a mut Want<'a>>,
        visit: Each<'a, Result<MappedRange, Fault>>,
        told: u64,
    ) {
        let within = within.start.0..within.end.0;
        let mut descent = Descent {
            space: self,
            within,
            pending: None,
            met: 0,
            own,
            tables,
            want,
            visit,
            told,
        };
        if descent
            .table(0, self.root(), VirtAddr(0), u64::MAX)
            .is_continue()
        {
            let _ = descent.flush();
        }
    }
}

impl Descent<'_> {
    fn wants(&mut self, met: Result<&MappedRange, &Fault>) -> bool {
        self.want.as_mut().is_none_or(|want| want(met))
    }

    fn flush(&mut self) -> ControlFlow<()> {
        match self.pending.take() {
            Some(range) => (self.visit)(Ok(range)),
            None => ControlFlow::Continue(()),
        }
    }

    /// Adds a page as it lies in memory: an A20 mask folds a large page over itself.
    fn page(&mut self, page: MappedRange) -> ControlFlow<()> {
        let mask = self.space.a20_mask();
        if mask == u64::MAX {
            return self.add(page);
        }
        let piece = page.len.min(1 << mask.trailing_ones().max(12));
        let mut by = 0;
        while by < page.len {
            self.add(MappedRange {
                start: page.start.plus(by),
                len: piece,
                phys: PhysAddr(page.phys.plus(by).0 & mask),
                ..page
            })?;
            by = by.saturating_add(piece);
        }
        ControlFlow::Continue(())
    }

    fn add(&mut self, next: MappedRange) -> ControlFlow<()> {
        if let Some(last) = &mut self.pending {
            let joins = last.start.plus(last.len) == next.start
                && last.phys.plus(last.len) == next.phys
                && last.page_bytes == next.page_bytes
                && last.flags == next.flags;
            if joins {
                last.len = last.len.wrapping_add(next.len);
                return ControlFlow::Continue(());
            }
        }
        self.flush()?;
        self.pending = Some(next);
        ControlFlow::Continue(())
    }

    /// Descends into the table at `at`, which maps the addresses from `base` on. `rights` are the
    /// flags and-ed so far, NX inverted.
    fn table(
        &mut self,
        depth: usize,
        at: PhysAddr,
        base: VirtAddr,
        rights: u64,
    ) -> ControlFlow<()> {
        self.tables.enter()?;
        let mode = self.space.mode();
        let Some((bits, shift)) = mode.table_shape(depth) else {
            return ControlFlow::Continue(());
        };
        let span = 1_u64 << shift;
        let level = u8::try_from(mode.depth().saturating_sub(depth)).unwrap_or(0);
        let width = mode.entry_bytes();
        // A table lies in one page. Where the memory gives pages away, one page serves all entries.
        let page = self
            .space
            .memory()
            .page(PhysAddr(at.0 & self.space.a20_mask()));
        let held = |pa: PhysAddr| uint(page.as_ref()?.get(pa.in_page() as usize..)?, width);
        let mut dark = false;
        let mut indices = 0..1_u64 << bits;
        let ends = [self.within.start, self.within.end.wrapping_sub(1)];
        if depth == 0 && ends.iter().all(|&end| mode.canonical(VirtAddr(end))) {
            // Canonical addresses rise with the index of the root.
            let [first, last] = ends.map(|end| end >> shift & indices.end.wrapping_sub(1));
            indices = first..last.saturating_add(1);
        } else if depth > 0 {
            // Below the root, addresses rise with the index.
            let into = |at: u64| at.saturating_sub(base.0);
            indices.start = into(self.within.start) >> shift;
            indices.end = indices.end.min(into(self.within.end).div_ceil(span));
        }
        while let Some(index) = indices.next() {
            let va = mode.canonicalise(base.plus(index.wrapping_shl(shift)));
            let last = va.0.saturating_add(span.wrapping_sub(1));
            if last < self.within.start || va.0 >= self.within.end {
                continue;
            }
            let pa = at.plus(index.wrapping_mul(width as u64));
            let pa = PhysAddr(pa.0 & self.space.a20_mask());
            let stored = match held(pa).map_or_else(|| self.space.memory().read_uint(pa, width), Ok)
            {
                Ok(stored) => stored,
                Err(fault) => {
                    let fault = fault.with_va(va).with_level(level);
                    if !dark && self.wants(Err(&fault)) {
                        dark = true; // one fault speaks for the stretch
                        self.met = self.met.wrapping_add(1);
                        self.flush()?;
                        (self.visit)(Err(fault))?;
                    }
                    continue;
                }
            };
            dark = false;
            if stored == 0 {
                continue;
            }
            let mut entry = stored;
            let mut kept = false;
            if entry & 1 == 0 {
                match self.space.tables().resolve(level, entry, va) {
                    Ok(as_if) => {
                        entry = as_if;
                        kept = true;
                    }
                    Err(_) => continue,
                }
            }
            let rights = if mode == Paging::Pae && level == 3 {
                rights
            } else {
                rights & (entry ^ NX)
            };
            let large = match (mode, level) {
                (Paging::Legacy | Paging::Pae, 2) | (Paging::Long4 | Paging::Long5, 2 | 3) => {
                    entry & PS != 0
                }
                (_, level) => level == 1,
            };
            if large {
                let tables = self.space.tables();
                let phys = PhysAddr(tables.frame_of(entry, span));
                let flags = PageFlags {
                    write: rights & 2 != 0,
                    user: rights & 4 != 0,
                    no_execute: rights & NX == 0 && width == 8,
                    global: entry & self.told & GLOBAL != 0,
                    accessed: entry & self.told & ACCESSED != 0,
                    dirty: entry & self.told & DIRTY != 0,
                    uncached: entry & UNCACHED != 0,
                    kept,
                };
                let mut len = span;
                if depth > 0 && self.want.is_none() && self.space.a20_mask() == u64::MAX && !kept {
                    // Entries that go on where this one ends make one range.
                    let goes_on = |next: u64, len: u64| {
                        (next ^ entry.wrapping_add(len)) & self.told == 0
                            && tables.frame_of(next, span) == phys.0.wrapping_add(len)
                    };
                    let place = |index: u64| at.plus(index.wrapping_mul(width as u64));
                    while let Some(next) = indices.clone().next()
                        && held(place(next)).is_some_and(|next| goes_on(next, len))
                    {
                        len = len.wrapping_add(span);
                        indices.next();
                    }
                }
                let range = MappedRange {
                    start: va,
                    len,
                    phys,
                    page_bytes: span,
                    flags,
                };
                if self.wants(Ok(&range)) {
                    self.met = self.met.wrapping_add(1);
                    self.page(range)?;
                }
            } else {
                let below = depth.saturating_add(1);
                let next = PhysAddr(self.space.tables().frame_of(entry, 0x1000));
                if let Some(own) = &mut self.own
                    && !own.enter(next, below, level.saturating_sub(1))
                {
                    self.flush()?;
                    let fault = Fault::at_phys(Cause::TableAgain, next);
                    (self.visit)(Err(fault.with_va(va).with_level(level)))?;
                    continue;
                }
                if self.tables.empty.contains(&(mode, below, next)) {
                    continue;
                }
                let before = self.met;
                self.table(below, next, va, rights)?;
                let whole = va.0 >= self.within.start && last < self.within.end;
                if whole && self.met == before {
                    self.tables.empty.insert((mode, below, next));
                }
            }
        }
        ControlFlow::Continue(())
    }
}
