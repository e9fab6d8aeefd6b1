//! What a test wants to be on the machine: plain data, filled in with addresses by the writer.

use osier_memory::{PhysAddr, VirtAddr};

/// A process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// `UniqueProcessId`.
    pub pid: u64,
    /// `InheritedFromUniqueProcessId`.
    pub ppid: u64,
    /// `ImageFileName`; what is longer than 15 bytes is cut, as the kernel does.
    pub name: String,
    /// `CreateTime`, in FILETIME.
    pub create_time: u64,
    /// `ExitTime`; a process that has one has neither PEB nor VADs nor threads.
    pub exit_time: Option<u64>,
    /// `SessionId`; `None` for the processes that belong to no session.
    pub session: Option<u32>,
    /// What sort of process.
    pub kind: ProcessKind,
    /// `ImagePathName`: the program as the process sees it, `C:\Windows\…`.
    pub path: String,
    /// `CommandLine`.
    pub cmdline: String,
    /// `CurrentDirectory.DosPath`.
    pub cwd: String,
    /// The loader's list, in load order: the program first.
    pub modules: Vec<Module>,
    /// The 32-bit loader's list; a process with one is a WoW64 process.
    pub wow64: Option<Wow64>,
    /// Threads; the processors of the plan may name them as current.
    pub threads: Vec<Thread>,
    /// Mappings besides those of the modules, stacks and PEB; or all, when
    /// [`all_vads`](Self::all_vads) is set.
    pub vads: Vec<Vad>,
    /// Whether [`vads`](Self::vads) are all that the process has, so that the writer adds none.
    pub all_vads: bool,
    /// The process's heap, where the writer puts the loader's data: a range that is a VAD of the
    /// caller's, or chosen by the writer.
    pub heap: Option<VirtAddr>,
    /// What of it is not in memory.
    pub paged: Vec<(Part, Paged)>,
    /// Pages of its sections that its table does not have.
    pub shared: Vec<Shared>,
    /// Whether its images have headers in memory.
    pub headers: bool,
    /// What it has open.
    pub handles: Vec<Handle>,
    /// Whom it acts for.
    pub acts_for: Token,
    /// Its environment, `NAME=value`; of a WoW64 process that of both halves.
    pub environment: Vec<String>,
    /// Where the kernel tells of it.
    pub told: Told,
    /// Whether it was made and has never run: no loader's data, no heap, and parameters whose strings
    /// count from the block that they are in.
    pub unstarted: bool,
    /// Of a process that has exited: the PEB that its `_EPROCESS` still names.
    pub stale_peb: Option<VirtAddr>,

    /// The `_EPROCESS`; wanted, or chosen by the writer.
    pub eprocess: Option<VirtAddr>,
    /// The table root of the kernel's view (`DirectoryTableBase`), page-aligned but for PAE;
    /// wanted, or chosen by the writer.
    pub root: Option<PhysAddr>,
    /// The table root of user mode, where KVA shadow is on. Chosen by the writer.
    pub user_root: Option<PhysAddr>,
    /// The PEB; wanted, or chosen by the writer. `None` after writing: it has none.
    pub peb: Option<VirtAddr>,
    /// The `_HANDLE_TABLE`. Chosen by the writer; `None` where the layout has none.
    pub handle_table: Option<VirtAddr>,
    /// The `_TOKEN`. Chosen by the writer; `None` where the layout has none.
    pub token: Option<VirtAddr>,
    /// Where its environment begins, and the block that names it (`_RTL_USER_PROCESS_PARAMETERS`), of a WoW64
    /// process in its 32-bit half. Chosen by the writer.
    pub environment_at: Option<(VirtAddr, VirtAddr)>,
}

/// Whom a process acts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The user's SID: `S-1-5-18`.
    pub user: String,
    /// Those of its groups.
    pub groups: Vec<String>,
    /// Privileges by number, and whether each is in force.
    pub privileges: Vec<(u32, bool)>,
    /// The integrity level, where the layout has these.
    pub integrity: Option<u32>,
    /// The logon's number.
    pub logon: u64,
}

/// The system's own token.
impl Default for Token {
    fn default() -> Self {
        let groups = ["S-1-5-32-544", "S-1-1-0", "S-1-5-11"];
        Self {
            user: "S-1-5-18".to_owned(),
            groups: groups.map(str::to_owned).to_vec(),
            privileges: vec![(2, false), (7, true), (20, true), (23, true)],
            integrity: Some(0x4000),
            logon: 0x3e7,
        }
    }
}

