//! The rows: plain data with public fields.

use osier_memory::{PageFlags, PhysAddr, VirtAddr};

use crate::found_by::FoundBy;
use crate::{LinuxWide, Seen, WindowsWide};

/// The least that names a process: PANDA's `OsiProcHandle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Linux: the `task_struct` of the group leader. Windows: the `_EPROCESS`.
    pub taskd: VirtAddr,
    /// Physical address of the page-table root; not applicable to a thread of the kernel.
    pub asid: Seen<PhysAddr>,
}

/// What a process is chosen by: of the others nothing more need be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessName {
    /// As [`Process::taskd`].
    pub taskd: VirtAddr,
    /// As [`Process::pid`].
    pub pid: Seen<u32>,
    /// As [`Process::name`].
    pub name: Seen<Vec<u8>>,
}

/// A process: PANDA's `OsiProc` and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Linux: the `task_struct` of the group leader. Windows: the `_EPROCESS`.
    pub taskd: VirtAddr,
    /// Linux: `tgid`. Windows: `UniqueProcessId`.
    pub pid: Seen<u32>,
    /// Linux: `real_parent->tgid`. Windows: `InheritedFromUniqueProcessId`.
    pub ppid: Seen<u32>,
    /// Linux: `comm`. Windows: `ImageFileName`. Bytes, without the NUL.
    pub name: Seen<Vec<u8>>,
    /// Physical address of the page-table root; not applicable to a thread of the kernel.
    pub asid: Seen<PhysAddr>,
    /// `mm->pgd`, virtual; Linux only.
    pub pgd: Seen<VirtAddr>,
    /// Linux: nanoseconds of the monotonic clock, which starts at boot. Windows: FILETIME.
    pub create_time: Seen<u64>,
    /// The same on the wall clock: nanoseconds since 1970-01-01 UTC.
    pub start: Seen<i64>,
    /// Which sources found it.
    pub found_by: FoundBy,
    /// What only one operating system has.
    pub extra: ProcessExtra,
}

/// What only one operating system has of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessExtra {
    /// Linux.
    Linux(LinuxProcess),
    /// Windows.
    Windows(WindowsProcess),
    /// Any other system: nothing.
    Other,
}

/// What only Linux has of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxProcess {
    /// Real user id, in the initial user namespace: `real_cred->uid`.
    pub uid: Seen<u32>,
    /// Real group id: `real_cred->gid`.
    pub gid: Seen<u32>,
    /// The leader's state.
    pub state: Seen<TaskState>,
    /// Threads in the group: `signal->nr_threads`.
    pub threads: Seen<u32>,
    /// Path of the executable, as `/proc/PID/exe` shows it.
    pub exe: Seen<Vec<u8>>,
    /// Arguments, NUL-separated as in memory.
    pub cmdline: Seen<Vec<u8>>,
    /// A thread of the kernel: `PF_KTHREAD`.
    pub kernel_thread: Seen<bool>,
    /// What `ps --wide` shows; `None` unless it was asked for.
    pub wide: Option<Box<LinuxWide>>,
}

/// What only Windows has of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsProcess {
    /// FILETIME; not applicable while it runs.
    pub exit_time: Seen<u64>,
    /// Session id.
    pub session: Seen<u32>,
    /// A 32-bit process on a 64-bit kernel.
    pub wow64: Seen<bool>,
    /// Address of the `_PEB`.
    pub peb: Seen<VirtAddr>,
    /// Path of the image.
    pub path: Seen<Vec<u8>>,
    /// Command line.
    pub cmdline: Seen<Vec<u8>>,
    /// What `ps --wide` shows; `None` unless it was asked for.
    pub wide: Option<Box<WindowsWide>>,
}

/// A thread's state. Linux: as `/proc/PID/stat` names it. Windows: a letter for `_KTHREAD.State`,
/// see `docs/rows.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskState(pub char);

/// What runs on a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The processor's index.
    pub cpu: u32,
    /// The current thread; its `task` is the running thread's own.
    pub thread: Seen<Thread>,
    /// The thread's process.
    pub process: Seen<Process>,
}

/// A thread: PANDA's `OsiThread` and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The process's id.
    pub pid: Seen<u32>,
    /// The thread's id.
    pub tid: Seen<u32>,
    /// The thread's own name. Bytes.
    pub name: Seen<Vec<u8>>,
    /// Linux: `task_struct`. Windows: `_ETHREAD`.
    pub task: VirtAddr,
    /// The thread's state.
    pub state: Seen<TaskState>,
}

/// A kernel module or driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name. Bytes.
    pub name: Seen<Vec<u8>>,
    /// First address of its code.
    pub base: Seen<VirtAddr>,
    /// Size in bytes. Linux: all sections, as `/proc/modules` counts them.
    pub size: Seen<u64>,
    /// Path of its file; Linux keeps none.
    pub file: Seen<Vec<u8>>,
    /// Linux: `struct module`. Windows: the loader entry.
    pub modd: VirtAddr,
}

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingKind {
    /// A file.
    File,
    /// The heap.
    Heap,
    /// The main thread's stack.
    Stack,
    /// Anything else.
    Unknown,
    /// Windows: an image.
    Image,
    /// Windows: private memory.
    Private,
}

/// A mapping of a process: PANDA's `OsiModule` and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The process's id.
    pub pid: Seen<u32>,
    /// First address.
    pub base: Seen<VirtAddr>,
    /// Size in bytes.
    pub size: Seen<u64>,
    /// The file's base name, or a name in brackets as `/proc/PID/maps` shows it; not applicable to
    /// an anonymous mapping. Bytes.
    pub name: Seen<Vec<u8>>,
    /// The whole path; not applicable without a file. Linux: as `/proc/PID/maps` shows it to a
    /// reader at the root directory of process 1, so that a chroot is seen from outside, with
    /// ` (deleted)` behind an unlinked file. Bytes.
    pub file: Seen<Vec<u8>>,
    /// Offset in the file, in bytes.
    pub offset: Seen<u64>,
    /// Raw flags. Linux: `vm_flags`. Windows: `_MMVAD.u`.
    pub flags: Seen<u64>,
    /// The rights as `/proc/PID/maps` shows them: `rwxp`, or `rwxs` for memory that is shared.
    pub perms: Seen<[u8; 4]>,
    /// What it is for.
    pub kind: Seen<MappingKind>,
    /// Linux: `vm_area_struct`. Windows: the loader entry or VAD.
    pub modd: VirtAddr,
}

/// A range of present pages: PANDA's `OsiPage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRange {
    /// The process's id.
    pub pid: Seen<u32>,
    /// First virtual address.
    pub start: VirtAddr,
    /// Length in bytes.
    pub len: u64,
    /// Physical address of the first byte.
    pub phys: PhysAddr,
    /// Bytes of each page.
    pub page_bytes: u64,
    /// Rights and marks of the page-table entries.
    pub flags: PageFlags,
    /// What the mapping around it is called; not applicable outside every mapping.
    pub backing: Seen<Vec<u8>>,
}
