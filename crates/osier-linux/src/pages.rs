//! The present pages of a process's own page table.

use std::ops::ControlFlow;

use osier_memory::{AddressSpace, Each, PAGE_BYTES, Paging, PhysAddr, VirtAddr};
use osier_osi::{PageRange, WalkEnds, page_rows};

use crate::mappings::mappings;
use crate::memory::no_memory;
use crate::{Linux, memory, process};

/// The walk's name in its endings.
const WALK: &str = "page-tables";
/// `_PAGE_NX`.
const NX: u64 = 1 << 63;
const PRESENT: u64 = 1;

/// The present pages of the process whose group leader is at `taskd`, by address: the user half of
/// its own page table. Ranges end where mappings do, so that each has one backing.
///
/// What PANDA calls `OsiPage` and never filled. With page-table isolation the rights are those of
/// the table that runs in user mode; the kernel's table forbids execution of all of it.
pub(crate) fn pages(linux: &Linux, taskd: VirtAddr, row: Each<'_, PageRange>) -> WalkEnds {
    let space = match memory::address_space(linux, taskd) {
        Ok(space) => user_table(space),
        absent @ Err(_) => return no_memory(WALK, absent),
    };
    let mut known = Vec::new();
    let ends = mappings(linux, taskd, &mut |mapping| {
        known.push(mapping);
        ControlFlow::Continue(())
    });
    let pid = process::pid(linux, taskd);
    let within = VirtAddr(0)..VirtAddr(linux.guest.user_end);
    page_rows(&space, within, &pid, known, ends, row)
}

/// The table that runs in user mode. With page-table isolation (Linux commit d9e9a6418065
/// ("x86/mm/pti: Allocate a separate user PGD"), v4.15) it is the page after the kernel's root, and
/// the kernel's root has the same user entries, each marked never to be executed. Any other table
/// is its own.
fn user_table(space: AddressSpace) -> AddressSpace {
    let root = space.root();
    let long = matches!(space.mode(), Paging::Long4 | Paging::Long5);
    if !long || root.0 & PAGE_BYTES != 0 {
        return space;
    }
    let twin = root.plus(PAGE_BYTES);
    let entry = |table: PhysAddr, index: u64| {
        let entry = space
            .memory()
            .read_uint(table.plus(index.wrapping_mul(8)), 8);
        entry.ok()
    };
    // Accessed and dirty marks may differ.
    let same = |a: u64, b: u64| (a ^ b) & !(NX | 0x60) == 0;
    let mut isolated = false;
    for index in 0..256 {
        match (entry(root, index), entry(twin, index)) {
            (Some(kernel), _) if kernel & PRESENT == 0 => {}
            (Some(kernel), Some(user)) if kernel & NX != 0 && same(kernel, user) => {
                isolated |= user & NX == 0;
            }
            _ => return space,
        }
    }
    if isolated {
        space.with_root(twin)
    } else {
        space
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        reason = "tests may overflow and fail"
    )]

    use std::sync::Arc;

    use osier_memory::{AddressSpace, PAGE_BYTES, Paging, PhysAddr};
    use osier_testkit::MemoryBuilder;

    use super::{NX, user_table};
    use crate::linux_policy;

    /// The root that is taken for user mode, of a pair of tables with these entries.
    fn taken(kernel: &[u64], user: &[u64]) -> PhysAddr {
        let mut memory = MemoryBuilder::default();
        for (table, entries) in [(0x4000, kernel), (0x5000, user)] {
            memory.touch(PhysAddr(table));
            for (index, entry) in entries.iter().enumerate() {
                memory.write_u64(PhysAddr(table + 8 * index as u64), *entry);
            }
        }
        let root = PhysAddr(0x4000);
        let space = AddressSpace::new(Arc::new(memory), Paging::Long4, root, linux_policy);
        user_table(space).root()
    }

    #[test]
    fn the_table_of_user_mode_is_told_by_its_twin() {
        let own = PhysAddr(0x4000);
        let twin = own.plus(PAGE_BYTES);
        assert_eq!(
            taken(&[0x7067 | NX, 0, 0x8067 | NX], &[0x7067, 0, 0x8047]),
            twin
        );
        // No page-table isolation: what follows the root is something else.
        assert_eq!(taken(&[0x7067, 0x8067], &[0x1234, 0]), own);
        assert_eq!(taken(&[0x7067 | NX], &[0x9067]), own);
        assert_eq!(taken(&[], &[0x9067]), own);
    }
}
