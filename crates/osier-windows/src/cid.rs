//! The table of process and thread ids, to hold the process list against.
//!
//! ```text
//!   PspCidTable ──► _HANDLE_TABLE.TableCode ──► [pages of pointers ──►] pages of entries
//! ```
//!
//! It is a table of handles (`handle_table.rs`), whose entries lead to an `_EPROCESS` or `_ETHREAD`, not to
//! the header before it. A process that was taken off the list is still in the table, for without its id
//! nothing could open it.

use std::collections::HashSet;

use osier_memory::{Cause, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use crate::handle_table::{Leaf, MOST, Names, Table, counted};
use crate::layouts::handles::Layout;
use crate::symbols;
use crate::windows::Windows;

/// The walk's name in endings.
const WALK: &str = "pid table";
static NAMES: Names = Names {
    walk: WALK,
    pages: "pages of ids and NextHandleNeedingPool",
};
const PAGE: usize = PAGE_BYTES as usize;
/// `_DISPATCHER_HEADER.Type` of a process and of a thread, without the bit by which it is locked.
const PROCESS: u64 = 3;
const THREAD: u64 = 6;
const LOCKED: u64 = 0x80;

/// Every `_EPROCESS` in the table, and how the walk ended; `None` when the profile does not describe
/// the table. A process on the list (`listed`) is known by its address; any other must have the id that
/// its entry stands for.
pub(crate) fn processes(
    windows: &Windows,
    listed: &HashSet<VirtAddr>,
) -> Option<(Vec<VirtAddr>, WalkEnds)> {
    let layout = windows.handles?;
    let mut table = Table::new(windows, layout, &NAMES);
    let place = windows.guest.symbol(symbols::PspCidTable)?;
    let at = windows.guest.space.read_pointer(place);
    let mut found = Vec::new();
    let mut used = 0_usize;
    for leaf in table.leaves(at, symbols::PspCidTable) {
        let own = of_leaf(windows, layout, &mut table, &leaf, listed, &mut found);
        used = used.saturating_add(own);
    }
    if let Ok(at) = at
        && table.ends.is_complete()
        && let Some(Ok(told)) = counted(windows, layout, at)
    {
        let told = usize::try_from(told).unwrap_or(usize::MAX);
        table.ends.differ("ids in use and HandleCount", used, told);
    }
    table.ends.add(WALK, WalkEnd::Closed);
    Some((found, table.ends))
}

/// Takes the processes out of a page of entries; gives the number of those in use.
fn of_leaf(
    windows: &Windows,
    layout: Layout,
    table: &mut Table<'_>,
    leaf: &Leaf,
    listed: &HashSet<VirtAddr>,
    found: &mut Vec<VirtAddr>,
) -> usize {
    let mut used = 0_usize;
    let Some(raw) = table.page(leaf) else {
        return used;
    };
    let bytes = layout.entry_bytes;
    for (nth, entry) in (0_u64..).zip(raw.chunks_exact(bytes)).skip(1) {
        let Some(object) = table.object(entry) else {
            continue;
        };
        used = used.saturating_add(1);
        if listed.contains(&object) {
            found.push(object);
            continue;
        }
        let place = leaf.at.plus(nth.saturating_mul(bytes as u64));
        let id = leaf.first.saturating_add(nth).saturating_mul(4);
        match is_process(windows, layout, object, id) {
            Ok(Some(true)) => found.push(object),
            Ok(Some(false)) => {}
            // What the entry leads to is not what the table is of.
            Ok(None) => {
                let fault = Fault::new(Cause::NonCanonical).with_va(object);
                table.broken(place, Some(object), fault);
            }
            Err(fault) => table.broken(place, Some(object), fault),
        }
    }
    used
}

/// Whether the object with this id is a process; `None` when it is neither a process with that
/// id nor a thread.
fn is_process(
    windows: &Windows,
    layout: Layout,
    object: VirtAddr,
    id: u64,
) -> Result<Option<bool>, Fault> {
    let guest = &windows.guest;
    guest.plausible(object)?;
    let kind = layout.kind.read(&guest.space, object)? & !LOCKED;
    if kind == THREAD {
        return Ok(Some(false));
    }
    let own = windows.process.fields.unique_process_id;
    let own = own.read(&guest.space, object)?;
    Ok((kind == PROCESS && own.0 == id).then_some(true))
}

/// The threads of the process at `process` that the table has, for where their list is not whole.
pub(crate) fn threads(windows: &Windows, process: VirtAddr) -> Vec<VirtAddr> {
    let parts = windows
        .handles
        .zip(windows.guest.symbol(symbols::PspCidTable));
    let Some((layout, place)) = parts else {
        return Vec::new();
    };
    let (space, owner) = (&windows.guest.space, windows.threads.fields.owner);
    let mut table = Table::new(windows, layout, &NAMES);
    let mut found = Vec::new();
    for leaf in table.leaves(space.read_pointer(place), symbols::PspCidTable) {
        let Some(raw) = table.page(&leaf) else {
            continue;
        };
        let entries = raw.chunks_exact(layout.entry_bytes).skip(1);
        found.extend(
            entries
                .filter_map(|entry| table.object(entry))
                .filter(|at| {
                    let kind = layout.kind.read(space, *at);
                    kind.is_ok_and(|kind| kind & !LOCKED == THREAD)
                        && owner.is_some_and(|owner| owner.read(space, *at) == Ok(process))
                }),
        );
    }
    found
}

/// What the table leads to, processes and threads alike; where it cannot be read, [`processes`] says so.
pub(crate) fn objects(windows: &Windows) -> Vec<VirtAddr> {
    let parts = windows
        .handles
        .zip(windows.guest.symbol(symbols::PspCidTable));
    let Some((layout, place)) = parts else {
        return Vec::new();
    };
    let mut table = Table::new(windows, layout, &NAMES);
    let at = windows.guest.space.read_pointer(place);
    let mut found = Vec::new();
    for leaf in table.leaves(at, symbols::PspCidTable) {
        let Some(raw) = table.page(&leaf) else {
            continue;
        };
        let entries = raw.chunks_exact(layout.entry_bytes).skip(1);
        found.extend(entries.filter_map(|entry| table.object(entry)));
    }
    found
}

/// Whether what is at `at` says of itself that it is a process; `None` where that cannot be read.
pub(crate) fn says_process(windows: &Windows, at: VirtAddr) -> Option<bool> {
    let kind = windows.handles?.kind.read(&windows.guest.space, at).ok()?;
    Some(kind & !LOCKED == PROCESS)
}

/// Whether what is at `at` says of itself that it is a thread; `None` where that cannot be read.
pub(crate) fn says_thread(windows: &Windows, at: VirtAddr) -> Option<bool> {
    let kind = windows.handles?.kind.read(&windows.guest.space, at).ok()?;
    Some(kind & !LOCKED == THREAD)
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
    let layout = windows.handles?;
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
    let table = Table::new(windows, layout, &NAMES);
    Some(table.object(entry) == Some(object))
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
