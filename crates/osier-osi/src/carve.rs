//! What it takes to write a process down as a file: its threads' registers, what the kernel told its
//! program, and what its memory holds beside the pages of its own table.

use osier_memory::{Each, Fault, PhysAddr, VirtAddr};

use crate::{Device, Seen, WalkEnds};

/// Bytes of what `FXSAVE` writes.
pub const FXSAVE_BYTES: usize = 512;

/// Where a thread's registers were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistersFrom {
    /// Where the kernel put them when it was entered last.
    KernelStack,
    /// The processor that the thread ran on in user mode.
    Processor,
}

/// The registers that a thread has in user mode. 32-bit ones are zero-extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRegisters {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15: the encoding order of x86; the upper eight are 0 on a
    /// 32-bit processor.
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags register.
    pub rflags: u64,
    /// The number of the system call that the thread is in; all ones when it is in none: `orig_ax`.
    pub orig_rax: u64,
    /// Code segment.
    pub cs: u16,
    /// Stack segment.
    pub ss: u16,
    /// Data segment.
    pub ds: u16,
    /// Extra segment.
    pub es: u16,
    /// The selector in FS.
    pub fs: u16,
    /// The selector in GS.
    pub gs: u16,
    /// Base of FS; absent as not applicable on a 32-bit processor, whose descriptors hold it.
    pub fs_base: Seen<u64>,
    /// Base of GS; likewise.
    pub gs_base: Seen<u64>,
    /// Where they were read.
    pub from: RegistersFrom,
    /// Registers that the kernel did not keep, by their indices in `general`; they stand as 0.
    pub lost: &'static [usize],
}

/// What stands behind an address of a process at which its page table has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A page of the page cache, or of the kernel's image: its physical address.
    Frame(PhysAddr),
    /// Zeros: memory that was promised and never touched.
    Zeros,
    /// Nothing: the file ends before.
    Past,
    /// Whatever a driver gives when it is touched.
    Driver,
}

/// An address of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessAddress {
    /// The process, or a thread that has its memory.
    pub taskd: VirtAddr,
    /// The mapping, as [`crate::Mapping::modd`] names it.
    pub modd: VirtAddr,
    /// The address.
    pub va: VirtAddr,
}

/// What stands behind a stretch of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// What; absent when it is in a file or swapped out, and not in memory.
    pub what: Seen<Behind>,
    /// Bytes for which this holds, from the address that was asked for; a number of pages. Each page of
    /// them has a frame of its own.
    pub bytes: u64,
}

/// A file whose pages the kernel keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedFile {
    /// What names it: Linux: its `address_space`.
    pub mapping: VirtAddr,
    /// Its length in bytes: `i_size`.
    pub size: Seen<u64>,
}

/// A file of which the kernel keeps pages, whoever used it, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// The path, as the first process shows it that sees where the file is, with ` (deleted)` behind an unlinked
    /// file. Not applicable where no process has its file system mounted, and to a file whose names the
    /// kernel has forgotten: it keeps pages longer. Bytes.
    pub path: Seen<Vec<u8>>,
    /// The path inside its own file system, with `//deleted` behind an unlinked file; as `path` not applicable
    /// without a name. Bytes.
    pub inside: Seen<Vec<u8>>,
    /// What it is, by `i_mode`: `regular`, `directory`, `link`, `block` of a device, whose pages are the file
    /// system's own tables, or `internal` of an inode that such a system keeps for itself.
    pub kind: Seen<&'static str>,
    /// The type of its file system, such as `ext4`. Bytes.
    pub system: Seen<Vec<u8>>,
    /// The device of its file system: `s_dev`.
    pub device: Seen<Device>,
    /// The inode's number: `i_ino`.
    pub inode: Seen<u64>,
    /// Its length in bytes: `i_size`.
    pub size: Seen<u64>,
    /// Bytes of it in memory: pages that its tree has, which are held against their number (`nrpages`). Not
    /// applicable to hugetlbfs, which counts in pages of its own.
    pub cached: Seen<u64>,
    /// What names it for [`CarveLinux::cached`]: its `address_space`.
    pub mapping: VirtAddr,
}

/// A part of a kernel module's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePart {
    /// First address.
    pub base: VirtAddr,
    /// Length in bytes.
    pub size: u64,
}

/// The questions of whoever writes a process or a module down as a file.
pub trait Carve {
    /// The registers that the thread at `task` has in user mode. Windows: in native code; what a program of the
    /// other width had is [`CarveWindows::registers_32`].
    ///
    /// # Errors
    /// Why they are absent; not applicable to a thread of the kernel, and to one that has exited.
    fn user_registers(&self, task: VirtAddr) -> Seen<UserRegisters>;

    /// Bytes of a pointer of the program of the process at `taskd`: 4 or 8.
    ///
    /// # Errors
    /// Why that cannot be told.
    fn program_width(&self, taskd: VirtAddr) -> Seen<u8>;

    /// What stands behind the page at `place`, of which the process's page table says `fault`; and how much more of
    /// the mapping, of at most `most` bytes, is the same.
    fn behind(&self, place: ProcessAddress, fault: Fault, most: u64) -> Stretch;