/// A handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Its number, a multiple of 4.
    pub handle: u64,
    /// What it leads to.
    pub opened: Opened,
    /// `GrantedAccess`.
    pub access: u64,
    /// The object. Chosen by the writer.
    pub object: VirtAddr,
}

/// What a handle leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A file of the machine's volume, by its path there (`\Windows\…`).
    File(String),
    /// A file of another device: the device's path and the file's there, which may be empty.
    On(String, String),
    /// A key, by its path: `\REGISTRY\…`, in capitals.
    Key(String),
    /// The process of this id.
    Process(u64),
    /// The thread of this id.
    Thread(u64),
    /// An object of this type and this path in the object manager's tree.
    Named(&'static str, String),
    /// An object of this type without a name.
    Nameless(&'static str),
}

/// Where the kernel tells of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// On the list of processes and in the table of ids.
    #[default]
    ByBoth,
    /// On the list alone.
    ByList,
    /// In the table alone: it was taken off the list.
    ByTable,
}

/// What sort of process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessKind {
    /// A program.
    #[default]
    Normal,
    /// The System process: the kernel's own, without PEB, and what `PsInitialSystemProcess` names.
    System,
    /// A minimal process, such as Registry and Memory Compression: no PEB, no loader's list.
    Minimal,
    /// A pico process, such as WSL's: no PEB, a provider's context.
    Pico,
}

/// The 32-bit half of a WoW64 process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wow64 {
    /// The 32-bit loader's list, in load order.
    pub modules: Vec<Module>,
    /// The 32-bit `ImagePathName`, which may differ from the 64-bit one.
    pub path: String,
    /// The 32-bit `CommandLine`.
    pub cmdline: String,
    /// The 32-bit PEB. Chosen by the writer.
    pub peb: VirtAddr,
}

/// A DLL or program in a loader's list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// `DllBase`.
    pub base: u64,
    /// `SizeOfImage`.
    pub size: u64,
    /// `FullDllName`.
    pub path: String,
    /// `BaseDllName`; empty for what follows the last `\` of the path.
    pub name: String,
    /// `LoadCount`, or `ObsoleteLoadCount`.
    pub load_count: u16,
    /// What became of the page with its two names.
    pub paged_names: Option<Paged>,
    /// The loader's entry. Chosen by the writer.
    pub entry: VirtAddr,
}

/// A driver in `PsLoadedModuleList`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Driver {
    /// `DllBase`.
    pub base: u64,
    /// `SizeOfImage`.
    pub size: u64,
    /// `BaseDllName`.
    pub name: String,
    /// `FullDllName`.
    pub path: String,
    /// Its `_KLDR_DATA_TABLE_ENTRY`; wanted, or chosen by the writer.
    pub entry: Option<VirtAddr>,
    /// Whether it was taken off the list.
    pub unlinked: bool,
    /// Functions of its object that are not as they were made: number, and where it leads.
    pub hooked: Vec<(u64, u64)>,
    /// Its `_DRIVER_OBJECT`. Chosen by the writer; `None` of the kernel and the HAL, and where the layout has none.
    pub object: Option<VirtAddr>,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// `Cid.UniqueThread`.
    pub tid: u64,
    /// `State` (`_KTHREAD_STATE`): 2 is running, 5 waiting.
    pub state: u8,
    /// `CreateTime`, in FILETIME.
    pub create_time: u64,
    /// Its `_ETHREAD`; wanted, or chosen by the writer.
    pub ethread: Option<VirtAddr>,
    /// Its user stack, lowest address and length; wanted, or chosen by the writer.
    pub stack: (u64, u64),
    /// Its `_TEB`; wanted, or chosen by the writer.
    pub teb: VirtAddr,
    /// Of a WoW64 process, its 32-bit stack, lowest address and length. Chosen by the writer.
    pub stack32: (u64, u64),
    /// `ThreadName`, where the layout has it.
    pub name: String,
    /// How it came into the kernel last.
    pub entered: Entered,
}

/// How a thread came into the kernel last, which tells what is kept of its registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entered {
    /// By a system call.
    #[default]
    Call,
    /// By a system call, in which the kernel called itself.
    Nested,
    /// By an interrupt, of a WoW64 thread in its 32-bit code.
    Interrupt,
}

