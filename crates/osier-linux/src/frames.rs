//! Frames of physical memory, and the kernel's records of them (`struct page`): how many there are, and where the array of
//! records lies.

use osier_memory::{Cause, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds};

use crate::guest::Guest;
use crate::symbols;

/// Frames that are looked at: 1 TiB of memory.
const FRAMES: u64 = 1 << 28;
/// Where the descriptors lie in a 64-bit kernel that has no variable for it: before v4.9, and since without
/// `CONFIG_RANDOMIZE_MEMORY`.
const VMEMMAP: VirtAddr = VirtAddr(0xffff_ea00_0000_0000);

/// A pointer that the kernel has under this name.
fn variable(guest: &Guest, name: &'static str) -> Option<(&'static str, Result<VirtAddr, Fault>)> {
    let at = guest.symbol(name)?;
    Some((name, guest.space.read_pointer(at)))
}

/// `mem_map`, where all descriptors lie in one array. Under SPARSEMEM it is there too, until Linux commit 43b02ba93b25
/// ("mm: remove `CONFIG_NEED_MULTIPLE_NODES`"), v5.14, and never set.
fn flat(guest: &Guest) -> Option<(&'static str, Result<VirtAddr, Fault>)> {
    variable(guest, symbols::mem_map).filter(|(_, at)| *at != Ok(VirtAddr(0)))
}

/// Where the descriptor of frame 0 lies.
pub(crate) fn descriptors(guest: &Guest) -> Result<VirtAddr, (&'static str, Option<Fault>)> {
    // Before Linux commit b5e4e9ca94b5 (v4.10), no variable says where the array of SPARSEMEM lies.
    let told = variable(guest, symbols::vmemmap_base).or_else(|| flat(guest));
    let start = match told {
        Some((name, start)) => start.map_err(|fault| (name, Some(fault)))?,
        None if guest.pointer_bytes() == 8 => VMEMMAP,
        None => return Err(("vmemmap_base or mem_map, where page descriptors lie", None)),
    };
    if guest.can_be_object(start) {
        Ok(start)
    } else {
        let fault = Fault::new(Cause::NonCanonical).with_va(start);
        Err(("where page descriptors lie", Some(fault)))
    }
}

/// Where frame 0 lies in the kernel's map of all memory, by an object that lies in it.
pub(crate) fn direct(guest: &Guest, object: VirtAddr) -> Option<VirtAddr> {
    let pa = guest.space.translate(object).ok()?;
    let start = object.minus(pa.0);
    (guest.is_kernel_address(start) && start.in_page() == 0).then_some(start)
}

/// One past the number of the last frame that there is, by the kernel's own word and by what the snapshot holds, and by
/// the kernel's word alone.
pub(crate) fn count(guest: &Guest, walk: &'static str, ends: &mut WalkEnds) -> (u64, u64) {
    let held = guest
        .space
        .memory()
        .runs()
        .iter()
        .map(|run| run.end().0.div_ceil(PAGE_BYTES))
        .max();
    let held = held.unwrap_or(0);
    let word = usize::from(guest.pointer_bytes());
    let said = guest
        .symbol(symbols::max_pfn)
        .map(|at| guest.space.read_uint(at, word));
    let said = match said {
        Some(Ok(said)) => said,
        other => {
            ends.add(
                walk,
                WalkEnd::no_start(
                    "max_pfn, how many frames there are",
                    other.and_then(Result::err),
                ),
            );
            0
        }
    };
    // Where descriptors are mapped for the frames that there are alone, more may be asked for.
    let apart = guest.symbol(symbols::vmemmap_base).is_some()
        || guest.pointer_bytes() == 8 && flat(guest).is_none();
    let all = if apart || said == 0 {
        said.max(held)
    } else {
        said
    };
    if all > FRAMES {
        let after = FRAMES as usize;
        ends.add(walk, WalkEnd::Limit { after });
    }
    (all.min(FRAMES), said)
}

#[cfg(test)]
mod tests {
    use osier_memory::VirtAddr;

    use super::{VMEMMAP, descriptors};
    use crate::symbols;
    use crate::toy::Toy;

    /// 2.6.32 to v4.9 of x86-64 with SPARSEMEM (4.4.155): no `vmemmap_base`, and a `mem_map` that nothing sets.
    #[test]
    fn a_mem_map_that_was_never_set_is_none() {
        let mut toy = Toy::new();
        assert_eq!(descriptors(&toy.guest()), Ok(VMEMMAP));
        let variable = toy.room(8, 8);
        toy.symbol(symbols::mem_map, variable);
        assert_eq!(descriptors(&toy.guest()), Ok(VMEMMAP));
        let array: VirtAddr = toy.page();
        toy.put(variable, 0, array.0);
        assert_eq!(descriptors(&toy.guest()), Ok(array));
    }
}
