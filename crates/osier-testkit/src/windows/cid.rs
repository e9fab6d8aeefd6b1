//! Handle tables of as many levels as they need, and `PspCidTable`: the ids of processes and threads in one.
//!
//! Sources: `_HANDLE_TABLE` and `_HANDLE_TABLE_ENTRY` of the profile; that the first entry of a page
//! is nobody's, that ids count by four, and how many ids a table may have, as Windows Internals tells.

use osier_memory::VirtAddr;

use super::rows::{Process, Told};
use super::spaces::Space;
use super::writer::{Object, Writer};

const TABLE: &str = "_HANDLE_TABLE";
const ENTRY: &str = "_HANDLE_TABLE_ENTRY";
const PAGE: u64 = 4096;
/// Ids count by four.
const STEP: u64 = 4;

/// Writes the table of what `processes` are to be found by it; none where the layout has none.
pub(super) fn write(w: &mut Writer<'_>, processes: &[Process]) {
    let Some(symbol) = w.symbol("PspCidTable") else {
        return;
    };
    if !w.has_type(TABLE) || !w.has_type(ENTRY) {
        return;
    }
    let mut ids = Vec::new();
    for process in processes {
        if process.told != Told::ByList {
            ids.push((process.pid, process.eprocess));
        }
        ids.extend(process.threads.iter().map(|t| (t.tid, t.ethread)));
    }
    let entries: Vec<_> = (ids.iter())
        .map(|(id, object)| (*id, object.expect("written"), 0))
        .collect();
    let table = table(w, &entries);
    w.pointer(Space::SYSTEM, symbol, table.at);
}

/// A table of handles: of each its number, what its entry leads to, and its rights.
pub(super) fn table(w: &mut Writer<'_>, entries: &[(u64, VirtAddr, u64)]) -> Object {
    let per_page = PAGE / w.size(ENTRY);
    let last = entries.iter().map(|(id, ..)| *id).max().unwrap_or(0);
    let leaves = last / STEP / per_page + 1;
    let leaves: Vec<VirtAddr> = (0..leaves).map(|_| page(w)).collect();
    for leaf in &leaves {
        reserved(w, *leaf);
    }
    for (id, object, access) in entries {
        let nth = id / STEP;
        let free = id.is_multiple_of(STEP) && !nth.is_multiple_of(per_page);
        assert!(free, "nothing has the number {id}");
        let leaf = leaves[(nth / per_page) as usize];
        entry(
            w,
            leaf.plus(nth % per_page * w.size(ENTRY)),
            *object,
            *access,
        );
    }
    let end = leaves.len() as u64 * per_page * STEP;
    let (root, levels) = above(w, leaves);
    let table = w.pool(*b"Obtb", TABLE);
    w.set(table, "TableCode", root.0 | levels);
    w.set(table, "NextHandleNeedingPool", end);
    let count = entries.len() as u64;
    if w.has(TABLE, "HandleCount") {
        w.set(table, "HandleCount", count);
    } else if w.has(TABLE, "FreeLists") {
        let list = w.inner(table, "FreeLists", "_HANDLE_TABLE_FREE_LIST");
        w.set(list, "HandleCount", count);
    }
    table
}

fn page(w: &mut Writer<'_>) -> VirtAddr {
    w.nonpaged_room(*b"Obtb", PAGE)
}

/// The pages of pointers above `pages`, and how many levels there are of them.
fn above(w: &mut Writer<'_>, mut pages: Vec<VirtAddr>) -> (VirtAddr, u64) {
    let mut levels = 0;
    while pages.len() > 1 {
        let per_page = (PAGE / w.word()) as usize;
        let below = std::mem::take(&mut pages);
        for pointers in below.chunks(per_page) {
            let at = page(w);
            for (nth, pointer) in (0..).zip(pointers) {
                w.pointer(Space::SYSTEM, at.plus(nth * w.word()), *pointer);
            }
            pages.push(at);
        }
        levels += 1;
    }
    assert!(levels <= 2, "too many ids");
    (pages[0], levels)
}

/// The first entry of a page, which leads to no object.
fn reserved(w: &mut Writer<'_>, leaf: VirtAddr) {
    let first = Object::system(ENTRY, leaf);
    if w.has(ENTRY, "ObjectPointerBits") {
        w.set_if(first, "InfoTable", leaf.0 | 1);
    } else {
        w.set(first, "NextFreeTableEntry", 0xffff_fffe);
    }
}

fn entry(w: &mut Writer<'_>, at: VirtAddr, object: VirtAddr, access: u64) {
    let entry = Object::system(ENTRY, at);
    if w.has(ENTRY, "ObjectPointerBits") {
        w.set(entry, "Unlocked", 1);
        let low = if w.is_wide() { 4 } else { 3 };
        let told = object.0 & 0x0000_ffff_ffff_ffff;
        w.set(entry, "ObjectPointerBits", told >> low);
        w.set_if(entry, "GrantedAccessBits", access);
    } else {
        // The lowest bit says that nobody has locked the entry.
        w.set(entry, "Object", object.0 | 1);
        w.set_if(entry, "GrantedAccess", access);
    }
}
