//! Answers that were read by damaged types and symbols, by a part of them, or by inferred structures.
//!
//! Where the kernel's own types and symbols are damaged, a member that is not found may have lost its name;
//! where a profile has a part of them, it may have been left out; where structures were inferred, nothing may have
//! proved its place. Nobody knows whether this kernel keeps
//! the value. [`Untold`] stands before a provider and says so of each value that is said not to be in this kernel.

use osier_memory::{AddressSpace, Cause, Each, Fault, VirtAddr};
use osier_osi::{
    Absent, Carve, Choice, Crash, Current, FileExtra, Finding, Interface, Kernel, LinuxFile,
    LinuxProcess, LinuxWide, LogLine, Mapping, Module, Mount, Namespaces, OpenFile, Osi, PageRange,
    Panda, Process, ProcessExtra, ProcessName, Scanned, Seen, Socket, Thread, Variable, WalkEnd,
    WalkEnds, Why, WindowsProcess, WindowsWide,
};

/// A provider that does not know all of its kernel's structures, and why it does not.
pub(crate) struct Untold(Box<dyn Osi>, Cause);

impl Untold {
    /// Stands before `provider`; `cause` is why it may not know where a value lies.
    pub(crate) fn new(provider: Box<dyn Osi>, cause: Cause) -> Self {
        Self(provider, cause)
    }

    /// Says of a walk that holds one thing against another that some of them may not be known.
    fn partly(&self, walk: &'static str, mut ends: WalkEnds) -> WalkEnds {
        if self.1 == Cause::NotInProfile {
            ends.add(
                walk,
                WalkEnd::no_start(
                    "structures that the profile lacks (`osier info` names them)",
                    Fault::new(self.1),
                ),
            );
        }
        ends
    }
}

/// A row, or a part of one.
trait Row {
    /// Says of each value that is not in this kernel that the symbols do not tell.
    fn untold(&mut self, why: Cause);
}

fn lost<T>(why: Cause) -> Seen<T> {
    Err(Absent::unreadable(Fault::new(why)))
}

fn value<T>(seen: &mut Seen<T>, why: Cause) {
    if let Err(absent) = seen
        && absent.why == Why::NotInThisKernel
    {
        *seen = lost(why);
    }
}

fn row<T: Row>(mut row: T, why: Cause) -> T {
    row.untold(why);
    row
}

fn plain<T>(mut seen: Seen<T>, why: Cause) -> Seen<T> {
    value(&mut seen, why);
    seen
}

/// Each row is taken apart whole, so that a new value cannot be forgotten: what may be absent, what is always there, and
/// parts that have such values of their own.
macro_rules! rows {
    ($( $row:ident { $($told:ident),* $(; $($same:ident),* $(; $($part:ident),*)?)? } )*) => {$(
        impl Row for $row {
            fn untold(&mut self, why: Cause) {
                let Self { $($told,)* $($($same: _,)* $($($part,)*)?)? } = self;
                $( value($told, why); )*
                $($($( $part.untold(why); )*)?)?
            }
        }
    )*};
}

rows! {
    Process { pid, ppid, name, asid, pgd, create_time, start; taskd, found_by; extra }
    ProcessName { pid, name; taskd }
    LinuxProcess { uid, gid, state, threads, exe, cmdline, kernel_thread; ; wide }
    LinuxWide {
        euid, suid, fsuid, egid, groups, caps, loginuid, seccomp, cgroup, container, ns_pid, session_id, pgid, tty,
        tracer, nice, policy, utime, stime, vsize, rss, cwd, root; ; ns
    }
    WindowsProcess { exit_time, session, wow64, peb, path, cmdline; ; wide }
    WindowsWide { token, user, groups, privileges, integrity, logon }
    Current { ; cpu; thread, process }
    Thread { pid, tid, name, state; task }
    Mapping { pid, base, size, name, file, offset, flags, perms, kind; modd }
    PageRange { pid, backing; start, len, phys, page_bytes, flags }
    OpenFile { pid, path, kind, flags, filed; fd; extra }
    LinuxFile { pos, inode, device, socket }
    Variable { pid, name, value; address }
    Mount { pid, id, parent, device, source, root, point, kind, options, super_options, propagation; address }
    Socket {
        pid, fd, family, kind, protocol, local, local_port, remote, remote_port, state, inode, path, netns,
        recv_queue, send_queue, interface; address, found_by
    }
    Interface { netns, index, name, flags, mac, addresses, mtu; address }
    LogLine { seq, time, level, facility, caller, text; address }
    Crash { message, cpu, ip, sp }
    Scanned { phys, pid, tid, name, freed, exited; kind, address, linked, found_by }
    Finding { pid; rule, severity, subject, text, evidence, address, normal, otherwise }
    // No Linux kernel keeps a module's file.
    Module { name, base, size; file, modd }
}

