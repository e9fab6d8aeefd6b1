//! The questions that every provider answers.

use std::ops::ControlFlow;

use osier_memory::{AddressSpace, Each, VirtAddr};
use osier_profile::OsKind;

use crate::{
    Absent, Carve, Crash, Current, Finding, Interface, LogLine, Mapping, Module, Mount, OpenFile,
    PageRange, Process, ProcessName, Scanned, Seen, Socket, Thread, Variable, WalkEnd, WalkEnds,
};

/// What a provider decided about the kernel before it answered anything, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The operating system.
    pub os: OsKind,
    /// Linux: the banner. Windows: the build string. Bytes.
    pub banner: Vec<u8>,
    /// GNU build id, or GUID and age, in hexadecimal.
    pub build_id: Option<String>,
    /// Each decision, in the order taken.
    pub premises: Vec<Premise>,
}

/// One decision: what was decided, and by what evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Premise {
    /// What about, such as `paging` or `kernel-base`.
    pub about: &'static str,
    /// The decision, such as `5-level` or `0xffffffff9c400000`.
    pub value: String,
    /// The evidence, such as `CR4.LA57 of CPU 0`.
    pub by: String,
}

/// Says which processes are wanted.
pub type Choice<'a> = &'a mut dyn FnMut(&ProcessName) -> bool;

/// The operating-system introspection (OSI) of a machine that has stopped: the questions of PANDA's
/// interface of that name.
///
/// A walk yields a node before it reads the node's link. What could not be read is an absence in
/// the row; how the walks ended is returned.
pub trait Osi: Send {
    /// What was decided about the kernel.
    fn kernel(&self) -> &Kernel;

    /// What the guest's wall clock showed when the guest stopped: nanoseconds since 1970-01-01 UTC.
    /// Linux: `timekeeper.xtime_sec`, whole seconds, as of the last tick. Windows: `SystemTime` of
    /// `_KUSER_SHARED_DATA`, as of the last clock interrupt.
    ///
    /// # Errors
    /// Why the clock is absent: its place is not known, or unreadable, or holds no time.
    fn clock(&self) -> Seen<i64>;

    /// What the kernel said when it stopped the machine by itself.
    ///
    /// # Errors
    /// It did not, which is not applicable; or why that cannot be told.
    fn crash(&self) -> Seen<Crash> {
        Err(Absent::not_in_this_kernel())
    }

    /// Every process. Linux: thread-group leaders from `init_task` on, zombies included.
    fn processes(&self, row: Each<'_, Process>) -> WalkEnds;

    /// The processes that are `wanted`, as [`processes`](Self::processes) lists them: every process is shown to `wanted`
    /// once, in the list's order, and the walks end as those of the whole list do. Of those that are not wanted a
    /// provider need read no more than that takes.
    fn processes_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        self.processes(&mut |process| wanted_alone(wanted, process, row))
    }

    /// The process whose handle names `taskd`.
    ///
    /// # Errors
    /// Why there is no such process: nothing can be read there, or what is there is not a process.
    fn process(&self, taskd: VirtAddr) -> Seen<Process>;

