//! Directories of the object manager: what lies in `\Driver` and the like.
//!
//! ```text
//!   ObpRootDirectoryObject ──► _OBJECT_DIRECTORY.HashBuckets ──► _OBJECT_DIRECTORY_ENTRY.Object
//!                                                                      │ ChainLink ──► the next
//! ```
//!
//! Source: these structures in Microsoft's kernel PDBs from XP to 11.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd, WalkEnds};

use crate::object;
use crate::symbols;
use crate::windows::Windows;

/// The walk's name in endings.
const WALK: &str = "object directories";
/// Buckets of a directory: `NUMBER_HASH_BUCKETS`, the same from NT 4 to 11.
const BUCKETS: u64 = 37;
/// More objects than any directory has.
const MOST: usize = 1 << 20;

/// The objects in the directory of that name in the root, such as `Driver`; empty, with an ending, where it
/// cannot be found.
pub(crate) fn in_root(windows: &Windows, name: &str) -> (Vec<VirtAddr>, WalkEnds) {
    let no_start = |missing: String, fault| {
        let end = WalkEnd::NoStart { missing, fault };
        (Vec::new(), WalkEnds::one(WALK, end))
    };
    let Some(place) = windows.guest.symbol(symbols::ObpRootDirectoryObject) else {
        return no_start("ObpRootDirectoryObject in the profile".to_owned(), None);
    };
    let root = match windows.guest.space.read_pointer(place) {
        Ok(root) => root,
        Err(fault) => return no_start(symbols::ObpRootDirectoryObject.to_owned(), Some(fault)),
    };
    let (all, ends) = objects(windows, root);
    let named = |at: &&VirtAddr| {
        let header = object::header(windows, **at);
        let own = header.and_then(|header| object::own_name(windows, header).ok()?);
        own.is_some_and(|(_, own)| own.eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some(at) = all.iter().find(named) else {
        let (_, mut lost) = no_start(format!("the directory \\{name}"), None);
        lost.join(ends);
        return (Vec::new(), lost);
    };
    objects(windows, *at)
}

/// The objects in the directory at `at`.
fn objects(windows: &Windows, at: VirtAddr) -> (Vec<VirtAddr>, WalkEnds) {
    let (guest, layout) = (&windows.guest, &windows.object);
    let (Some(buckets), Some(next), Some(object)) = (
        layout.directory.buckets,
        layout.entry.chain_link,
        layout.entry.object,
    ) else {
        let end = WalkEnd::no_start("members of _OBJECT_DIRECTORY in the profile", None);
        return (Vec::new(), WalkEnds::one(WALK, end));
    };
    let mut ends = WalkEnds::default();
    let broken = |from, to, fault: Fault| WalkEnd::BrokenLink { from, to, fault };
    let mut found = Vec::new();
    let mut met = Guard::new(MOST);
    let mut unread: Option<(usize, Fault)> = None;
    let word = u64::from(guest.pointer_bytes());
    for nth in 0..BUCKETS {
        let mut place = buckets.place(at).plus(nth.saturating_mul(word));
        loop {
            let entry = match guest.space.read_pointer(place) {
                Ok(entry) if entry.is_null() => break,
                Ok(entry) => entry,
                Err(fault) => {
                    let (count, first) = unread.unwrap_or((0_usize, fault));
                    unread = Some((count.saturating_add(1), first));
                    break;
                }
            };
            if let Err(fault) = guest.plausible(entry) {
                ends.add(WALK, broken(place, Some(entry), fault));
                break;
            }
            if let Err(end) = met.meet(entry) {
                ends.add(WALK, end);
                break;
            }
            match object.read(&guest.space, entry) {
                Ok(object) if guest.plausible(object).is_ok() => found.push(object),
                Ok(other) => {
                    let fault = Fault::new(osier_memory::Cause::NonCanonical).with_va(other);
                    ends.add(WALK, broken(object.place(entry), Some(other), fault));
                }
                Err(fault) => ends.add(WALK, broken(object.place(entry), None, fault)),
            }
            place = next.place(entry);
        }
    }
    ends.add(
        WALK,
        match unread {
            Some((parts, fault)) => WalkEnd::Unread {
                what: "chains of entries",
                parts,
                fault,
            },
            None => WalkEnd::Closed,
        },
    );
    (found, ends)
}