impl Row for ProcessExtra {
    fn untold(&mut self, why: Cause) {
        match self {
            Self::Linux(linux) => linux.untold(why),
            Self::Windows(windows) => windows.untold(why),
            Self::Other => {}
        }
    }
}

impl Row for FileExtra {
    fn untold(&mut self, why: Cause) {
        match self {
            Self::Linux(linux) => linux.untold(why),
            Self::Windows | Self::Other => {}
        }
    }
}

impl<T: Row> Row for Option<Box<T>> {
    fn untold(&mut self, why: Cause) {
        if let Some(part) = self {
            part.untold(why);
        }
    }
}

impl<T: Row> Row for Seen<T> {
    fn untold(&mut self, why: Cause) {
        value(self, why);
        if let Ok(part) = self {
            part.untold(why);
        }
    }
}

impl Row for Seen<Namespaces> {
    fn untold(&mut self, why: Cause) {
        value(self, why);
        // A kind of namespace that is not there is no absence of its own.
        if self.as_ref().is_ok_and(|ns| !all_kinds(ns)) {
            *self = lost(why);
        }
    }
}

/// Whether the process has a namespace of every kind.
fn all_kinds(namespaces: &Namespaces) -> bool {
    let Namespaces {
        cgroup,
        ipc,
        mnt,
        net,
        pid,
        time,
        user,
        uts,
    } = namespaces;
    [cgroup, ipc, mnt, net, pid, time, user, uts]
        .iter()
        .all(|kind| kind.is_some())
}

impl Osi for Untold {
    fn kernel(&self) -> &Kernel {
        self.0.kernel()
    }

    fn clock(&self) -> Seen<i64> {
        plain(self.0.clock(), self.1)
    }

    fn crash(&self) -> Seen<Crash> {
        row(self.0.crash(), self.1)
    }

    fn processes(&self, each: Each<'_, Process>) -> WalkEnds {
        self.0.processes(&mut |found| each(row(found, self.1)))
    }

    fn processes_of(&self, wanted: Choice<'_>, each: Each<'_, Process>) -> WalkEnds {
        self.0.processes_of(
            &mut |named| wanted(&row(named.clone(), self.1)),
            &mut |found| each(row(found, self.1)),
        )
    }

    fn process(&self, taskd: VirtAddr) -> Seen<Process> {
        row(self.0.process(taskd), self.1)
    }

    fn current(&self, each: Each<'_, Current>) -> WalkEnds {
        self.0.current(&mut |found| each(row(found, self.1)))
    }

    fn threads(&self, taskd: VirtAddr, each: Each<'_, Thread>) -> WalkEnds {
        self.0.threads(taskd, &mut |found| each(row(found, self.1)))
    }

    fn modules(&self, each: Each<'_, Module>) -> WalkEnds {
        self.0.modules(&mut |found| each(row(found, self.1)))
    }

    fn mappings(&self, taskd: VirtAddr, each: Each<'_, Mapping>) -> WalkEnds {
        self.0
            .mappings(taskd, &mut |found| each(row(found, self.1)))
    }

