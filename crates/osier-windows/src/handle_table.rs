//! Tables of handles: that of ids, and that of each process.
//!
//! ```text
//!   _HANDLE_TABLE.TableCode ──► [pages of pointers ──►] pages of entries
//! ```
//!
//! Entry n belongs to the handle or id 4n; the first entry of a page belongs to nobody. The low two bits of
//! `TableCode` count the levels above the entries.
//!
//! Sources: `_HANDLE_TABLE` and `_HANDLE_TABLE_ENTRY` of Microsoft's kernel PDBs from XP to 11;
//! Windows Internals, 7th edition, part 2, chapter 8, "Object handles and the process handle table".

use osier_memory::{Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Guard, WalkEnd, WalkEnds};

use crate::layouts::handles::{Layout, Object};
use crate::symbols;
use crate::windows::Windows;

const PAGE: usize = PAGE_BYTES as usize;
/// More pages than such a table has, of either width.
const PAGES: usize = 1 << 17;
/// The most entries of a table: `MAX_HANDLES`. The topmost of three levels has room for these.
pub(crate) const MOST: usize = 1 << 24;

/// One page of entries.
pub(crate) struct Leaf {
    pub(crate) at: VirtAddr,
    /// The number of its first entry.
    pub(crate) first: u64,
}

/// What endings call a table, and its pages held against the number that the table says.
pub(crate) struct Names {
    pub(crate) walk: &'static str,
    pub(crate) pages: &'static str,
}

/// A table as it stands in memory.
pub(crate) struct Table<'w> {
    windows: &'w Windows,
    layout: Layout,
    names: &'static Names,
    pub(crate) ends: WalkEnds,
    met: Guard,
}

impl<'w> Table<'w> {
    pub(crate) fn new(windows: &'w Windows, layout: Layout, names: &'static Names) -> Self {
        Self {
            windows,
            layout,
            names,
            ends: WalkEnds::default(),
            met: Guard::new(PAGES),
        }
    }

    fn word(&self) -> usize {
        usize::from(self.windows.guest.pointer_bytes())
    }

    /// Notes that `from` leads nowhere.
    pub(crate) fn broken(&mut self, from: VirtAddr, to: Option<VirtAddr>, fault: Fault) {
        let end = WalkEnd::BrokenLink { from, to, fault };
        self.ends.add(self.names.walk, end);
    }

    /// The pages of entries of the table at `table`, in the order of their handles. `missing` is what the
    /// walk cannot start without.
    pub(crate) fn leaves(&mut self, table: Result<VirtAddr, Fault>, missing: &str) -> Vec<Leaf> {
        let space = &self.windows.guest.space;
        let layout = self.layout;
        let head = || {
            let table = table?;
            let code = layout.table_code.read(space, table)?;
            Ok::<_, Fault>((code, layout.end.read(space, table)?))
        };
        let (code, end) = match head() {
            Ok(head) => head,
            Err(fault) => {
                let end = WalkEnd::no_start(missing, fault);
                self.ends.add(self.names.walk, end);
                return Vec::new();
            }
        };
        let levels = code & 3;
        let root = VirtAddr(code & !3);
        let whole = PAGE.checked_div(self.word()).unwrap_or(0);
        let of_page = PAGE.checked_div(layout.entry_bytes).unwrap_or(0);
        let mut pages = vec![(root, 0)];
        for level in 0..levels.min(2) {
            let count = match (levels, level) {
                (2, 0) => MOST.checked_div(whole.saturating_mul(of_page)).unwrap_or(0),
                _ => whole,
            };
            for (page, nth) in std::mem::take(&mut pages) {
                self.pointers(page, nth, count, &mut pages);
            }
        }
        let of_page = of_page as u64;
        let leaves = pages.into_iter().map(|(at, nth)| Leaf {
            at,
            first: nth.saturating_mul(of_page),
        });
        let leaves: Vec<Leaf> = leaves.collect();
        let promised = end.checked_div(of_page.saturating_mul(4)).unwrap_or(0);
        let (there, promised) = (leaves.len(), promised as usize);
        if levels == 3 || there != promised && self.ends.is_complete() {
            let end = WalkEnd::Disagreement {
                between: self.names.pages,
                only_first: there.saturating_sub(promised),
                only_second: promised.saturating_sub(there).max(usize::from(levels == 3)),
            };
            self.ends.add(self.names.walk, end);
        }
        leaves
    }

