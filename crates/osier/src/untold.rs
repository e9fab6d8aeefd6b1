//! Answers that were read by damaged types and symbols.
//!
//! Where the kernel's own types and symbols are damaged, a member that is not found may have lost its name:
//! nothing tells whether this kernel keeps the value. [`Untold`] stands before a provider and says so of
//! each value that is said not to be in this kernel.

use std::ops::ControlFlow;

use osier_memory::{AddressSpace, Cause, Fault, VirtAddr};
use osier_osi::{
    Absent, Crash, Current, Handle, Interface, Kernel, LinuxProcess, LinuxWide, LogLine, Mapping,
    Module, Mount, Namespaces, OpenFile, Osi, PageRange, Panda, Process, ProcessExtra, Seen,
    Socket, Thread, Variable, WalkEnds, Why, WindowsProcess,
};

/// A provider whose types and symbols are damaged.
pub(crate) struct Untold(pub(crate) Box<dyn Osi>);

/// A row, or a part of one.
trait Row {
    /// Says of each value that is not in this kernel that the symbols do not tell.
    fn untold(&mut self);
}

fn lost<T>() -> Seen<T> {
    Err(Absent::unreadable(Fault::new(Cause::DamagedSymbols)))
}

fn value<T>(seen: &mut Seen<T>) {
    if let Err(absent) = seen
        && absent.why == Why::NotInThisKernel
    {
        *seen = lost();
    }
}

fn row<T: Row>(mut row: T) -> T {
    row.untold();
    row
}

fn seen<T: Row>(mut seen: Seen<T>) -> Seen<T> {
    value(&mut seen);
    seen.map(row)
}

fn plain<T>(mut seen: Seen<T>) -> Seen<T> {
    value(&mut seen);
    seen
}

/// Each row is taken apart whole, so that a new value cannot be forgotten.
macro_rules! rows {
    ($( $row:ident { $($told:ident),* $(; $($same:ident),*)? } )*) => {$(
        impl Row for $row {
            fn untold(&mut self) {
                let Self { $($told,)* $($($same: _,)*)? } = self;
                $( value($told); )*
            }
        }
    )*};
}

rows! {
    Handle { asid; taskd }
    Thread { pid, tid, name, state; task }
    Mapping { pid, base, size, name, file, offset, flags, perms, kind; modd }
    PageRange { pid, backing; start, len, phys, page_bytes, flags }
    OpenFile { pid, path, kind, flags, pos, inode, device, socket, filed; fd }
    Variable { pid, name, value; address }
    Mount { pid, id, parent, device, source, root, point, kind, options, super_options, propagation; address }
    Socket {
        pid, fd, family, kind, protocol, local, local_port, remote, remote_port, state, inode, path, netns,
        recv_queue, send_queue, interface; address, found_by
    }
    Interface { netns, index, name, flags, mac, addresses, mtu; address }
    LogLine { seq, time, level, facility, caller, text; address }
    Crash { message, cpu, ip, sp }
    WindowsProcess { exit_time, session, wow64, peb, path, cmdline }
    // No Linux kernel keeps a module's file.
    Module { name, base, size; file, modd }
}

impl Row for Process {
    fn untold(&mut self) {
        let Self {
            taskd: _,
            pid,
            ppid,
            name,
            asid,
            pgd,
            create_time,
            start,
            found_by: _,
            extra,
        } = self;
        value(pid);
        value(ppid);
        value(name);
        value(asid);
        value(pgd);
        value(create_time);
        value(start);
        match extra {
            ProcessExtra::Linux(linux) => linux.untold(),
            ProcessExtra::Windows(windows) => windows.untold(),
            ProcessExtra::Other => {}
        }
    }
}

impl Row for LinuxProcess {
    fn untold(&mut self) {
        let Self {
            uid,
            gid,
            state,
            threads,
            exe,
            cmdline,
            kernel_thread,
            wide,
        } = self;
        value(uid);
        value(gid);
        value(state);
        value(threads);
        value(exe);
        value(cmdline);
        value(kernel_thread);
        if let Some(wide) = wide {
            wide.untold();
        }
    }
}

