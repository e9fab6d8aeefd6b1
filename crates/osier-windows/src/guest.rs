//! What every walker of a Windows guest needs: the kernel's address space, its profile, its base.

use std::sync::Arc;

use osier_memory::{AddressSpace, Cause, CpuState, Fault, PhysAddr, VirtAddr};
use osier_osi::{Lists, WalkEnd, Walked};
use osier_profile::Profile;

/// A Windows guest: the kernel's address space and the facts to read it by. It belongs to one task.
#[derive(Clone)]
pub(crate) struct Guest {
    /// The kernel's address space: the System process's table, or another that maps the kernel.
    pub(crate) space: AddressSpace,
    /// Types and symbols.
    pub(crate) profile: Arc<Profile>,
    /// Where the kernel's image lies; symbols count from it.
    pub(crate) base: VirtAddr,
    /// The processors' registers; empty when the snapshot holds none.
    pub(crate) cpus: Vec<CpuState>,
}

impl Guest {
    /// The running kernel's address of symbol `name`.
    pub(crate) fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let rva = self.profile.symbol(name)?;
        Some(self.space.mode().canonicalise(self.base.plus(rva)))
    }

    /// Bytes of a kernel pointer.
    pub(crate) fn pointer_bytes(&self) -> u8 {
        self.space.mode().pointer_bytes()
    }

    /// Whether `address` can be one of the kernel's objects.
    pub(crate) fn is_kernel_address(&self, address: VirtAddr) -> bool {
        is_kernel_address(&self.space, address)
    }

    /// Whether an object of the kernel's can lie at `at`: a kernel address that is aligned and
    /// mapped. A page that is mapped and cannot be read may well hold it.
    pub(crate) fn plausible(&self, at: VirtAddr) -> Result<(), Fault> {
        let nowhere = Fault::new(Cause::NonCanonical).with_va(at);
        // Windows aligns pool to 8 bytes on 32-bit machines and to 16 on 64-bit ones.
        if !self.is_kernel_address(at) || !at.0.is_multiple_of(u64::from(self.pointer_bytes())) {
            return Err(nowhere);
        }
        mapped(&self.space, at)
    }

    /// Walks the kernel list whose head is at `head`.
    pub(crate) fn ring(&self, head: VirtAddr) -> Walked {
        let lists = Lists {
            space: &self.space,
            pointer_bytes: self.pointer_bytes(),
            plausible: &|at| self.plausible(at),
        };
        lists.ring(head)
    }

    /// Whether the list whose head is at `head` has not been built yet: both of the head's links are null,
    /// which in the kernel's image they are until the kernel comes to it.
    pub(crate) fn is_unbuilt(&self, head: VirtAddr) -> bool {
        let next = head.plus(self.pointer_bytes().into());
        let null = |at| self.space.read_pointer(at) == Ok(VirtAddr(0));
        null(head) && null(next)
    }

    /// Walks the kernel list whose head is at `head`, a list of `what` that the kernel builds as it starts.
    pub(crate) fn started_ring(&self, head: VirtAddr, what: &str) -> Walked {
        if self.is_unbuilt(head) {
            let missing =
                format!("the list of {what} at {head}, which the kernel had not built yet");
            return Walked {
                nodes: Vec::new(),
                end: WalkEnd::no_start(missing, None),
            };
        }
        self.ring(head)
    }

    /// The address space of the page-table root at `root`.
    pub(crate) fn space_of(&self, root: PhysAddr) -> AddressSpace {
        self.space.with_root(root)
    }
}

/// Whether `address` lies in the kernel half. A 32-bit kernel starts at 2 GiB, or later with `/3GB`.
pub(crate) fn is_kernel_address(space: &AddressSpace, address: VirtAddr) -> bool {
    let mode = space.mode();
    if mode.pointer_bytes() == 4 {
        (0x8000_0000..=0xffff_ffff).contains(&address.0)
    } else {
        mode.canonical(address) && address.0 >> 63 == 1
    }
}

/// The fault of an address that nothing maps.
pub(crate) fn mapped(space: &AddressSpace, at: VirtAddr) -> Result<(), Fault> {
    match space.translate(at) {
        Err(fault) if matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical) => {
            Err(fault)
        }
        _ => Ok(()),
    }
}
