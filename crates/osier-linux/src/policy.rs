//! What Linux means by a page-table entry that the processor finds not present.

use osier_memory::{AbsentEntry, Cause, NotPresent, Store};

/// `_PAGE_PROTNONE`: the global bit of an entry that is not present.
const PROT_NONE: u64 = 1 << 8;
const PRESENT: u64 = 1;
/// The frame bits of an 8-byte entry.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// The highest frame bit; no machine has RAM there.
const TOP_FRAME_BIT: u64 = 1 << 51;

/// Linux's [`osier_memory::NotPresentPolicy`].
///
/// A `PROT_NONE` page is in memory (`_PAGE_PROTNONE` set, present clear). Since Linux commit
/// 6b28baca9b1f ("x86/speculation/l1tf: Protect `PROT_NONE` PTEs against speculation"), v4.19, the
/// frame bits of 8-byte entries that are not present are stored inverted; the highest frame bit
/// tells which, for no machine has RAM at 2^51. Any other non-zero entry is in swap form: a swap
/// slot, or a migration, poison or marker entry.
pub fn linux_policy(absent: AbsentEntry) -> NotPresent {
    let AbsentEntry {
        mode, level, entry, ..
    } = absent;
    if entry == 0 {
        return NotPresent::Fault(Cause::NotPresent { entry });
    }
    let page_size = level > 1 && entry & (1 << 7) != 0;
    if entry & PROT_NONE != 0 && (level == 1 || page_size) {
        let inverted = mode.entry_bytes() == 8 && entry & TOP_FRAME_BIT != 0;
        let as_if = if inverted { entry ^ FRAME } else { entry };
        return NotPresent::InMemory(as_if | PRESENT);
    }
    if level == 1 || (level == 2 && entry & 0x7f != 0x63) {
        return NotPresent::Fault(Cause::Elsewhere {
            entry,
            store: Store::Swap,
        });
    }
    NotPresent::Fault(Cause::NotPresent { entry })
}