/// A virtual address descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct Vad {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// What lies there.
    pub kind: VadKind,
    /// `Protection`, such as [`Protection::READ_WRITE`].
    pub protection: Protection,
    /// `MemCommit`: whether all of it was committed at once.
    pub commit: bool,
    /// Where the range begins in its section, in bytes; a multiple of a page.
    pub offset: u64,
    /// Its node; wanted, or chosen by the writer.
    pub node: Option<VirtAddr>,
}

/// What lies in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VadKind {
    /// Private memory.
    Private,
    /// A section; its file as the device's file system sees it (`\Windows\…`), `None` for one of
    /// the page file.
    Mapped(Option<String>),
    /// An image's section.
    Image(String),
}

/// A `_MMVAD_FLAGS.Protection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection(pub u8);

impl Protection {
    /// `PAGE_NOACCESS`.
    pub const NO_ACCESS: Self = Self(0x18);
    /// `PAGE_READONLY`.
    pub const READ: Self = Self(1);
    /// `PAGE_EXECUTE_READ`.
    pub const EXECUTE_READ: Self = Self(3);
    /// `PAGE_READWRITE`.
    pub const READ_WRITE: Self = Self(4);
    /// `PAGE_WRITECOPY`.
    pub const WRITE_COPY: Self = Self(5);
    /// `PAGE_EXECUTE_READWRITE`.
    pub const EXECUTE_READ_WRITE: Self = Self(6);
    /// `PAGE_EXECUTE_WRITECOPY`, which images have.
    pub const EXECUTE_WRITE_COPY: Self = Self(7);
}

/// A part of a process that may be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The page of the `_PEB`.
    Peb,
    /// The page of the `_PEB_LDR_DATA`.
    Loader,
    /// The pages of the loader's entries.
    Entries,
    /// The pages of `_RTL_USER_PROCESS_PARAMETERS` and its strings.
    Parameters,
    /// The page of the 32-bit PEB.
    Peb32,
}

/// Where a page is that its entry calls not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paged {
    /// In memory, on its way out: its bytes can be read.
    Transition,
    /// Wherever the prototype entry says.
    Prototype(Proto),
    /// Nowhere yet: the first touch makes it, of zeros.
    DemandZero,
    /// In page file `number`, at page `offset`.
    PageFile {
        /// Number of the page file, 0 to 15.
        number: u8,
        /// Page in it; 0 would be demand-zero.
        offset: u32,
    },
}

/// What a prototype entry says of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// Valid: its bytes can be read.
    Valid,
    /// In transition: its bytes can be read.
    Transition,
    /// In page file 0, at this page.
    PageFile(u32),
    /// Nowhere yet: zeros.
    DemandZero,
    /// In the section's file.
    MappedFile,
}

/// A page of a section that no table has: what the section's own entry says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Its address in the process.
    pub at: u64,
    /// The byte that it is full of, where it is in memory.
    pub fill: u8,
    /// What the entry says.
    pub entry: Proto,
}

impl Process {
    /// A process of session 0 with one thread.
    pub fn new(pid: u64, name: &str) -> Self {
        Self {
            pid,
            name: name.to_owned(),
            session: Some(0),
            create_time: 0x01cb_2c3d_4e5f_6000 + pid * 10_000_000,
            threads: vec![Thread::new(pid + 4)],
            environment: ["SystemRoot=C:\\Windows", "=C:=C:\\Temp", "PATH="]
                .map(str::to_owned)
                .to_vec(),
            ..Self::default()
        }
    }

    /// The System process.
    pub fn system() -> Self {
        Self {
            session: None,
            kind: ProcessKind::System,
            ..Self::new(4, "System")
        }
    }

    /// A minimal process of System.
    pub fn minimal(pid: u64, name: &str) -> Self {
        Self {
            ppid: 4,
            session: None,
            kind: ProcessKind::Minimal,
            ..Self::new(pid, name)
        }
    }

    /// With this parent.
    #[must_use]
    pub fn child_of(mut self, ppid: u64) -> Self {
        self.ppid = ppid;
        self
    }

    /// At this `_EPROCESS`.
    #[must_use]
    pub fn at(mut self, eprocess: u64) -> Self {
        self.eprocess = Some(VirtAddr(eprocess));
        self
    }

