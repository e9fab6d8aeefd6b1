//! Rows of what was found by its own bytes: tasks and modules, linked into the kernel's lists or not.

use std::fmt;

use osier_memory::{PhysAddr, VirtAddr};

use crate::Seen;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScannedKind {
    /// A process, by the task that leads it.
    Process,
    /// A thread that leads no process.
    Thread,
    /// A kernel module.
    Module,
}

impl ScannedKind {
    /// The word of the field `kind`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
            Self::Module => "module",
        }
    }
}

/// A source that names tasks or modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ScanSource {
    /// The slab pages of the cache that tasks are allocated from. Linux: `task_struct_cachep`.
    Slab,
    /// The memory that modules are loaded into.
    ModuleMemory,
    /// The kernel's list. Linux: `init_task.tasks`, `modules`. Windows: `PsActiveProcessHead`, `PsLoadedModuleList`.
    List,
    /// The table of ids. Linux: `init_pid_ns.idr` or `pid_hash`. Windows: `PspCidTable`.
    PidTable,
    /// The lists of children that processes have.
    Children,
    /// The lists of threads that processes have. Windows: the owners of threads that tables name.
    Threads,
    /// A processor's run queue, which names its idle task.
    RunQueue,
    /// The tree by which the kernel finds the module of an address. Linux: `mod_tree`.
    ModuleTree,
    /// The set of `/sys/module`. Linux: `module_kset`.
    SysModule,
    /// The pools, by the tags of their blocks. Windows.
    Pool,
    /// The handles of processes. Windows.
    Handles,
    /// The objects of drivers, which name their images. Windows.
    DriverObject,
}

impl ScanSource {
    /// All of them, those that search for bytes first.
    pub const ALL: [Self; 12] = [
        Self::Slab,
        Self::ModuleMemory,
        Self::List,
        Self::PidTable,
        Self::Children,
        Self::Threads,
        Self::RunQueue,
        Self::ModuleTree,
        Self::SysModule,
        Self::Pool,
        Self::Handles,
        Self::DriverObject,
    ];

    /// The word of the field `found_by`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Slab => "slab",
            Self::ModuleMemory => "module-memory",
            Self::List => "list",
            Self::PidTable => "pid-table",
            Self::Children => "children",
            Self::Threads => "threads",
            Self::RunQueue => "run-queue",
            Self::ModuleTree => "module-tree",
            Self::SysModule => "sys-module",
            Self::Pool => "pool",
            Self::Handles => "handles",
            Self::DriverObject => "driver-object",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The sources that found a task or a module.
///
/// ```
/// use osier_osi::{ScanSource, ScanSources};
///
/// let found = ScanSources::default().and(ScanSource::Slab).and(ScanSource::List);
/// assert!(found.has(ScanSource::List) && !found.has(ScanSource::PidTable));
/// assert_eq!(found.to_string(), "slab,list");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScanSources(u16);

impl ScanSources {
    /// The same, found by `source` as well.
    #[must_use]
    pub const fn and(self, source: ScanSource) -> Self {
        Self(self.0 | source.bit())
    }

    /// Whether `source` found it.
    pub const fn has(self, source: ScanSource) -> bool {
        self.0 & source.bit() != 0
    }

    /// The sources that found it.
    pub fn sources(self) -> impl Iterator<Item = ScanSource> {
        ScanSource::ALL
            .into_iter()
            .filter(move |source| self.has(*source))
    }
}

/// The words of the sources, with commas between.
impl fmt::Display for ScanSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, source) in self.sources().enumerate() {
            if nth > 0 {
                f.write_str(",")?;
            }
            f.write_str(source.word())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScanSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanSources {{ {self} }}")
    }
}

/// A task or a module, and what leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// What it is.
    pub kind: ScannedKind,
    /// Its `task_struct` or `struct module`. Windows: its `_EPROCESS`, or the loader's entry of its image.
    pub address: VirtAddr,
    /// The same, physical.
    pub phys: Seen<PhysAddr>,
    /// The process's id (`tgid`); not applicable to a module.
    pub pid: Seen<u32>,
    /// The thread's own id (`pid`); not applicable to a module.
    pub tid: Seen<u32>,
    /// Its name. Bytes.
    pub name: Seen<Vec<u8>>,
    /// Whether the kernel's own list leads to it: that of processes, of the threads of its process, of modules; of a
    /// processor's idle task, the processor's run queue.
    pub linked: bool,
    /// Whether its memory was given back: it lies on a list of free slots, where it was not used again. Windows: its
    /// block of the pool is free.
    pub freed: Seen<bool>,
    /// Whether it says that it has begun to exit; not applicable to a module.
    pub exited: Seen<bool>,
    /// What found it.
    pub found_by: ScanSources,
}
