//! Bits of a page-table entry that say how memory is encrypted and are no part of an address.
//!
//! AMD's SME and SEV set one bit, the C-bit, in every entry that leads to encrypted memory: bit 47 or
//! 51, as the processor says. Intel's TME-MK keeps the number of a key in the highest bits of an
//! address, and a TDX guest's highest address bit says that memory is shared. A dump that a machine
//! takes of itself holds its memory in plain, and its page tables still have these bits.
//!
//! Source: AMD's Architecture Programmer's Manual, volume 2, 7.10 and 15.34; Intel's "Architecture
//! Memory Encryption Technologies Specification".

use crate::paging::{FRAME, Paging};
use crate::{PhysAddr, PhysicalMemory};

/// The lowest bit that may be one: processors without it address 1 TiB and more.
const LOWEST: u32 = 40;
const PRESENT: u64 = 1;

/// The bits of an entry's frame that may speak of encryption, for no RAM of this memory lies so high.
pub fn encryption_bits(memory: &(impl PhysicalMemory + ?Sized)) -> u64 {
    let end = memory.runs().last().map_or(0, |run| run.end().0);
    let used = u64::BITS.saturating_sub(end.saturating_sub(1).leading_zeros());
    let bits = u64::MAX.checked_shl(used.max(LOWEST));
    FRAME & bits.unwrap_or(0)
}

impl Paging {
    /// The bits by which the table at `root` marks encrypted memory: those past the RAM that its last
    /// present entry has, when three of four present entries of its upper half have them too. 0 for
    /// plain memory, a table that cannot be read, and 4-byte entries.
    pub fn encryption_of_table(
        self,
        memory: &(impl PhysicalMemory + ?Sized),
        root: PhysAddr,
    ) -> u64 {
        let Some((bits, _)) = self.table_shape(0).filter(|_| self.entry_bytes() == 8) else {
            return 0;
        };
        let entries = 1_u64 << bits;
        let mut present = (entries / 2..entries).rev().filter_map(|index| {
            let at = root.plus(index.wrapping_mul(8));
            let entry = memory.read_uint(at, 8).ok()?;
            (entry & PRESENT != 0).then_some(entry)
        });
        let mask = present.next().unwrap_or(0) & encryption_bits(memory);
        if mask == 0 {
            return 0;
        }
        let (marked, all) = present.fold((1_u64, 1_u64), |(marked, all), entry| {
            let has = u64::from(entry & mask == mask);
            (marked.saturating_add(has), all.saturating_add(1))
        });
        if marked.saturating_mul(4) >= all.saturating_mul(3) {
            mask
        } else {
            0
        }
    }
}
