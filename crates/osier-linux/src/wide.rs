//! What `ps --wide` shows: credentials, control group, namespaces, session, times, sizes, places.

use std::ops::ControlFlow;

use osier_memory::{Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{
    Absent, LinuxWide, Namespaces, Process, ProcessExtra, Seen, SeenExt as _, WalkEnds,
};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use crate::path::Place;
use crate::{Linux, memory, process, tasks, threads};

/// Most supplementary groups: `NGROUPS_MAX`.
const MOST_GROUPS: i64 = 65536;
/// Most components of a control group's path that are believed.
const MOST_STEPS: usize = 256;
/// `NICE_TO_PRIO(0)`.
const NICE_ZERO: i64 = 120;
/// `PIDTYPE_PGID` and `PIDTYPE_SID`, of the kernels that have `signal->pids` (v4.19 on).
const PGID: u64 = 2;
const SID: u64 = 3;
/// `CSS_ONLINE`.
const CSS_ONLINE: u64 = 1 << 1;
/// Digits of a container's id.
const CONTAINER: usize = 64;

layout! {
    /// Fields read from `task_struct`.
    struct Task: "task_struct" {
        /// Who logged in.
        loginuid: Option<Field<UInt>>,
        /// How system calls are filtered.
        seccomp: Option<Field<UInt>> = ["seccomp.mode"],
        /// The set of its control groups.
        cgroups: Option<Field<Ptr<()>>>,
        /// Its namespaces, but for those of users and ids.
        nsproxy: Option<Field<Ptr<()>>>,
        /// Its `struct pid`. Since v4.19.
        thread_pid: Option<Field<Ptr<()>>>,
        /// 100 to 139 of what is not of real time.
        static_prio: Option<Field<SInt>>,
        /// How it is scheduled.
        policy: Option<Field<UInt>>,
        /// Nanoseconds in user mode, by ticks.
        utime: Option<Field<UInt>>,
        /// Nanoseconds in the kernel, by ticks.
        stime: Option<Field<UInt>>,
        /// Nanoseconds that it ran, to the letter.
        runtime: Option<Field<UInt>> = ["se.sum_exec_runtime"],
    }
}

layout! {
    /// Fields read from `signal_struct`.
    struct Group: "signal_struct" {
        /// The `struct pid` of the process, its group and its session.
        pids: Option<Field<Embed<()>>>,
        /// The controlling terminal.
        tty: Option<Field<Ptr<()>>>,
        /// The same as of a task, of threads that have exited.
        utime: Option<Field<UInt>>,
        /// Likewise.
        stime: Option<Field<UInt>>,
        /// Likewise.
        runtime: Option<Field<UInt>> = ["sum_sched_runtime"],
        /// What was last told of `utime`.
        told_utime: Option<Field<UInt>> = ["prev_cputime.utime"],
        /// What was last told of `stime`.
        told_stime: Option<Field<UInt>> = ["prev_cputime.stime"],
    }
}

layout! {
    /// Fields read from `cred`.
    struct Cred: "cred" {
        /// Effective user id.
        euid: Option<Field<UInt>>,
        /// Saved user id.
        suid: Option<Field<UInt>>,
        /// For access to files.
        fsuid: Option<Field<UInt>>,
        /// Effective group id.
        egid: Option<Field<UInt>>,
        /// A bit for each capability.
        cap_effective: Option<Field<UInt>>,
        /// Supplementary groups.
        group_info: Option<Field<Ptr<()>>>,
        /// Whose ids they are.
        user_ns: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `group_info`.
    struct GroupInfo: "group_info" {
        /// How many.
        ngroups: Option<Field<SInt>>,
        /// The ids. Linux commit 81243eacfa40 ("cred: simpler, 1D supplementary groups"), v4.9.
        gid: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct pid`.
    struct Pid: "pid" {
        /// How deep its namespace lies.
        level: Option<Field<UInt>>,
        /// Its number in each.
        numbers: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct upid`.
    struct Number: "upid" {
        /// The number.
        nr: Option<Field<UInt>>,
        /// The namespace.
        ns: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `nsproxy`.
    struct Proxy: "nsproxy" {
        /// Of the host's name.
        uts_ns: Option<Field<Ptr<()>>>,
        /// Of System V IPC.
        ipc_ns: Option<Field<Ptr<()>>>,
        /// Of mounts.
        mnt_ns: Option<Field<Ptr<()>>>,
        /// Of the network.
        net_ns: Option<Field<Ptr<()>>>,
        /// Of control groups. Since v4.6.
        cgroup_ns: Option<Field<Ptr<()>>>,
        /// Of clocks. Since v5.6.
        time_ns: Option<Field<Ptr<()>>>,
        /// References to it.
        count: Option<Field<UInt>>,
    }
}

macro_rules! namespace {
    ($($name:ident $structure:literal,)*) => {
        $(
            layout! {
                /// The number of a namespace.
                struct $name: $structure {
                    /// Its number.
                    inum: Option<Field<UInt>> = ["ns.inum", "proc_inum"],
                }
            }
        )*
    };
}

namespace! {
    Uts "uts_namespace",
    Ipc "ipc_namespace",
    Mnt "mnt_namespace",
    Net "net",
    Cgroups "cgroup_namespace",
    Clocks "time_namespace",
    Users "user_namespace",
    Pids "pid_namespace",
}

layout! {
    /// Fields read from `css_set`.
    struct CssSet: "css_set" {
        /// The group in the default hierarchy.
        dfl_cgrp: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct cgroup`.
    struct Cgroup: "cgroup" {
        /// Its place.
        kn: Option<Field<Ptr<()>>>,
        /// Whether it is there still.
        flags: Option<Field<UInt>> = ["self.flags"],
    }
}

layout! {
    /// Fields read from `kernfs_node`.
    struct Node: "kernfs_node" {
        /// The node above; null at the root. Linux commit 633488947ef6 ("kernfs: Use RCU to access
        /// `kernfs_node::parent`."), v6.15.
        parent: Option<Field<Ptr<()>>> = ["__parent", "parent"],
        /// Its name.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `tty_struct`.
    struct Tty: "tty_struct" {
        /// Its name.
        name: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `mm_struct`.
    struct Sizes: "mm_struct" {
        /// Pages of all mappings.
        total_vm: Option<Field<UInt>>,
        /// Pages in memory, by kind. Linux commit f1a7941243c1 ("mm: convert mm's rss stats into
        /// `percpu_counter`"), v6.2.
        rss_stat: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `mm_rss_stat`.
    struct RssStat: "mm_rss_stat" {
        /// Pages in memory, by kind. Until v6.1.
        count: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `percpu_counter`.
    struct PerCpu: "percpu_counter" {
        /// What was counted together.
        count: Option<Field<SInt>>,
        /// What each processor counted since.
        counters: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `fs_struct`.
    struct Places: "fs_struct" {
        /// Of the root directory.
        root: Option<Field<Ptr<()>>> = ["root.dentry"],
        /// Of the root directory.
        root_mnt: Option<Field<Ptr<()>>> = ["root.mnt"],
        /// Of the working directory.
        pwd: Option<Field<Ptr<()>>> = ["pwd.dentry"],
        /// Of the working directory.
        pwd_mnt: Option<Field<Ptr<()>>> = ["pwd.mnt"],
        /// Tasks that use it.
        users: Option<Field<SInt>>,
    }
}

/// What is read, resolved once a question.
struct Wide<'a> {
    linux: &'a Linux,
    task: Task,
    group: Group,
    cred: Cred,
    group_info: GroupInfo,
    pid: Pid,
    number: Number,
    proxy: Proxy,
    uts: Uts,
    ipc: Ipc,
    mnt: Mnt,
    net: Net,
    cgroups: Cgroups,
    clocks: Clocks,
    users: Users,
    pids: Pids,
    css_set: CssSet,
    cgroup: Cgroup,
    node: Node,
    tty: Tty,
    sizes: Sizes,
    rss: RssStat,
    per_cpu: PerCpu,
    places: Places,
}

/// Every process, with what `ps --wide` shows of it.
pub(crate) fn processes(
    linux: &Linux,
    row: &mut dyn FnMut(Process) -> ControlFlow<()>,
) -> WalkEnds {
    let profile = linux.guest.profile.clone();
    let wide = Wide::resolve(linux, &mut Resolver::new(&profile));
    tasks::processes(linux, &mut |mut process| {
        let taskd = process.taskd;
        if let ProcessExtra::Linux(extra) = &mut process.extra {
            extra.wide = Some(Box::new(wide.of(taskd)));
        }
        row(process)
    })
}

impl<'a> Wide<'a> {
    fn resolve(linux: &'a Linux, resolver: &mut Resolver<'_>) -> Self {
        Self {
            linux,
            task: Task::resolve(resolver),
            group: Group::resolve(resolver),
            cred: Cred::resolve(resolver),
            group_info: GroupInfo::resolve(resolver),
            pid: Pid::resolve(resolver),
            number: Number::resolve(resolver),
            proxy: Proxy::resolve(resolver),
            uts: Uts::resolve(resolver),
            ipc: Ipc::resolve(resolver),
            mnt: Mnt::resolve(resolver),
            net: Net::resolve(resolver),
            cgroups: Cgroups::resolve(resolver),
            clocks: Clocks::resolve(resolver),
            users: Users::resolve(resolver),
            pids: Pids::resolve(resolver),
            css_set: CssSet::resolve(resolver),
            cgroup: Cgroup::resolve(resolver),
            node: Node::resolve(resolver),
            tty: Tty::resolve(resolver),
            sizes: Sizes::resolve(resolver),
            rss: RssStat::resolve(resolver),
            per_cpu: PerCpu::resolve(resolver),
            places: Places::resolve(resolver),
        }
    }

    fn of(&self, task: VirtAddr) -> LinuxWide {
        let linux = self.linux;
        let cred = process::cred(linux, task);
        let id = |field| cred.clone().and_then(|cred| self.id(field, cred));
        let signal = self.object(linux.tasks.signal, task);
        let mm = memory::mm(linux, task);
        let (utime, stime) = match self.times(task, &signal) {
            Ok((utime, stime)) => (Ok(utime), Ok(stime)),
            Err(absent) => (Err(absent.clone()), Err(absent)),
        };
        let cgroup = self.cgroup(task);
        let container = cgroup.clone().and_then(|path| {
            let none = || Absent::not_applicable("no control group of a container");
            container(&path).ok_or_else(none)
        });
        LinuxWide {
            euid: id(self.cred.euid),
            suid: id(self.cred.suid),
            fsuid: id(self.cred.fsuid),
            egid: id(self.cred.egid),
            groups: cred.clone().and_then(|cred| self.groups(cred)),
            caps: cred
                .clone()
                .and_then(|cred| self.value(self.cred.cap_effective, cred)),
            loginuid: self
                .value(self.task.loginuid, task)
                .and_then(|id| match u32::try_from(id) {
                    Ok(id) if id != u32::MAX => Ok(id),
                    _ => Err(Absent::not_applicable("nobody logged in")),
                }),
            seccomp: self.small(
                self.task.seccomp,
                task,
                2,
                "seccomp has the modes 0, 1 and 2",
            ),
            cgroup,
            container,
            ns: self.namespaces(task, &cred),
            ns_pid: self.own_pid(task).map(|(number, _)| number),
            session_id: signal
                .clone()
                .and_then(|signal| self.group_number(signal, SID)),
            pgid: signal
                .clone()
                .and_then(|signal| self.group_number(signal, PGID)),
            tty: signal.and_then(|signal| self.tty(signal)),
            tracer: self.tracer(task),
            nice: self.nice(task),
            policy: self.small(self.task.policy, task, 7, "policies are 0 to 7"),
            utime,
            stime,
            vsize: mm.clone().and_then(|mm| {
                let pages = self.value(self.sizes.total_vm, mm)?;
                Ok(pages.saturating_mul(PAGE_BYTES))
            }),
            rss: mm.and_then(|mm| self.rss(mm)),
            cwd: self.place(task, self.places.pwd, self.places.pwd_mnt),
            root: self.place(task, self.places.root, self.places.root_mnt),
        }
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let value = field.read(&self.linux.guest.space, base);
        value.map_err(Absent::unreadable)
    }

    fn signed(&self, field: Option<Field<SInt>>, base: VirtAddr) -> Seen<(i64, VirtAddr)> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let value = field.read(&self.linux.guest.space, base);
        Ok((value.map_err(Absent::unreadable)?, field.place(base)))
    }

    /// A number that is at most `most`.
    fn small(
        &self,
        field: Option<Field<UInt>>,
        base: VirtAddr,
        most: u8,
        rule: &'static str,
    ) -> Seen<u8> {
        let value = self.value(field, base)?;
        match u8::try_from(value) {
            Ok(small) if small <= most => Ok(small),
            _ => {
                let at = field.map(|field| field.place(base));
                Err(Absent::implausible(value, rule, at))
            }
        }
    }

    /// A user's or group's id.
    fn id(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u32> {
        let value = self.value(field, base)?;
        match u32::try_from(value) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => {
                let rule = "a user's or group's id is not -1";
                let at = field.map(|field| field.place(base));
                Err(Absent::implausible(value, rule, at))
            }
        }
    }

    /// A pointer to an object that must be there.
    fn object(&self, field: Option<Field<Ptr<()>>>, base: VirtAddr) -> Seen<VirtAddr> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let object = field.read(&self.linux.guest.space, base);
        let object = object.map_err(Absent::unreadable)?;
        if self.linux.guest.can_be_object(object) {
            return Ok(object);
        }
        let rule = "it is an aligned address of the kernel";
        Err(Absent::implausible(object.0, rule, Some(field.place(base))))
    }

    /// The same of what a task gives up when it exits.
    fn kept(&self, field: Option<Field<Ptr<()>>>, task: VirtAddr) -> Seen<VirtAddr> {
        let linux = self.linux;
        let object = self.object(field, task);
        let space = &linux.guest.space;
        let null = field.is_some_and(|field| field.read(space, task) == Ok(VirtAddr(0)));
        let flags = linux.tasks.flags.map(|field| field.read(space, task));
        if null && matches!(flags, Some(Ok(flags)) if flags & memory::PF_EXITING != 0) {
            return Err(Absent::not_applicable("the process has exited"));
        }
        object
    }

    fn groups(&self, cred: VirtAddr) -> Seen<Vec<u32>> {
        let info = self.object(self.cred.group_info, cred)?;
        let (count, at) = self.signed(self.group_info.ngroups, info)?;
        let gid = self.group_info.gid.ok_or_else(Absent::not_in_this_kernel)?;
        if !(0..=MOST_GROUPS).contains(&count) {
            let rule = "a process is in 0 to 65536 groups";
            return Err(Absent::implausible(count.cast_unsigned(), rule, Some(at)));
        }
        let mut groups: Vec<u32> = Vec::new();
        for index in 0..count.cast_unsigned() {
            let at = gid.place(info).plus(index.wrapping_mul(4));
            let id = self.linux.guest.space.read_uint(at, 4);
            let id = id.map_err(Absent::unreadable)?;
            let id = u32::try_from(id).unwrap_or(u32::MAX);
            // The kernel keeps them in order.
            if id == u32::MAX || groups.last().is_some_and(|last| *last > id) {
                let rule = "groups are in ascending order, and none is -1";
                return Err(Absent::implausible(id.into(), rule, Some(at)));
            }
            groups.push(id);
        }
        Ok(groups)
    }

    /// Its id in its own pid namespace, and that namespace.
    fn own_pid(&self, task: VirtAddr) -> Seen<(u32, VirtAddr)> {
        if self.linux.init_task == Some(task) {
            return Err(Absent::not_applicable("the first task has no number"));
        }
        let pid = self.object(self.task.thread_pid, task)?;
        let level = self.value(self.pid.level, pid)?;
        if level > 32 {
            let rule = "pid namespaces are at most 32 deep";
            return Err(Absent::implausible(level, rule, None));
        }
        let number = self.numbered(pid, level)?;
        let namespace = self.object(self.number.ns, number)?;
        let id = self.value(self.number.nr, number)?;
        if level == 0 {
            // The first namespace's number is that of the row.
            let outer = process::pid(self.linux, task).value();
            if outer.is_some_and(|outer| u64::from(outer) != id) {
                let rule = "in the first pid namespace the inner id is the outer";
                return Err(Absent::implausible(id, rule, None));
            }
        }
        u32::try_from(id)
            .map(|id| (id, namespace))
            .map_err(|_| Absent::implausible(id, "an id is a number of 31 bits", None))
    }

    /// The `upid` of the `struct pid` at this depth.
    fn numbered(&self, pid: VirtAddr, level: u64) -> Seen<VirtAddr> {
        let numbers = self.pid.numbers.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(numbers
            .place(pid)
            .plus(level.wrapping_mul(self.number.size)))
    }

    /// The number of the group or session of the process at `signal`.
    fn group_number(&self, signal: VirtAddr, which: u64) -> Seen<u32> {
        let pids = self.group.pids.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let word = u64::from(self.linux.guest.pointer_bytes());
        let at = pids.place(signal).plus(which.wrapping_mul(word));
        let pid = space.read_pointer(at).map_err(Absent::unreadable)?;
        let implausible = |rule| Err(Absent::implausible(pid.0, rule, Some(at)));
        if !self.linux.guest.can_be_object(pid) {
            return implausible("a process has a group and a session");
        }
        let number = self.numbered(pid, 0)?;
        let id = self.value(self.number.nr, number)?;
        match u32::try_from(id) {
            Ok(id) if id <= 0x40_0000 => Ok(id),
            _ => implausible("a group's number is below PID_MAX_LIMIT"),
        }
    }

    fn tty(&self, signal: VirtAddr) -> Seen<Vec<u8>> {
        let field = self.group.tty.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let tty = field.read(space, signal).map_err(Absent::unreadable)?;
        if tty.is_null() {
            return Err(Absent::not_applicable("no controlling terminal"));
        }
        let tty = self.object(Some(field), signal)?;
        let name = self.tty.name.ok_or_else(Absent::not_in_this_kernel)?;
        let text = space.read_cstr(name.place(tty), 64);
        let text = text.map_err(Absent::unreadable)?;
        if text.is_empty() {
            let rule = "a terminal has a name";
            return Err(Absent::implausible(0, rule, Some(name.place(tty))));
        }
        Ok(text)
    }

    fn tracer(&self, task: VirtAddr) -> Seen<u32> {
        let tasks = &self.linux.tasks;
        if self.value(tasks.ptrace, task)? == 0 {
            return Err(Absent::not_applicable("nobody traces it"));
        }
        let parent = self.object(tasks.parent, task)?;
        process::tid(self.linux, parent)
    }

    fn nice(&self, task: VirtAddr) -> Seen<i32> {
        let (priority, at) = self.signed(self.task.static_prio, task)?;
        let nice = priority.wrapping_sub(NICE_ZERO);
        match i32::try_from(nice) {
            Ok(nice) if (-20..=19).contains(&nice) => Ok(nice),
            _ => {
                let rule = "static_prio is 100 to 139";
                Err(Absent::implausible(
                    priority.cast_unsigned(),
                    rule,
                    Some(at),
                ))
            }
        }
    }

    /// The times of the process, as the kernel's `cputime_adjust` tells them: in the proportion of the
    /// ticks, of what the threads ran to the letter, and never less than was told before.
    fn times(&self, task: VirtAddr, signal: &Seen<VirtAddr>) -> Seen<(u64, u64)> {
        let signal = signal.clone()?;
        if self.task.thread_pid.is_none() {
            // They are not surely nanoseconds.
            return Err(Absent::not_applicable(
                "times of kernels before v4.19 are not read",
            ));
        }
        let mut user = self.value(self.group.utime, signal)?;
        let mut kernel = self.value(self.group.stime, signal)?;
        let mut ran = self.value(self.group.runtime, signal)?;
        let mut fault = None;
        let ends = threads::threads(self.linux, task, &mut |thread| {
            if self.linux.init_task == Some(task) && thread.task != task {
                return ControlFlow::Continue(());
            }
            let mut read = || -> Seen<()> {
                let at = thread.task;
                user = user.wrapping_add(self.value(self.task.utime, at)?);
                kernel = kernel.wrapping_add(self.value(self.task.stime, at)?);
                ran = ran.wrapping_add(self.value(self.task.runtime, at)?);
                Ok(())
            };
            match read() {
                Ok(()) => ControlFlow::Continue(()),
                Err(absent) => {
                    fault = Some(absent);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(absent) = fault {
            return Err(absent);
        }
        if !ends.is_complete() {
            let rule = "the times of a process are those of all its threads, which are not known";
            return Err(Absent::implausible(user, rule, None));
        }
        let told_user = self.value(self.group.told_utime, signal)?;
        let told_kernel = self.value(self.group.told_stime, signal)?;
        if told_user.saturating_add(told_kernel) >= ran {
            return Ok((told_user, told_kernel));
        }
        let (mut user, mut kernel) = match (user, kernel) {
            (_, 0) => (ran, 0),
            (0, _) => (0, ran),
            (user, kernel) => {
                let sum = u128::from(user).saturating_add(u128::from(kernel));
                let part = u128::from(kernel).saturating_mul(u128::from(ran));
                let kernel = part.checked_div(sum).unwrap_or(0);
                let kernel = u64::try_from(kernel).unwrap_or(ran).min(ran);
                (ran.saturating_sub(kernel), kernel)
            }
        };
        if kernel < told_kernel {
            kernel = told_kernel;
            user = ran.saturating_sub(kernel);
        }
        if user < told_user {
            user = told_user;
            kernel = ran.saturating_sub(user);
        }
        Ok((user, kernel))
    }

    fn rss(&self, mm: VirtAddr) -> Seen<u64> {
        let rss_stat = self.sizes.rss_stat.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let stat = rss_stat.place(mm);
        let word = u64::from(self.linux.guest.pointer_bytes());
        // Pages of files, of no file, and shared ones; between them stand those in swap.
        let mut pages = 0_i64;
        for kind in [0_u64, 1, 3] {
            let own = if let Some(count) = self.rss.count {
                let at = count.place(stat).plus(kind.wrapping_mul(word));
                let bytes = word as usize;
                let count = space.read_uint(at, bytes).map_err(Absent::unreadable)?;
                if bytes == 4 {
                    i64::from((count as u32).cast_signed())
                } else {
                    count.cast_signed()
                }
            } else {
                let at = stat.plus(kind.wrapping_mul(self.per_cpu.size));
                self.counted(at)?
            };
            pages = pages.saturating_add(own.max(0));
        }
        let mapped = self.value(self.sizes.total_vm, mm);
        let pages = pages.cast_unsigned();
        if mapped.is_ok_and(|mapped| pages > mapped) {
            let rule = "no more pages are in memory than are mapped (rss_stat, total_vm)";
            return Err(Absent::implausible(pages, rule, Some(stat)));
        }
        Ok(pages.saturating_mul(PAGE_BYTES))
    }

    /// The sum of a `percpu_counter`.
    fn counted(&self, at: VirtAddr) -> Seen<i64> {
        let (mut sum, _) = self.signed(self.per_cpu.count, at)?;
        let field = self
            .per_cpu
            .counters
            .ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let counters = field.read(space, at).map_err(Absent::unreadable)?;
        let guest = &self.linux.guest;
        let missing = Absent::not_in_this_kernel;
        let offsets = guest.symbol("__per_cpu_offset").ok_or_else(missing)?;
        let cpus = guest.symbol("nr_cpu_ids").ok_or_else(missing)?;
        let cpus = space.read_uint(cpus, 4).map_err(Absent::unreadable)?;
        let word = u64::from(guest.pointer_bytes());
        for cpu in 0..cpus.min(8192) {
            let read = || -> Result<u64, Fault> {
                let offset =
                    space.read_uint(offsets.plus(cpu.wrapping_mul(word)), word as usize)?;
                space.read_uint(counters.plus(offset), 4)
            };
            let own = read().map_err(Absent::unreadable)?;
            sum = sum.wrapping_add(i64::from((own as u32).cast_signed()));
        }
        Ok(sum)
    }

    /// The path of the task's group in the default hierarchy.
    fn cgroup(&self, task: VirtAddr) -> Seen<Vec<u8>> {
        let guest = &self.linux.guest;
        if let Some(visible) = guest.symbol("cgrp_dfl_visible") {
            let visible = guest.space.read_uint(visible, 1);
            if visible.map_err(Absent::unreadable)? == 0 {
                return Err(Absent::not_applicable(
                    "no hierarchy of version 2 is mounted",
                ));
            }
        }
        let set = self.object(self.task.cgroups, task)?;
        let group = self.object(self.css_set.dfl_cgrp, set)?;
        let mut node = self.object(self.cgroup.kn, group)?;
        let (Some(parent), Some(name)) = (self.node.parent, self.node.name) else {
            return Err(Absent::not_in_this_kernel());
        };
        let mut names: Vec<Vec<u8>> = Vec::new();
        loop {
            let above = parent
                .read(&guest.space, node)
                .map_err(Absent::unreadable)?;
            if above.is_null() {
                break;
            }
            if names.len() > MOST_STEPS || !guest.can_be_object(above) {
                let rule = "a control group's path reaches the root in 256 steps";
                return Err(Absent::implausible(above.0, rule, Some(parent.place(node))));
            }
            let text = self.object_text(name, node)?;
            if text.is_empty() || text.contains(&b'/') {
                let rule = "a control group has a name without a slash";
                return Err(Absent::implausible(0, rule, Some(name.place(node))));
            }
            names.push(text);
            node = above;
        }
        let mut path: Vec<u8> = names
            .iter()
            .rev()
            .flat_map(|name| [&b"/"[..], name].concat())
            .collect();
        if path.is_empty() {
            path.push(b'/');
        }
        if self.value(self.cgroup.flags, group)? & CSS_ONLINE == 0 {
            path.extend_from_slice(b" (deleted)");
        }
        Ok(path)
    }

    fn object_text(&self, field: Field<Ptr<()>>, base: VirtAddr) -> Seen<Vec<u8>> {
        let space = &self.linux.guest.space;
        let at = field.read(space, base).map_err(Absent::unreadable)?;
        space.read_cstr(at, 256).map_err(Absent::unreadable)
    }

    fn namespaces(&self, task: VirtAddr, cred: &Seen<VirtAddr>) -> Seen<Namespaces> {
        let proxy = match self.kept(self.task.nsproxy, task) {
            Ok(proxy) => Some(proxy),
            // What has exited is of users and has a number still.
            Err(absent) if !absent.is_loss() => None,
            Err(absent) => return Err(absent),
        };
        if let Some(proxy) = proxy
            && self.value(self.proxy.count, proxy)? == 0
        {
            let rule = "an nsproxy that is in use is counted (count)";
            return Err(Absent::implausible(0, rule, Some(proxy)));
        }
        let number = |of: Option<Field<Ptr<()>>>, base, inum: Option<Field<UInt>>| {
            let (Some(field), Some(_), Some(base)) = (of, inum, base) else {
                return Ok(None);
            };
            let namespace = self.object(Some(field), base)?;
            let number = self.value(inum, namespace)?;
            match u32::try_from(number) {
                Ok(number) if number != 0 => Ok(Some(number)),
                _ => {
                    let rule = "a namespace has a number";
                    Err(Absent::implausible(number, rule, Some(namespace)))
                }
            }
        };
        let pid = match self.own_pid(task) {
            Ok((_, namespace)) => {
                let number = self.value(self.pids.inum, namespace)?;
                u32::try_from(number).ok()
            }
            Err(absent) if absent.is_loss() => return Err(absent),
            Err(_) => None,
        };
        Ok(Namespaces {
            cgroup: number(self.proxy.cgroup_ns, proxy, self.cgroups.inum)?,
            ipc: number(self.proxy.ipc_ns, proxy, self.ipc.inum)?,
            mnt: number(self.proxy.mnt_ns, proxy, self.mnt.inum)?,
            net: number(self.proxy.net_ns, proxy, self.net.inum)?,
            pid,
            time: number(self.proxy.time_ns, proxy, self.clocks.inum)?,
            user: number(self.cred.user_ns, Some(cred.clone()?), self.users.inum)?,
            uts: number(self.proxy.uts_ns, proxy, self.uts.inum)?,
        })
    }

    fn place(
        &self,
        task: VirtAddr,
        dentry: Option<Field<Ptr<()>>>,
        mnt: Option<Field<Ptr<()>>>,
    ) -> Seen<Vec<u8>> {
        let fs = self.kept(self.linux.maps.paths.task_fs(), task)?;
        let (users, at) = self.signed(self.places.users, fs)?;
        if users <= 0 {
            let rule = "places that are in use are counted (users)";
            return Err(Absent::implausible(users.cast_unsigned(), rule, Some(at)));
        }
        let place = Place {
            mnt: self.object(mnt, fs)?,
            dentry: self.object(dentry, fs)?,
        };
        self.linux.maps.paths.at(&self.linux.guest, place)
    }
}

/// The id of a container in the path of its control group: the last run of 64 hexadecimal digits.
fn container(path: &[u8]) -> Option<Vec<u8>> {
    path.split(|byte| !byte.is_ascii_hexdigit() || byte.is_ascii_uppercase())
        .rfind(|run| run.len() == CONTAINER)
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::container;

    #[test]
    fn a_container_is_told_by_its_digits() {
        let id = "4f0d1e2c3b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods/besteffort/pod1/cri-containerd-{id}.scope"),
        ] {
            assert_eq!(
                container(path.as_bytes()).as_deref(),
                Some(id.as_bytes()),
                "{path}"
            );
        }
        for path in [
            "/",
            "/user.slice/user-1000.slice",
            &format!("/{id}0"),
            &format!("/{}", &id[1..]),
        ] {
            assert_eq!(container(path.as_bytes()), None, "{path}");
        }
    }
}
