//! The structures that several of the files here read.

use osier_profile::{Embed, Field, Ptr, SInt, UInt, layout};

layout! {
    /// Fields read from `task_struct`.
    pub(crate) struct Task: "task_struct" through [sched_entity seccomp] {
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
        /// Supplementary groups.
        group_info: Option<Field<Ptr<()>>>,
        /// Whose ids they are.
        user_ns: Option<Field<Ptr<()>>>,
    }
}