    fn pages(&self, taskd: VirtAddr, each: Each<'_, PageRange>) -> WalkEnds {
        self.0.pages(taskd, &mut |found| each(row(found, self.1)))
    }

    fn files(&self, taskd: VirtAddr, each: Each<'_, OpenFile>) -> WalkEnds {
        self.0.files(taskd, &mut |found| each(row(found, self.1)))
    }

    fn environment(&self, taskd: VirtAddr, each: Each<'_, Variable>) -> WalkEnds {
        self.0
            .environment(taskd, &mut |found| each(row(found, self.1)))
    }

    fn mounts(&self, taskd: VirtAddr, each: Each<'_, Mount>) -> WalkEnds {
        self.0.mounts(taskd, &mut |found| each(row(found, self.1)))
    }

    fn sockets(&self, each: Each<'_, Socket>) -> WalkEnds {
        self.0.sockets(&mut |found| each(row(found, self.1)))
    }

    fn interfaces(&self, each: Each<'_, Interface>) -> WalkEnds {
        self.0.interfaces(&mut |found| each(row(found, self.1)))
    }

    fn wide(&self, each: Each<'_, Process>) -> WalkEnds {
        self.0.wide(&mut |found| each(row(found, self.1)))
    }

    fn wide_of(&self, wanted: Choice<'_>, each: Each<'_, Process>) -> WalkEnds {
        self.0.wide_of(
            &mut |named| wanted(&row(named.clone(), self.1)),
            &mut |found| each(row(found, self.1)),
        )
    }

    fn log(&self, each: Each<'_, LogLine>) -> WalkEnds {
        self.0.log(&mut |found| each(row(found, self.1)))
    }

    fn scan(&self, each: Each<'_, Scanned>) -> WalkEnds {
        let ends = self.0.scan(&mut |found| each(row(found, self.1)));
        self.partly("scan", ends)
    }

    fn findings(&self, each: Each<'_, Finding>) -> WalkEnds {
        let ends = self.0.findings(&mut |found| each(row(found, self.1)));
        self.partly("findings", ends)
    }

    fn rules(&self) -> Vec<&'static str> {
        self.0.rules()
    }

    fn findings_of(&self, rules: &[&str], each: Each<'_, Finding>) -> WalkEnds {
        let ends = self
            .0
            .findings_of(rules, &mut |found| each(row(found, self.1)));
        self.partly("findings", ends)
    }

    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace> {
        plain(self.0.address_space(taskd), self.1)
    }

    fn kernel_space(&self) -> &AddressSpace {
        self.0.kernel_space()
    }

    fn fork(&self) -> Box<dyn Osi> {
        Box::new(Self(self.0.fork(), self.1))
    }

    fn carve(&self) -> Option<&dyn Carve> {
        self.0.carve()
    }

    fn panda(&self) -> Option<&dyn Panda> {
        self.0.panda().map(|_| self as &dyn Panda)
    }
}

impl Panda for Untold {
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>> {
        self.0.panda().map_or_else(
            || lost(self.1),
            |panda| plain(panda.panda_file(modd), self.1),
        )
    }

    fn heap_bounds(&self, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
        self.0.panda().map_or_else(
            || lost(self.1),
            |panda| plain(panda.heap_bounds(taskd), self.1),
        )
    }

    fn panda_mappings(&self, taskd: VirtAddr, each: Each<'_, Mapping>) -> WalkEnds {
        match self.0.panda() {
            Some(panda) => panda.panda_mappings(taskd, &mut |found| each(row(found, self.1))),
            None => WalkEnds::default(),
        }
    }

    fn panda_process(&self, process: Process) -> Process {
        match self.0.panda() {
            Some(panda) => row(panda.panda_process(process), self.1),
            None => process,
        }
    }

    fn panda_last_module(&self) -> Seen<Module> {
        self.0.panda().map_or_else(
            || lost(self.1),
            |panda| row(panda.panda_last_module(), self.1),
        )
    }
}
