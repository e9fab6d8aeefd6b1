//! What the memory manager's variables say of entries that are not present.

use osier_memory::{Fault, VirtAddr};
use osier_osi::Premise;
use osier_profile::{Bits, Embed, Field, Resolver, UInt, layout};

use crate::guest::Guest;
use crate::locate::premise;
use crate::policy::Facts;
use crate::symbols;

/// The most paging files that Windows has: `PagingFile` has so many pointers.
const FILES: u64 = 16;

layout! {
    /// Fields read from `_MI_SYSTEM_INFORMATION`, Windows 10 and later.
    pub(crate) struct SystemInformation: "_MI_SYSTEM_INFORMATION" through [_MI_HARDWARE_STATE] {
        /// Bits stored inverted in entries that are not present.
        invalid_pte_mask: Option<Field<UInt>> = ["Hardware.InvalidPteMask"],
    }
}

layout! {
    /// Fields read from `_MI_PARTITION`, Windows 10 and later.
    pub(crate) struct Partition: "_MI_PARTITION" through [_MI_VISIBLE_PARTITION] {
        /// Pointers to the paging files.
        paging_file: Option<Field<Embed<()>>> = ["Vp.PagingFile"],
    }
}

layout! {
    /// Fields read from `_MMPAGING_FILE`.
    pub(crate) struct PagingFile: "_MMPAGING_FILE" {
        number: Option<Field<Bits>> = ["PageFileNumber"],
        /// Whether it is no file but the store of compressed memory.
        is_store: Option<Field<Bits>> = ["VirtualStorePagefile"],
    }
}

layout! {
    /// Fields read from `_MMPTE_SOFTWARE`.
    pub(crate) struct Software: "_MMPTE_SOFTWARE" {
        /// The number of the paging file.
        file: Option<Field<Bits>> = ["PageFileLow"],
    }
}

/// How to read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    system: SystemInformation,
    partition: Partition,
    paging_file: PagingFile,
    software: Software,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            system: SystemInformation::resolve(resolver),
            partition: Partition::resolve(resolver),
            paging_file: PagingFile::resolve(resolver),
            software: Software::resolve(resolver),
        }
    }

    /// What this kernel's variables say, each told in `premises`.
    pub(crate) fn facts(&self, guest: &Guest, premises: &mut Vec<Premise>) -> Facts {
        let mut facts = Facts::default();
        if let Some(bits) = self.inverted(guest) {
            let by = "InvalidPteMask of the kernel's memory manager";
            premises.push(premise("inverted-bits", &format!("{bits:#x}"), by));
            facts.inverted = bits;
        }
        match prototypes(guest) {
            Some(Ok(base)) => {
                let by = "MmPagedPoolStart, from which entries of 4 bytes count";
                premises.push(premise("prototype-base", &base.to_string(), by));
                facts.prototypes = base;
            }
            // Pages that prototype entries describe are lost with it.
            Some(Err(fault)) => {
                let by = format!("MmPagedPoolStart: {fault}");
                premises.push(premise("prototype-base", "unknown", &by));
            }
            None => {}
        }
        if let Some((number, mask, value)) = self.store(guest) {
            let by = "VirtualStorePagefile of the kernel's paging files";
            premises.push(premise("compressed-store", &number.to_string(), by));
            (facts.store_mask, facts.store) = (mask, value);
        }
        facts
    }

    /// `InvalidPteMask`; `None` when the kernel keeps none or it is 0.
    fn inverted(&self, guest: &Guest) -> Option<u64> {
        if guest.space.mode().entry_bytes() != 8 {
            return None;
        }
        let read = |at: VirtAddr| guest.space.read_uint(at, 8).ok();
        let state = guest
            .symbol(symbols::MiState)
            .zip(self.system.invalid_pte_mask);
        let bits = match state {
            Some((state, field)) => read(field.place(state))?,
            None => read(guest.symbol(symbols::MiInvalidPteMask)?)?,
        };
        // Frame bits that no machine has RAM at; anything else is no such mask.
        let plausible = bits != 0 && bits & !0x000f_fff0_0000_0000 == 0;
        plausible.then_some(bits)
    }

    /// The number of the paging file that is the store of compressed memory; the bits of an entry that
    /// hold such a number, and what they are for that file.
    fn store(&self, guest: &Guest) -> Option<(u64, u64, u64)> {
        let (first, count) = self.software.file?.bits?;
        let is_store = self.paging_file.is_store?;
        let number = self.paging_file.number?;
        let partition = guest.symbol(symbols::MiSystemPartition)?;
        let files = self.partition.paging_file?.place(partition);
        let width = u64::from(guest.pointer_bytes());
        let number = (0..FILES).find_map(|nth| {
            let place = files.plus(nth.wrapping_mul(width));
            let file = guest.space.read_pointer(place).ok()?;
            guest.plausible(file).ok()?;
            let told = number.read(&guest.space, file).ok()?;
            let is_store = is_store.read(&guest.space, file).ok()? != 0;
            (is_store && told == nth).then_some(nth)
        })?;
        let ones = 1_u64.checked_shl(count.into())?.wrapping_sub(1);
        let mask = ones.checked_shl(first.into())?;
        Some((number, mask, number.checked_shl(first.into())? & mask))
    }
}

/// Where prototype entries of 4 bytes are counted from; `None` for wider ones, which hold addresses.
fn prototypes(guest: &Guest) -> Option<Result<VirtAddr, Fault>> {
    if guest.space.mode().entry_bytes() != 4 {
        return None;
    }
    let base = guest
        .space
        .read_pointer(guest.symbol(symbols::MmPagedPoolStart)?);
    let possible = |base: &VirtAddr| guest.is_kernel_address(*base) && base.in_page() == 0;
    base.map(|base| Some(base).filter(possible)).transpose()
}
