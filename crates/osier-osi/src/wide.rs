//! What `ps --wide` shows of a Linux process beside its row.

use crate::Seen;

/// Who a Linux process is, where it stands and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxWide {
    /// Effective user id: `real_cred->euid`.
    pub euid: Seen<u32>,
    /// Saved user id.
    pub suid: Seen<u32>,
    /// User id for file access.
    pub fsuid: Seen<u32>,
    /// Effective group id.
    pub egid: Seen<u32>,
    /// Supplementary groups, in the kernel's order.
    pub groups: Seen<Vec<u32>>,
    /// Effective capabilities, a bit each: `CapEff` of `/proc/PID/status`.
    pub caps: Seen<u64>,
    /// The user who logged in, as audit notes; not applicable when nobody did.
    pub loginuid: Seen<u32>,
    /// Whether system calls are filtered: `seccomp.mode`, 0, 1 (strict) or 2 (by a filter).
    pub seccomp: Seen<u8>,
    /// Path in the default hierarchy of control groups (version 2), ` (deleted)` behind it when the group
    /// is gone. Bytes.
    pub cgroup: Seen<Vec<u8>>,
    /// The container's id, out of that path: 64 hexadecimal digits; not applicable where there are none.
    pub container: Seen<Vec<u8>>,
    /// Numbers of its namespaces.
    pub ns: Seen<Namespaces>,
    /// Its id in its own pid namespace.
    pub ns_pid: Seen<u32>,
    /// Its session: the session leader's id.
    pub session_id: Seen<u32>,
    /// Its process group.
    pub pgid: Seen<u32>,
    /// Its controlling terminal, by the kernel's name, such as `pts0`. Bytes.
    pub tty: Seen<Vec<u8>>,
    /// The thread that traces it; not applicable when none does.
    pub tracer: Seen<u32>,
    /// -20 to 19.
    pub nice: Seen<i32>,
    /// The scheduling policy: `SCHED_NORMAL` is 0.
    pub policy: Seen<u8>,
    /// Nanoseconds in user mode of all its threads, adjusted as `/proc/PID/stat` adjusts them.
    pub utime: Seen<u64>,
    /// Nanoseconds in the kernel, likewise.
    pub stime: Seen<u64>,
    /// Bytes of all mappings.
    pub vsize: Seen<u64>,
    /// Bytes of its pages in memory: `resident` of `/proc/PID/statm`.
    pub rss: Seen<u64>,
    /// The working directory, as the link in `/proc/PID` shows it. Bytes.
    pub cwd: Seen<Vec<u8>>,
    /// The root directory, likewise. Bytes.
    pub root: Seen<Vec<u8>>,
}

/// The numbers of a process's namespaces, as the links in `/proc/PID/ns` show them; `None` of a kind that
/// the kernel does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Of control groups.
    pub cgroup: Option<u32>,
    /// Of System V IPC.
    pub ipc: Option<u32>,
    /// Of mounts.
    pub mnt: Option<u32>,
    /// Of the network.
    pub net: Option<u32>,
    /// Of process ids.
    pub pid: Option<u32>,
    /// Of clocks.
    pub time: Option<u32>,
    /// Of users.
    pub user: Option<u32>,
    /// Of the host's name.
    pub uts: Option<u32>,
}
