//! What a provider registers: how its system is found in a machine, and asked.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_profile::{BuildId, Profile};

use crate::{Osi, Premise};

/// An operating system that can be looked for in a machine.
pub trait System: fmt::Debug + Send + Sync {
    /// What a caller names it by, in lower case and without a dash: the family of an OS name.
    fn name(&self) -> &'static str;

    /// Looks for its kernel in `machine`: through the page table at `root` alone, which somebody named,
    /// when there is one; physical, or as CR3 holds it.
    ///
    /// # Errors
    ///
    /// What was tried, in words.
    fn locate(
        &self,
        machine: &Machine,
        root: Option<PhysAddr>,
    ) -> Result<Arc<dyn FoundKernel>, String>;
}

/// Why a provider could not be made of a kernel and a profile: what its system says.
pub type NoAttach = Box<dyn std::error::Error + Send + Sync>;

/// A kernel that was found.
pub trait FoundKernel: fmt::Debug + Send + Sync {
    /// The name of its [`System`].
    fn system(&self) -> &'static str;

    /// The kernel's paging mode.
    fn mode(&self) -> Paging;

    /// The root of a page table that maps the kernel, physical.
    fn root(&self) -> PhysAddr;

    /// The addresses of the kernel's image. Symbols count from the first.
    fn image(&self) -> Range<VirtAddr>;

    /// What names the build; `None` when nothing does.
    fn build_id(&self) -> Option<&BuildId> {
        None
    }

    /// What the kernel is called. Bytes.
    fn banner(&self) -> Vec<u8>;

    /// How each part was decided.
    fn premises(&self) -> &[Premise];

    /// The address space that the kernel is read by.
    fn space(&self, machine: &Machine) -> AddressSpace;

    /// The kernel's types and symbols, when nobody names others: out of the snapshot, or the provider's
    /// own. Those of Linux and Windows the library looks for.
    ///
    /// # Errors
    ///
    /// What is missing, and the way out, in words.
    fn profile(&self, machine: &Machine) -> Result<Profile, String> {
        let _ = machine;
        Err(format!("give a profile of this {} kernel", self.system()))
    }

    /// The release that the kernel names; empty when it names none.
    fn release(&self) -> String {
        String::new()
    }

    /// What every kernel of the system has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`: it was
    /// made of a part of the kernel's types, and what else it lacks, the kernel may have. Empty of a profile that was
    /// made of all of them.
    fn lacking(&self, profile: &Profile) -> Vec<String> {
        let _ = profile;
        Vec::new()
    }

    /// The provider of this kernel, read by `profile`.
    ///
    /// # Errors
    ///
    /// Why the profile does not serve.
    fn attach(&self, machine: &Machine, profile: Arc<Profile>) -> Result<Box<dyn Osi>, NoAttach>;
}