    /// The parts of memory of the module at `modd`, as [`crate::Module`] names it. Windows: one, its image.
    ///
    /// # Errors
    /// Why they are absent.
    fn module_parts(&self, modd: VirtAddr) -> Seen<Vec<ModulePart>>;

    /// What only Linux has.
    fn linux(&self) -> Option<&dyn CarveLinux> {
        None
    }

    /// What only Windows has.
    fn windows(&self) -> Option<&dyn CarveWindows> {
        None
    }
}

/// What Linux adds: an ELF core's notes, and files in the page cache.
pub trait CarveLinux: Carve {
    /// The floating-point registers of the thread at `task`, as `FXSAVE` writes them.
    ///
    /// # Errors
    /// Why they are absent; not applicable where the thread has none yet.
    fn floating_point(&self, task: VirtAddr) -> Seen<Box<[u8; FXSAVE_BYTES]>>;

    /// What the kernel told the program of the process at `taskd` at its start: pairs of a type and a
    /// value, of the program's width: `mm->saved_auxv`. Up to the pair of type 0 and with it.
    ///
    /// # Errors
    /// Why it is absent.
    fn auxiliary(&self, taskd: VirtAddr) -> Seen<Vec<u8>>;

    /// The file of the program of the process at `taskd`: `mm->exe_file`.
    ///
    /// # Errors
    /// Why there is none.
    fn executable(&self, taskd: VirtAddr) -> Seen<CachedFile>;

    /// The file that the mapping at `modd` is of.
    ///
    /// # Errors
    /// Why there is none; not applicable to memory without a file.
    fn mapped_file(&self, modd: VirtAddr) -> Seen<CachedFile>;

    /// What the kernel keeps of `file` from byte `at`, a multiple of a page, on, for at most `most` bytes.
    fn cached(&self, file: &CachedFile, at: u64, most: u64) -> Stretch;

    /// Every file of which the kernel keeps pages: the inodes of every file system (`super_blocks`,
    /// `s_inodes`) that have some.
    fn kept_files(&self, row: Each<'_, KeptFile>) -> WalkEnds;
}

/// What Windows adds: what a minidump says beside memory and registers.
pub trait CarveWindows: Carve {
    /// The registers that the thread at `task` of a WoW64 process has, or had when it left its 32-bit code last.
    ///
    /// # Errors
    /// Why they are absent; not applicable to a thread without 32-bit code.
    fn registers_32(&self, task: VirtAddr) -> Seen<UserRegisters>;

    /// What else is known of the thread at `task`.
    fn thread_facts(&self, task: VirtAddr) -> ThreadFacts;

    /// What is known of the system.
    fn system_facts(&self) -> SystemFacts;

    /// Where the program of the process at `taskd` is mapped: `_EPROCESS.SectionBaseAddress`.
    ///
    /// # Errors
    /// Why that is absent; not applicable to a process without a program.
    fn program_base(&self, taskd: VirtAddr) -> Seen<VirtAddr>;

    /// What the descriptor that holds the address `va` of the process at `taskd` says.
    ///
    /// # Errors
    /// Why that is absent; not applicable where there is none.
    fn descriptor(&self, taskd: VirtAddr, va: VirtAddr) -> Seen<Descriptor>;
}

/// A thread of Windows, for a debugger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// Its `_TEB`: `Tcb.Teb`; not applicable to a thread of the kernel.
    pub teb: Seen<VirtAddr>,
    /// Of a WoW64 thread its `_TEB32`; not applicable to others.
    pub teb_32: Seen<VirtAddr>,
    /// `Tcb.Priority`, 0 to 31.
    pub priority: Seen<u32>,
    /// How often it was suspended and not resumed: `Tcb.SuspendCount`.
    pub suspended: Seen<u32>,
    /// When it was made, in FILETIME: `CreateTime`.
    pub create_time: Seen<u64>,
    /// The function that it was made to run: `Win32StartAddress`.
    pub start: Seen<VirtAddr>,
}

/// A system of Windows, for a debugger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemFacts {
    /// Major and minor version: `_KUSER_SHARED_DATA.NtMajorVersion` and `NtMinorVersion`.
    pub version: Seen<(u32, u32)>,
    /// The build, without the bits above that say of which sort: `NtBuildNumber`.
    pub build: Seen<u32>,
    /// 1 of a workstation, 2 of a domain controller, 3 of a server: `_KUSER_SHARED_DATA.NtProductType`.
    pub product: Seen<u32>,
    /// Processors that were started: those in `KiProcessorBlock`.
    pub processors: Seen<u32>,
}

/// A virtual address descriptor, in the words of the programming interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// First address.
    pub start: VirtAddr,
    /// Length in bytes.
    pub bytes: u64,
    /// What memory was made with: `PAGE_READWRITE` and the like.
    pub protection: Seen<u32>,
    /// `MEM_PRIVATE`, `MEM_MAPPED` or `MEM_IMAGE`.
    pub kind: Seen<u32>,
}