impl Row for LinuxWide {
    fn untold(&mut self) {
        let Self {
            euid,
            suid,
            fsuid,
            egid,
            groups,
            caps,
            loginuid,
            seccomp,
            cgroup,
            container,
            ns,
            ns_pid,
            session_id,
            pgid,
            tty,
            tracer,
            nice,
            policy,
            utime,
            stime,
            vsize,
            rss,
            cwd,
            root,
        } = self;
        for id in [
            euid, suid, fsuid, egid, loginuid, ns_pid, session_id, pgid, tracer,
        ] {
            value(id);
        }
        for bytes in [cgroup, container, tty, cwd, root] {
            value(bytes);
        }
        for count in [caps, utime, stime, vsize, rss] {
            value(count);
        }
        value(groups);
        value(seccomp);
        value(nice);
        value(policy);
        value(ns);
        // A kind of namespace that is not there is no absence of its own.
        if ns.as_ref().is_ok_and(|ns| !all_kinds(ns)) {
            *ns = lost();
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

impl Row for Current {
    fn untold(&mut self) {
        let Self {
            cpu: _,
            thread,
            process,
        } = self;
        value(thread);
        value(process);
        if let Ok(thread) = thread {
            thread.untold();
        }
        if let Ok(process) = process {
            process.untold();
        }
    }
}

/// Hands rows on.
type Rows<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

impl Osi for Untold {
    fn kernel(&self) -> &Kernel {
        self.0.kernel()
    }

    fn clock(&self) -> Seen<i64> {
        plain(self.0.clock())
    }

    fn crash(&self) -> Seen<Crash> {
        seen(self.0.crash())
    }

    fn processes(&self, each: Rows<'_, Process>) -> WalkEnds {
        self.0.processes(&mut |found| each(row(found)))
    }

    fn process_handles(&self, each: Rows<'_, Handle>) -> WalkEnds {
        self.0.process_handles(&mut |found| each(row(found)))
    }

    fn process(&self, taskd: VirtAddr) -> Seen<Process> {
        seen(self.0.process(taskd))
    }

    fn current(&self, each: Rows<'_, Current>) -> WalkEnds {
        self.0.current(&mut |found| each(row(found)))
    }

    fn threads(&self, taskd: VirtAddr, each: Rows<'_, Thread>) -> WalkEnds {
        self.0.threads(taskd, &mut |found| each(row(found)))
    }

    fn modules(&self, each: Rows<'_, Module>) -> WalkEnds {
        self.0.modules(&mut |found| each(row(found)))
    }

    fn mappings(&self, taskd: VirtAddr, each: Rows<'_, Mapping>) -> WalkEnds {
        self.0.mappings(taskd, &mut |found| each(row(found)))
    }

    fn pages(&self, taskd: VirtAddr, each: Rows<'_, PageRange>) -> WalkEnds {
        self.0.pages(taskd, &mut |found| each(row(found)))
    }

    fn files(&self, taskd: VirtAddr, each: Rows<'_, OpenFile>) -> WalkEnds {
        self.0.files(taskd, &mut |found| each(row(found)))
    }

    fn environment(&self, taskd: VirtAddr, each: Rows<'_, Variable>) -> WalkEnds {
        self.0.environment(taskd, &mut |found| each(row(found)))
    }

    fn mounts(&self, taskd: VirtAddr, each: Rows<'_, Mount>) -> WalkEnds {
        self.0.mounts(taskd, &mut |found| each(row(found)))
    }

    fn sockets(&self, each: Rows<'_, Socket>) -> WalkEnds {
        self.0.sockets(&mut |found| each(row(found)))
    }

    fn interfaces(&self, each: Rows<'_, Interface>) -> WalkEnds {
        self.0.interfaces(&mut |found| each(row(found)))
    }

    fn wide(&self, each: Rows<'_, Process>) -> WalkEnds {
        self.0.wide(&mut |found| each(row(found)))
    }

    fn log(&self, each: Rows<'_, LogLine>) -> WalkEnds {
        self.0.log(&mut |found| each(row(found)))
    }

    fn heap_bounds(&self, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
        plain(self.0.heap_bounds(taskd))
    }

    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace> {
        plain(self.0.address_space(taskd))
    }

    fn kernel_space(&self) -> &AddressSpace {
        self.0.kernel_space()
    }

    fn fork(&self) -> Box<dyn Osi> {
        Box::new(Self(self.0.fork()))
    }

    fn panda(&self) -> Option<&dyn Panda> {
        self.0.panda().map(|_| self as &dyn Panda)
    }
}

impl Panda for Untold {
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>> {
        self.0
            .panda()
            .map_or_else(lost, |panda| plain(panda.panda_file(modd)))
    }

    fn panda_mappings(&self, taskd: VirtAddr, each: Rows<'_, Mapping>) -> WalkEnds {
        match self.0.panda() {
            Some(panda) => panda.panda_mappings(taskd, &mut |found| each(row(found))),
            None => WalkEnds::default(),
        }
    }

    fn panda_last_module(&self) -> Seen<Module> {
        self.0
            .panda()
            .map_or_else(lost, |panda| seen(panda.panda_last_module()))
    }
}
