//! What Windows means by a page-table entry that the processor finds not present.
//!
//! ```text
//!   bit 10 Prototype   the page is shared: another entry, of the section, describes it
//!   bit 11 Transition  the page was trimmed from the working set and is still in memory
//!   neither            it is in a paging file, or was never touched (demand-zero)
//! ```
//!
//! Sources: `_MMPTE_PROTOTYPE`, `_MMPTE_TRANSITION`, `_MMPTE_SOFTWARE` and `_MMPTE_SUBSECTION` of
//! Microsoft's kernel PDBs from XP to 11; Windows Internals, 7th edition, part 1, chapter 5,
//! "Page fault handling".

use osier_memory::{AbsentEntry, Cause, NotPresent, Paging, PolicyWords, Store, VirtAddr};

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const NO_EXECUTE: u64 = 1 << 63;
const PROTOTYPE: u64 = 1 << 10;
const TRANSITION: u64 = 1 << 11;
/// `SwizzleBit`, Windows 10 of August 2018 on: the frame is stored as it is. In an entry without
/// it the bits of `InvalidPteMask` are set besides, against speculation (L1TF).
const SWIZZLE: u64 = 1 << 4;
/// The frame of an 8-byte entry.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// `_MMPTE_SOFTWARE.Protection`, the same five bits in every format but a 7-and-earlier prototype.
const PROTECTION_SHIFT: u32 = 5;
/// Protection of executable memory: `MM_EXECUTE`, `MM_EXECUTE_READ` and the like.
const EXECUTE: u64 = 2;
/// `MM_READWRITE` and `MM_EXECUTE_READWRITE`, the two that write in place.
const READWRITE: [u64; 2] = [4, 6];

/// What the kernel's variables say of its entries, for the policy: an unset one is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `InvalidPteMask`: bits that are stored inverted.
    pub(crate) inverted: u64,
    /// Where prototype entries of 4 bytes are counted from.
    pub(crate) prototypes: VirtAddr,
    /// The bits that hold a paging file's number, and what they are for the store of compressed
    /// memory; no bits when there is no such store.
    pub(crate) store_mask: u64,
    pub(crate) store: u64,
}

impl Facts {
    /// As an address space hands them to the policy.
    pub(crate) const fn words(self) -> PolicyWords {
        [
            self.inverted,
            self.prototypes.0,
            self.store_mask,
            self.store,
        ]
    }

    const fn of(words: PolicyWords) -> Self {
        let [inverted, prototypes, store_mask, store] = words;
        Self {
            inverted,
            prototypes: VirtAddr(prototypes),
            store_mask,
            store,
        }
    }
}

/// Windows's [`osier_memory::NotPresentPolicy`].
///
/// The base of prototype entries of 2-level paging is a variable of the kernel's, so that these are
/// followed only where it could be read. An entry that says that the process's VAD must be asked
/// (`MI_PTE_LOOKUP_NEEDED`) is not followed.
pub fn windows_policy(absent: AbsentEntry) -> NotPresent {
    let facts = Facts::of(absent.words);
    let stored = absent.entry;
    let elsewhere = |store| {
        NotPresent::Fault(Cause::Elsewhere {
            entry: stored,
            store,
        })
    };
    let wide = absent.mode.entry_bytes() == 8;
    let entry = if wide && stored & SWIZZLE == 0 {
        stored & !facts.inverted
    } else {
        stored
    };
    if entry & PROTOTYPE != 0 {
        if absent.indirect {
            // In a prototype entry the bit says that the page is to be read from the file.
            return elsewhere(Store::MappedFile);
        }
        return match prototype(absent.mode, entry, facts.prototypes) {
            Some(at) if absent.level == 1 => NotPresent::LookAt(at),
            _ => elsewhere(Store::Prototype),
        };
    }
    let protection = (entry >> PROTECTION_SHIFT) & 7;
    if entry & TRANSITION != 0 {
        let mut as_if = entry & FRAME | PRESENT | USER;
        if absent.level > 1 || READWRITE.contains(&protection) {
            as_if |= WRITE;
        }
        if wide && absent.level == 1 && protection & EXECUTE == 0 {
            as_if |= NO_EXECUTE;
        }
        return NotPresent::InMemory(as_if);
    }
    let in_file = if wide { entry >> 32 } else { entry >> 12 };
    if in_file != 0 {
        let is_store = facts.store_mask != 0 && entry & facts.store_mask == facts.store;
        elsewhere(if is_store {
            Store::Compressed
        } else {
            Store::PageFile
        })
    } else if (entry >> PROTECTION_SHIFT) & 0x1f != 0 {
        elsewhere(Store::DemandZero)
    } else {
        NotPresent::Fault(Cause::NotPresent { entry: stored })
    }
}

