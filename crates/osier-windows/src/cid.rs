//! The table of process and thread ids, to hold the process list against.
//!
//! ```text
//!   PspCidTable ──► _HANDLE_TABLE.TableCode ──► [pages of pointers ──►] pages of entries
//! ```
//!
//! Entry n belongs to the id 4n and leads to an `_EPROCESS` or `_ETHREAD`; the first entry of a page
//! belongs to nobody. The low two bits of `TableCode` count the levels above the entries. A process
//! that was taken off the list is still in the table, for without its id nothing could open it.
//!
//! Sources: `_HANDLE_TABLE` and `_HANDLE_TABLE_ENTRY` of Microsoft's kernel PDBs from XP to 11;
//! Windows Internals, 7th edition, part 2, chapter 8, "Object handles and the process handle table".

use std::collections::HashSet;

use osier_memory::{Cause, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Guard, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use crate::layouts::cid::{Layout, Object};
use crate::symbols;
use crate::windows::Windows;

/// The walk's name in endings.
const WALK: &str = "pid table";
const PAGE: usize = PAGE_BYTES as usize;
/// More pages than such a table has, of either width.
const PAGES: usize = 1 << 17;
/// The most entries of a table: `MAX_HANDLES`. The topmost of three levels has room for these.
const MOST: usize = 1 << 24;
/// `_DISPATCHER_HEADER.Type` of a process and of a thread, without the bit by which it is locked.
const PROCESS: u64 = 3;
const THREAD: u64 = 6;
const LOCKED: u64 = 0x80;

/// One page of entries.
struct Leaf {
    at: VirtAddr,
    /// The number of its first entry.
    first: u64,
}

/// The table as it stands in memory.
struct Walk<'w> {
    windows: &'w Windows,
    layout: Layout,
    ends: WalkEnds,
    met: Guard,
}

/// Every `_EPROCESS` in the table, and how the walk ended; `None` when the profile does not describe
/// the table. A process on the list (`listed`) is known by its address; any other must have the id that
/// its entry stands for.
pub(crate) fn processes(
    windows: &Windows,
    listed: &HashSet<VirtAddr>,
) -> Option<(Vec<VirtAddr>, WalkEnds)> {
    let mut walk = Walk::new(windows, windows.cid?);
    let place = windows.guest.symbol(symbols::PspCidTable)?;
    let mut found = Vec::new();
    for leaf in walk.leaves(place) {
        walk.leaf(&leaf, listed, &mut found);
    }
    walk.ends.add(WALK, WalkEnd::Closed);
    Some((found, walk.ends))
}

impl<'w> Walk<'w> {
    fn new(windows: &'w Windows, layout: Layout) -> Self {
        Self {
            windows,
            layout,
            ends: WalkEnds::default(),
            met: Guard::new(PAGES),
        }
    }

    fn word(&self) -> usize {
        usize::from(self.windows.guest.pointer_bytes())
    }

    fn broken(&mut self, from: VirtAddr, to: Option<VirtAddr>, fault: Fault) {
        self.ends.add(WALK, WalkEnd::BrokenLink { from, to, fault });
    }