    /// In this session.
    #[must_use]
    pub fn in_session(mut self, session: u32) -> Self {
        self.session = Some(session);
        self
    }

    /// Running this program: its path, its command line and its first module.
    #[must_use]
    pub fn runs(mut self, path: &str, cmdline: &str, base: u64, size: u64) -> Self {
        path.clone_into(&mut self.path);
        cmdline.clone_into(&mut self.cmdline);
        "C:\\Windows\\system32\\".clone_into(&mut self.cwd);
        self.modules.insert(0, Module::new(base, size, path));
        self
    }

    /// With one module more.
    #[must_use]
    pub fn loads(mut self, base: u64, size: u64, path: &str) -> Self {
        self.modules.push(Module::new(base, size, path));
        self
    }

    /// With one VAD more.
    #[must_use]
    pub fn maps(mut self, start: u64, bytes: u64, kind: VadKind, protection: Protection) -> Self {
        self.vads.push(Vad {
            start,
            end: start + bytes - 1,
            kind,
            protection,
            commit: false,
            offset: 0,
            node: None,
        });
        self
    }

    /// With one thread more.
    #[must_use]
    pub fn thread(mut self, tid: u64) -> Self {
        self.threads.push(Thread::new(tid));
        self
    }

    /// With one handle more.
    #[must_use]
    pub fn opens(mut self, handle: u64, opened: Opened, access: u64) -> Self {
        self.handles.push(Handle {
            handle,
            opened,
            access,
            object: VirtAddr(0),
        });
        self
    }

    /// With a part that is not in memory.
    #[must_use]
    pub fn without(mut self, part: Part, paged: Paged) -> Self {
        self.paged.push((part, paged));
        self
    }

    /// As an exited process that something still holds.
    #[must_use]
    pub fn exited(mut self, at: u64) -> Self {
        self.exit_time = Some(at);
        self.threads.clear();
        self.modules.clear();
        self.vads.clear();
        self.handles.clear();
        self
    }

    /// As a process that was made suspended and has never run.
    #[must_use]
    pub fn suspended(mut self) -> Self {
        self.unstarted = true;
        self
    }

    /// Told of in one place alone.
    #[must_use]
    pub fn told(mut self, told: Told) -> Self {
        self.told = told;
        self
    }

    /// Whether it has a user half with a PEB.
    pub fn has_peb(&self) -> bool {
        self.kind == ProcessKind::Normal && self.exit_time.is_none()
    }
}

impl Module {
    /// The module of this path, at this base.
    pub fn new(base: u64, size: u64, path: &str) -> Self {
        Self {
            base,
            size,
            path: path.to_owned(),
            name: leaf(path).to_owned(),
            load_count: 0xffff,
            ..Self::default()
        }
    }
}

impl Driver {
    /// The driver of this path, at this base.
    pub fn new(base: u64, size: u64, path: &str) -> Self {
        Self {
            base,
            size,
            name: leaf(path).to_owned(),
            path: path.to_owned(),
            ..Self::default()
        }
    }
}

impl Thread {
    /// What register `nth` of the encoding order holds in user mode; RSP lies in the thread's stack.
    pub fn register(&self, nth: u64) -> u64 {
        const SP: u64 = 4;
        match nth {
            SP => self.stack.0 + self.stack.1 - 0x180,
            _ => 0x0010_0000 + self.tid * 0x100 + nth * 8,
        }
    }

    /// The same of its 32-bit code.
    pub fn register_32(&self, nth: u64) -> u64 {
        const SP: u64 = 4;
        match nth {
            SP => self.stack32.0 + self.stack32.1 - 0x140,
            _ => 0x0070_0000 + self.tid * 0x100 + nth * 8,
        }
    }

    /// Its instruction pointer in user mode: where every system call comes back to, or somewhere in its stack.
    pub fn ip(&self) -> u64 {
        match self.entered {
            Entered::Interrupt => self.stack.0 + self.stack.1 - 0x800,
            Entered::Call | Entered::Nested => 0x7750_0070,
        }
    }

    /// A thread that waits.
    pub fn new(tid: u64) -> Self {
        Self {
            tid,
            state: 5,
            create_time: 0x01cb_2c3d_4e5f_7000 + tid,
            ..Self::default()
        }
    }
}

/// What follows the last `\`.
fn leaf(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or(path)
}