/// The address of the prototype entry that `entry` names: `ProtoAddress`. One of 4 bytes counts words
/// from `base` on, in two parts: `ProtoAddressLow` (bits 1 to 7) and `ProtoAddressHigh` (from bit 11).
fn prototype(mode: Paging, entry: u64, base: VirtAddr) -> Option<VirtAddr> {
    /// `MI_PTE_LOOKUP_NEEDED`, in the high half of the entry.
    const ASK_THE_VAD: u64 = 0xffff_ffff;
    if mode.entry_bytes() == 4 {
        let words = entry >> 11 << 7 | entry >> 1 & 0x7f;
        let at = base.plus(words << 2);
        return (!base.is_null() && at.0 >> 32 == 0).then_some(at);
    }
    if entry >> 32 == ASK_THE_VAD {
        return None;
    }
    Some(VirtAddr(match mode {
        Paging::Pae => entry >> 32,
        _ => (entry.cast_signed() >> 16).cast_unsigned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(mode: Paging, level: u8, entry: u64) -> NotPresent {
        windows_policy(AbsentEntry {
            mode,
            level,
            entry,
            indirect: false,
            words: Facts::default().words(),
        })
    }

    fn store(outcome: NotPresent) -> &'static str {
        match outcome {
            NotPresent::Fault(cause) => cause.word(),
            NotPresent::InMemory(_) => "in-memory",
            NotPresent::LookAt(_) => "look",
        }
    }

    #[test]
    fn each_kind_of_entry_is_told() {
        // Real entries of libosi's translation tests.
        assert_eq!(store(decide(Paging::Legacy, 1, 0x201b_a554)), "prototype");
        let table = decide(Paging::Long4, 2, 0x00f1_0000_0edb_0886);
        let NotPresent::InMemory(as_if) = table else {
            panic!("{table:?}")
        };
        assert_eq!(as_if & FRAME & 0xffff_ffff_f000, 0xedb_0000);
        assert_eq!(as_if & 0x81, 1, "a table, whatever its protection");

        assert_eq!(store(decide(Paging::Long4, 1, 0)), "not-present");
        assert_eq!(store(decide(Paging::Long4, 1, 0x80)), "demand-zero");
        assert_eq!(store(decide(Paging::Long4, 1, 0x12_0000_0080)), "pagefile");
        assert_eq!(store(decide(Paging::Legacy, 1, 0x0001_2082)), "pagefile");
        assert_eq!(
            decide(Paging::Long4, 1, 0xf8a0_0012_3456_0400),
            NotPresent::LookAt(VirtAddr(0xffff_f8a0_0012_3456))
        );
        assert_eq!(
            decide(Paging::Pae, 1, 0xe123_4560_0000_0400),
            NotPresent::LookAt(VirtAddr(0xe123_4560))
        );
        let ask = decide(Paging::Long4, 1, 0xffff_ffff_0000_0480);
        assert_eq!(store(ask), "prototype");
    }

    #[test]
    fn rights_of_a_page_in_transition_are_those_it_will_have() {
        let of = |entry| match decide(Paging::Long4, 1, entry) {
            NotPresent::InMemory(as_if) => as_if,
            other => panic!("{other:?}"),
        };
        let page = |protection: u64| 0x1234_5800 | protection << 5;
        assert_eq!(of(page(4)), 0x1234_5007 | NO_EXECUTE);
        assert_eq!(of(page(1)), 0x1234_5005 | NO_EXECUTE);
        assert_eq!(of(page(3)), 0x1234_5005);
        assert_eq!(of(page(7)), 0x1234_5005, "copied before it is written");
    }

    #[test]
    fn inverted_bits_are_taken_out_of_entries_without_the_mark() {
        let told = |entry| {
            windows_policy(AbsentEntry {
                mode: Paging::Long4,
                level: 1,
                entry,
                indirect: false,
                words: [1 << 45, 0, 0, 0],
            })
        };
        let NotPresent::InMemory(as_if) = told(0x2000_1234_5880) else {
            panic!()
        };
        assert_eq!(as_if & FRAME, 0x1234_5000);
        let NotPresent::InMemory(as_if) = told(0x2000_1234_5890) else {
            panic!()
        };
        assert_eq!(as_if & FRAME, 0x2000_1234_5000);
        assert_eq!(store(told(0x2000_0000_0080)), "demand-zero");
    }

    #[test]
    fn an_entry_of_4_bytes_counts_from_the_base() {
        let told = |base, entry| {
            let facts = Facts {
                prototypes: VirtAddr(base),
                ..Facts::default()
            };
            windows_policy(AbsentEntry {
                mode: Paging::Legacy,
                level: 1,
                entry,
                indirect: false,
                words: facts.words(),
            })
        };
        // Of libosi's Windows 7 image.
        let at = NotPresent::LookAt(VirtAddr(0x8806_e8a8));
        assert_eq!(told(0x8000_0000, 0x201b_a554), at);
        assert_eq!(store(told(0, 0x201b_a554)), "prototype");
        assert_eq!(
            store(told(0xe100_0000, 0xffff_fcfe)),
            "prototype",
            "no address"
        );
    }

    #[test]
    fn the_store_of_compressed_memory_is_told_from_paging_files() {
        let told = |number: u64| {
            let facts = Facts {
                store_mask: 0xf000,
                store: 0x2000,
                ..Facts::default()
            };
            store(windows_policy(AbsentEntry {
                mode: Paging::Long4,
                level: 1,
                entry: 0x12_0000_0080 | number << 12,
                indirect: false,
                words: facts.words(),
            }))
        };
        assert_eq!(
            [told(0), told(1), told(2)],
            ["pagefile", "pagefile", "compressed-store"]
        );
    }

    #[test]
    fn a_prototype_of_a_file_is_in_the_file() {
        let outcome = windows_policy(AbsentEntry {
            mode: Paging::Long4,
            level: 1,
            entry: 0xf8a0_0012_3456_0400,
            indirect: true,
            words: Facts::default().words(),
        });
        assert_eq!(store(outcome), "mapped-file");
    }
}