    /// The pages of entries, in the order of their ids.
    fn leaves(&mut self, place: VirtAddr) -> Vec<Leaf> {
        let space = &self.windows.guest.space;
        let layout = self.layout;
        let head = || {
            let table = space.read_pointer(place)?;
            let code = layout.table_code.read(space, table)?;
            Ok((code, layout.end.read(space, table)?))
        };
        let (code, end) = match head() {
            Ok(head) => head,
            Err(fault) => {
                let (missing, fault) = (symbols::PspCidTable.to_owned(), Some(fault));
                self.ends.add(WALK, WalkEnd::NoStart { missing, fault });
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
                between: "pages of ids and NextHandleNeedingPool",
                only_first: there.saturating_sub(promised),
                only_second: promised.saturating_sub(there).max(usize::from(levels == 3)),
            };
            self.ends.add(WALK, end);
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
            self.ends.add(WALK, end);
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

    /// Takes the processes out of a page of entries.
    fn leaf(&mut self, leaf: &Leaf, listed: &HashSet<VirtAddr>, found: &mut Vec<VirtAddr>) {
        let mut raw = [0; PAGE];
        if let Err(end) = self.met.meet(leaf.at) {
            self.ends.add(WALK, end);
            return;
        }
        if let Err(fault) = self.windows.guest.space.read(leaf.at, &mut raw) {
            self.broken(leaf.at, None, fault);
            return;
        }
        let bytes = self.layout.entry_bytes;
        for (nth, entry) in (0_u64..).zip(raw.chunks_exact(bytes)).skip(1) {
            let Some(object) = self.object(entry) else {
                continue;
            };
            if listed.contains(&object) {
                found.push(object);
                continue;
            }
            let place = leaf.at.plus(nth.saturating_mul(bytes as u64));
            let id = leaf.first.saturating_add(nth).saturating_mul(4);
            match self.is_process(object, id) {
                Ok(Some(true)) => found.push(object),
                Ok(Some(false)) => {}
                // What the entry leads to is not what the table is of.
                Ok(None) => {
                    let fault = Fault::new(Cause::NonCanonical).with_va(object);
                    self.broken(place, Some(object), fault);
                }
                Err(fault) => self.broken(place, Some(object), fault),
            }
        }
    }

    /// The object of an entry; `None` when it is free.
    fn object(&self, entry: &[u8]) -> Option<VirtAddr> {
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

    /// Whether the object with this id is a process; `None` when it is neither a process with that
    /// id nor a thread.
    fn is_process(&self, object: VirtAddr, id: u64) -> Result<Option<bool>, Fault> {
        let guest = &self.windows.guest;
        guest.plausible(object)?;
        let kind = self.layout.kind.read(&guest.space, object)? & !LOCKED;
        if kind == THREAD {
            return Ok(Some(false));
        }
        let own = self.windows.process.fields.unique_process_id;
        let own = own.read(&guest.space, object)?;
        Ok((kind == PROCESS && own.0 == id).then_some(true))
    }
}

/// The threads of the process at `process` that the table has, for where their list is not whole.
pub(crate) fn threads(windows: &Windows, process: VirtAddr) -> Vec<VirtAddr> {
    let parts = windows.cid.zip(windows.guest.symbol(symbols::PspCidTable));
    let Some((layout, place)) = parts else {
        return Vec::new();
    };
    let (space, owner) = (&windows.guest.space, windows.threads.fields.owner);
    let mut walk = Walk::new(windows, layout);
    let mut found = Vec::new();
    for leaf in walk.leaves(place) {
        let mut raw = [0; PAGE];
        if space.read(leaf.at, &mut raw).is_err() {
            continue;
        }
        let entries = raw.chunks_exact(layout.entry_bytes).skip(1);
        found.extend(entries.filter_map(|entry| walk.object(entry)).filter(|at| {
            let kind = layout.kind.read(space, *at);
            kind.is_ok_and(|kind| kind & !LOCKED == THREAD)
                && owner.is_some_and(|owner| owner.read(space, *at) == Ok(process))
        }));
    }
    found
}

/// Whether what is at `at` says of itself that it is a process; `None` where that cannot be read.
pub(crate) fn says_process(windows: &Windows, at: VirtAddr) -> Option<bool> {
    let kind = windows.cid?.kind.read(&windows.guest.space, at).ok()?;
    Some(kind & !LOCKED == PROCESS)
}

/// An id of a process or thread, which the kernel keeps in a pointer.
pub(crate) fn id(windows: &Windows, field: Option<Field<Ptr<()>>>, at: VirtAddr) -> Seen<u32> {
    let Some(field) = field else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(&windows.guest.space, at) {
        Ok(id) => match u32::try_from(id.0) {
            Ok(known) if is_id(known) => Ok(known),
            _ => {
                let rule = "an id is a multiple of 4, below those that PspCidTable has room for";
                Err(Absent::implausible(id.0, rule, Some(field.place(at))))
            }
        },
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// Whether ids are given so: multiples of 4, as many as the table may have.
fn is_id(id: u32) -> bool {
    id.is_multiple_of(4) && (id / 4) < MOST as u32
}

/// Whether the entry of `id` leads to the object at `object`; `None` when the table cannot be read.
pub(crate) fn leads_to(windows: &Windows, id: u32, object: VirtAddr) -> Option<bool> {
    let layout = windows.cid?;
    let space = &windows.guest.space;
    let table = space
        .read_pointer(windows.guest.symbol(symbols::PspCidTable)?)
        .ok()?;
    let code = layout.table_code.read(space, table).ok()?;
    if u64::from(id) >= layout.end.read(space, table).ok()? {
        return Some(false);
    }
    if code & 3 == 3 {
        return None;
    }
    let word = u64::from(windows.guest.pointer_bytes());
    let per_page = PAGE_BYTES.checked_div(word)?;
    let of_page = PAGE_BYTES.checked_div(layout.entry_bytes as u64)?;
    let (mut at, levels) = (VirtAddr(code & !3), code & 3);
    let nth = u64::from(id / 4);
    let leaf = nth.checked_div(of_page)?;
    for level in (0..levels).rev() {
        let place = match level {
            0 => leaf.checked_rem(per_page)?,
            _ => leaf.checked_div(per_page)?,
        };
        at = space.read_pointer(at.plus(place.checked_mul(word)?)).ok()?;
    }
    let place = nth.checked_rem(of_page)?;
    if place == 0 {
        return Some(false);
    }
    let bytes = layout.entry_bytes;
    let mut entry = [0; PAGE];
    let entry = entry.get_mut(..bytes)?;
    space
        .read(at.plus(place.checked_mul(bytes as u64)?), entry)
        .ok()?;
    let walk = Walk::new(windows, layout);
    Some(walk.object(entry) == Some(object))
}

/// Whether the table has the process at `at`, under whatever id.
pub(crate) fn names(windows: &Windows, at: VirtAddr) -> bool {
    let found = processes(windows, &HashSet::from([at]));
    found.is_some_and(|(found, _)| found.contains(&at))
}

/// Whether the table has the process at `at` under its id.
pub(crate) fn has(windows: &Windows, at: VirtAddr) -> bool {
    let found = processes(windows, &HashSet::new());
    found.is_some_and(|(found, _)| found.contains(&at))
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
}