    /// The pages that the `count` pointers at `page`, the `nth` of its level, lead to.
    fn pointers(
        &mut self,
        page: VirtAddr,
        nth: u64,
        count: usize,
        into: &mut Vec<(VirtAddr, u64)>,
    ) {
        let word = self.word();
        let mut raw = vec![0; count.saturating_mul(word)];
        if let Err(end) = self.met.meet(page) {
            self.ends.add(self.names.walk, end);
            return;
        }
        if let Err(fault) = self.windows.guest.space.read(page, &mut raw) {
            self.broken(page, None, fault);
            return;
        }
        let first = nth.saturating_mul(count as u64);
        for (pointer, nth) in raw.chunks_exact(word).zip(first..) {
            let to = number(pointer);
            if to != 0 {
                into.push((VirtAddr(to), nth));
            }
        }
    }

    /// The bytes of a page of entries; `None`, and an ending, where it cannot be read. A dump may have a part of a
    /// page: of entries that are not in it the ending tells, and they look free.
    pub(crate) fn page(&mut self, leaf: &Leaf) -> Option<[u8; PAGE]> {
        let mut raw = [0; PAGE];
        if let Err(end) = self.met.meet(leaf.at) {
            self.ends.add(self.names.walk, end);
            return None;
        }
        let space = &self.windows.guest.space;
        let Err(fault) = space.read(leaf.at, &mut raw) else {
            return Some(raw);
        };
        raw = [0; PAGE];
        let bytes = self.layout.entry_bytes;
        let mut held = false;
        for (nth, entry) in (0_u64..).zip(raw.chunks_exact_mut(bytes)) {
            let at = leaf.at.plus(nth.saturating_mul(bytes as u64));
            match space.read(at, entry) {
                Ok(()) => held = true,
                Err(_) => entry.fill(0),
            }
        }
        self.broken(leaf.at, None, fault);
        held.then_some(raw)
    }

    /// The object of an entry; `None` when it is free.
    pub(crate) fn object(&self, entry: &[u8]) -> Option<VirtAddr> {
        let mode = self.windows.guest.space.mode();
        let word = self.word();
        let object = match self.layout.object {
            Object::Bits {
                first,
                count,
                shift,
            } => {
                let raw = number(entry.get(..word)?).checked_shr(first.into())?;
                let mask = u64::MAX.checked_shr(64_u32.saturating_sub(count.into()))?;
                (raw & mask).checked_shl(shift.into())?
            }
            Object::Pointer(at) => number(entry.get(at..at.checked_add(word)?)?) & !7,
        };
        if object == 0 {
            return None;
        }
        // Of the bits above the 48th the entry says nothing: they are the kernel's.
        let object = if word == 8 {
            object | 0xffff_0000_0000_0000
        } else {
            object
        };
        Some(mode.canonicalise(VirtAddr(object)))
    }
}

/// A little-endian number of at most eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
}

/// Entries in use, by the table's own counts; `None` where it has none.
pub(crate) fn counted(
    windows: &Windows,
    layout: Layout,
    at: VirtAddr,
) -> Option<Result<u64, Fault>> {
    /// More lists than Windows has processors.
    const MOST_LISTS: u64 = 8192;
    let space = &windows.guest.space;
    if let Some(field) = layout.handle_count {
        return Some(field.read(space, at).map(i64::cast_unsigned));
    }
    let field = layout.first_list_count?;
    // One list, until the kernel got a variable for how many (Windows 10, after 1607).
    let lists = match windows.guest.symbol(symbols::ExpFreeListCount) {
        Some(place) => space.read_uint(place, 4).ok()?,
        None => 1,
    };
    if !(1..=MOST_LISTS).contains(&lists) || lists > 1 && layout.list_bytes == 0 {
        return None;
    }
    // A handle may go back to another list than it was taken from: only the sum tells.
    let count = |nth: u64| field.read(space, at.plus(nth.saturating_mul(layout.list_bytes)));
    let sum = (0..lists).try_fold(0_i64, |sum, nth| {
        count(nth).map(|own| sum.wrapping_add(own))
    });
    Some(sum.map(i64::cast_unsigned))
}