    /// What runs on each processor.
    fn current(&self, row: Each<'_, Current>) -> WalkEnds;

    /// The threads of the process at `taskd`, its leader among them.
    fn threads(&self, taskd: VirtAddr, row: Each<'_, Thread>) -> WalkEnds;

    /// Kernel modules.
    fn modules(&self, row: Each<'_, Module>) -> WalkEnds;

    /// The mappings of the process at `taskd`, by address.
    fn mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds;

    /// The present pages of the process's own page table, user half.
    fn pages(&self, taskd: VirtAddr, row: Each<'_, PageRange>) -> WalkEnds;

    /// The open descriptors of the process at `taskd`, on Windows its handles, by number; [`WalkEnd::NotAnswered`] of a system
    /// whose provider does not list them.
    fn files(&self, _taskd: VirtAddr, _row: Each<'_, OpenFile>) -> WalkEnds {
        WalkEnds::one("files", WalkEnd::NotAnswered)
    }

    /// The environment of the process at `taskd`, in its order; [`WalkEnd::NotAnswered`] likewise.
    fn environment(&self, _taskd: VirtAddr, _row: Each<'_, Variable>) -> WalkEnds {
        WalkEnds::one("environment", WalkEnd::NotAnswered)
    }

    /// The mounts that the process at `taskd` sees, in the kernel's order; [`WalkEnd::NotAnswered`] likewise.
    fn mounts(&self, _taskd: VirtAddr, _row: Each<'_, Mount>) -> WalkEnds {
        WalkEnds::one("mounts", WalkEnd::NotAnswered)
    }

    /// Every process, as [`processes`](Self::processes) lists them, with what `ps --wide` shows besides;
    /// [`WalkEnd::NotAnswered`] likewise.
    fn wide(&self, _row: Each<'_, Process>) -> WalkEnds {
        WalkEnds::one("wide", WalkEnd::NotAnswered)
    }

    /// As [`processes_of`](Self::processes_of), of [`wide`](Self::wide)'s rows; [`WalkEnd::NotAnswered`] likewise.
    fn wide_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        self.wide(&mut |process| wanted_alone(wanted, process, row))
    }

    /// The sockets of every network namespace: a row for each descriptor that leads to one, by process, then one
    /// for each that none leads to; [`WalkEnd::NotAnswered`] likewise.
    fn sockets(&self, _row: Each<'_, Socket>) -> WalkEnds {
        WalkEnds::one("sockets", WalkEnd::NotAnswered)
    }

    /// The interfaces of every network namespace, in the kernel's order; [`WalkEnd::NotAnswered`] likewise.
    fn interfaces(&self, _row: Each<'_, Interface>) -> WalkEnds {
        WalkEnds::one("interfaces", WalkEnd::NotAnswered)
    }

    /// The kernel's log, the oldest record first; [`WalkEnd::NotAnswered`] likewise.
    fn log(&self, _row: Each<'_, LogLine>) -> WalkEnds {
        WalkEnds::one("log", WalkEnd::NotAnswered)
    }

    /// Tasks and modules by their own bytes, merged with what the kernel's lists name: what the lists name first, in
    /// their order, then what they do not; [`WalkEnd::NotAnswered`] likewise.
    fn scan(&self, _row: Each<'_, Scanned>) -> WalkEnds {
        WalkEnds::one("scan", WalkEnd::NotAnswered)
    }

    /// What does not fit, by the rules of `docs/findings.md`; [`WalkEnd::NotAnswered`] likewise.
    fn findings(&self, _row: Each<'_, Finding>) -> WalkEnds {
        WalkEnds::one("findings", WalkEnd::NotAnswered)
    }

    /// The rules of [`findings`](Self::findings), by name and in their order; none of a system whose provider has none.
    fn rules(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// What the rules of these names find, as [`findings`](Self::findings) shows it; what the others alone need is not read.
    /// [`WalkEnd::NotAnswered`] when no rule is called so.
    fn findings_of(&self, _rules: &[&str], _row: Each<'_, Finding>) -> WalkEnds {
        WalkEnds::one("findings", WalkEnd::NotAnswered)
    }

    /// The address space of the process at `taskd`.
    ///
    /// # Errors
    /// Why there is none; not applicable to a kernel thread, which has none of its own.
    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace>;

    /// The kernel's own address space.
    fn kernel_space(&self) -> &AddressSpace;

    /// The same provider with empty caches, for another walk or another thread: what does not change
    /// is shared.
    fn fork(&self) -> Box<dyn Osi>;

    /// What it takes to write a process down as a file; `None` of a system whose provider does not have it.
    fn carve(&self) -> Option<&dyn Carve> {
        None
    }

    /// What only PANDA's own answers need; `None` of a system that PANDA does not read.
    fn panda(&self) -> Option<&dyn Panda> {
        None
    }
}

/// Shows a row that was built to `row` where it is wanted.
fn wanted_alone(wanted: Choice<'_>, process: Process, row: Each<'_, Process>) -> ControlFlow<()> {
    let named = ProcessName {
        taskd: process.taskd,
        pid: process.pid.clone(),
        name: process.name.clone(),
    };
    if wanted(&named) {
        row(process)
    } else {
        ControlFlow::Continue(())
    }
}

/// Where PANDA's answers differ from the guest's: what compatibility with it needs, and nothing else.
pub trait Panda {
    /// The file of the mapping at `modd` as PANDA names it. Linux: the path inside the file's own
    /// file system, without the mounts above it and without ` (deleted)`.
    ///
    /// # Errors
    /// Why there is no name; not applicable without a file.
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>>;

    /// `start_brk` and `brk` of the process at `taskd`: PANDA's `OsiProcMem`, by which it names the heap. A mapping's
    /// [`kind`](Mapping::kind) says the same to everybody else.
    ///
    /// # Errors
    /// Why they are absent; not applicable to a kernel thread, and to a system without them.
    fn heap_bounds(&self, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)>;

    /// The mappings of the process at `taskd` that PANDA lists, in its order. Windows: what the loader
    /// lists, of a WoW64 process the 32-bit list first, each in the order of loading.
    fn panda_mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds;

    /// A process as PANDA lists it. Linux: the page table of one whose leader has exited while other threads live on is not
    /// told, for PANDA asks the leader alone.
    fn panda_process(&self, process: Process) -> Process {
        process
    }

    /// The row that PANDA lists after the last kernel module. Windows: the head of the list, read as
    /// if it were a module.
    ///
    /// # Errors
    /// Why there is no such row; not applicable to Linux, of whose modules PANDA lists none.
    fn panda_last_module(&self) -> Seen<Module> {
        Err(Absent::not_applicable(
            "PANDA lists no kernel modules of Linux",
        ))
    }
}
