//! The structures that several of the files here read.

use osier_profile::{Embed, Field, Ptr, SInt, UInt, layout};

layout! {
    /// Fields read from `task_struct`.
    pub(crate) struct Task: "task_struct" through [sched_entity seccomp thread_info] {
        /// Who logged in.
        loginuid: Option<Field<UInt>>,
        /// The number of that login; -1 where nobody did.
        sessionid: Option<Field<UInt>>,
        /// How system calls are filtered.
        seccomp: Option<Field<UInt>> = ["seccomp.mode"],
        /// The newest filter.
        filter: Option<Field<Ptr<()>>> = ["seccomp.filter"],
        /// What is done around system calls. Linux commit 3136b93c3fb2 ("entry: Expose helpers to
        /// migrate TIF to `SYSCALL_WORK` flags"), v5.11.
        syscall_work: Option<Field<UInt>> = ["thread_info.syscall_work"],
        /// The flags that stood for it before.
        thread_flags: Option<Field<UInt>> = ["thread_info.flags"],
        /// Its place among what its tracer traces; a list of its own where nobody does.
        ptrace_entry: Option<Field<Embed<()>>>,
        /// The set of its control groups.
        cgroups: Option<Field<Ptr<()>>>,
        /// Its namespaces, but for those of users and ids.
        nsproxy: Option<Field<Ptr<()>>>,
        /// Its places in the lists of the ids that it has. Since v4.19.
        pid_links: Option<Field<Embed<()>>>,
        /// Its `struct pid`. Since v4.19.
        thread_pid: Option<Field<Ptr<()>>>,
        /// `pid_link` for each use of an id: the place in the list, and the `struct pid`. Until v4.18.
        pids: Option<Field<Embed<()>>>,
        /// 100 to 139 of what is not of real time.
        static_prio: Option<Field<SInt>>,
        /// The same without what it inherits for a while; of real time 0 to 98, of a deadline -1.
        normal_prio: Option<Field<SInt>>,
        /// 1 to 99 of what is of real time.
        rt_priority: Option<Field<UInt>>,
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
    pub(crate) struct Group: "signal_struct" through [prev_cputime] {
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
    pub(crate) struct Cred: "cred" through [kernel_cap_struct kgid_t kuid_t] {
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
        /// A bit for each that it may take.
        cap_permitted: Option<Field<UInt>>,
        /// Supplementary groups.
        group_info: Option<Field<Ptr<()>>>,
        /// Whose ids they are.
        user_ns: Option<Field<Ptr<()>>>,
    }
}
