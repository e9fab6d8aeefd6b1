//! What every walker of a Linux guest needs: the kernel's address space, its profile, its slide.

use std::ops::Range;
use std::sync::Arc;

use osier_memory::{AddressSpace, CpuState, Paging, PhysAddr, VirtAddr, encryption_bits};
use osier_profile::Profile;

use crate::symbols;

/// A Linux guest: the kernel's address space and the facts to read it by. It belongs to one task.
#[derive(Clone)]
pub(crate) struct Guest {
    /// The kernel's address space: the reference table (`init_mm`'s), or a process's kernel half.
    pub(crate) space: AddressSpace,
    /// Types and symbols.
    pub(crate) profile: Arc<Profile>,
    /// Added to a link-time address to get the running kernel's (KASLR); wraps.
    pub(crate) slide: u64,
    /// One past the highest address that a process can have.
    pub(crate) user_end: u64,
    /// Where the kernel's code lies, `_text` to `_etext`, which is never freed; empty when that is unknown.
    pub(crate) code: Range<VirtAddr>,
    /// The processors' registers; empty when the snapshot holds none.
    pub(crate) cpus: Vec<CpuState>,
}

/// One past the highest address that a process can have. On 32 bits the kernel's half starts where
/// physical memory 0 is mapped, as far below the image as the image lies in memory.
pub(crate) fn user_end(mode: Paging, text: VirtAddr, text_pa: PhysAddr) -> u64 {
    match mode {
        Paging::Long4 => 1 << 47,
        Paging::Long5 => 1 << 56,
        _ => text.0.saturating_sub(text_pa.0),
    }
}

impl Guest {
    /// The running kernel's address of symbol `name`. Not for per-CPU symbols.
    pub(crate) fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let linked = self.profile.symbol(name)?;
        let address = VirtAddr(linked.wrapping_add(self.slide));
        Some(self.space.mode().canonicalise(address))
    }

    /// Bytes of a kernel pointer.
    pub(crate) fn pointer_bytes(&self) -> u8 {
        self.space.mode().pointer_bytes()
    }

    /// Whether `address` can be one of the kernel's objects: in the kernel half and canonical.
    pub(crate) fn is_kernel_address(&self, address: VirtAddr) -> bool {
        let mode = self.space.mode();
        if mode.pointer_bytes() == 4 {
            // Debian's and most other 32-bit kernels split at 3 GiB; some at 1 or 2.
            address.0 >= 0x4000_0000 && address.0 <= 0xffff_ffff
        } else {
            mode.canonical(address) && address.0 >> 63 == 1
        }
    }

    /// Whether an object with a pointer in it can lie at `address`: in the kernel half, and aligned.
    pub(crate) fn can_be_object(&self, address: VirtAddr) -> bool {
        self.is_kernel_address(address) && address.0.is_multiple_of(self.pointer_bytes().into())
    }

    /// The bits that mark encrypted memory as the kernel's own variables tell them, where these can be
    /// read and say more than is known: AMD's C-bit, or what a TDX guest takes out of its addresses.
    ///
    /// Linux commit 21729f81ce8a ("x86/mm: Provide general kernel support for memory encryption"),
    /// v4.14, has `sme_me_mask`; commit 94d49eb30e85 ("x86/mm: Decouple dynamic `__PHYSICAL_MASK` from
    /// AMD SME"), v4.18, `physical_mask`.
    pub(crate) fn encryption_told(&self) -> Option<(u64, &'static str)> {
        let may_be = encryption_bits(&**self.space.memory());
        if self.space.mode().pointer_bytes() != 8 || may_be == 0 {
            return None;
        }
        let word = |name| self.space.read_uint(self.symbol(name)?, 8).ok();
        let known = self.space.encryption();
        // A page of zeros says nothing: every address has its low bits.
        let address = |mask: &u64| mask.trailing_ones() >= 40;
        let of_address = word(symbols::physical_mask).filter(address);
        let told = [
            (word(symbols::sme_me_mask), symbols::sme_me_mask),
            (of_address.map(|mask| !mask), symbols::physical_mask),
        ];
        told.into_iter().find_map(|(bits, by)| {
            let bits = bits? & may_be;
            (bits & !known != 0).then_some((bits | known, by))
        })
    }

    /// The address space of the page-table root at `root` (`mm->pgd` made physical).
    pub(crate) fn space_of(&self, root: PhysAddr) -> AddressSpace {
        self.space.with_root(root)
    }
}
