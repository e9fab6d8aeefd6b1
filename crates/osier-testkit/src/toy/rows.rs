//! What stands on a toy kernel: the rows that a provider must find.

use osier_memory::{PhysAddr, VirtAddr};

/// Which shapes of the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// As around v5.10: mappings in a list, `core_layout`, `current_task`.
    Lists,
    /// As around v6.4: mappings in a maple tree, `mem[]`, `pcpu_hot`. 64 bits only.
    Trees,
}

/// A task's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToyState {
    /// `R`.
    Running,
    /// `S`.
    #[default]
    Sleeping,
    /// `T`.
    Stopped,
    /// `Z`: a leader that has exited.
    Zombie,
    /// `I`.
    Idle,
}

/// A process of a toy kernel.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are the rows'")]
pub struct ToyTask {
    pub pid: u32,
    pub ppid: u32,
    pub name: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub state: ToyState,
    pub kernel: bool,
    /// Nanoseconds since boot.
    pub start: u64,
    pub exe: Vec<u8>,
    pub cmdline: Vec<u8>,
    pub mappings: Vec<ToyMapping>,
    /// Thread ids and names, the leader first.
    pub threads: Vec<(u32, Vec<u8>)>,
    /// The leader's `task_struct`, known once it is written.
    pub taskd: VirtAddr,
    /// Table root and `mm->pgd`; `None` for a thread of the kernel and where nobody is left.
    pub root: Option<(PhysAddr, VirtAddr)>,
}

/// A mapping of a toy process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the rows'")]
pub struct ToyMapping {
    pub start: u64,
    pub end: u64,
    pub flags: u64,
    pub name: Vec<u8>,
    pub file: Option<Vec<u8>>,
    pub offset: u64,
    /// Its `vm_area_struct`, known once it is written.
    pub vma: VirtAddr,
}

/// A module of a toy kernel.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are the rows'")]
pub struct ToyModule {
    pub name: Vec<u8>,
    pub base: u64,
    pub size: u64,
    pub modd: VirtAddr,
}
