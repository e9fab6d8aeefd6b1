//! Rows about processes.

use crate::filling::{Bytes, shown};

/// A process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its id.
    pub pid: u64,
    /// Its parent's id.
    pub ppid: u64,
    /// Its name.
    pub name: Bytes,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
    /// Linux: virtual address of the page-table root, `mm->pgd`.
    pub pgd: u64,
    /// Linux: nanoseconds since boot. Windows: FILETIME.
    pub create_time: u64,
    /// The same on the wall clock: nanoseconds since 1970-01-01 UTC.
    pub start: i64,
    /// Linux: real user id.
    pub uid: u64,
    /// Linux: real group id.
    pub gid: u64,
    /// Linux: the leader's state, one letter.
    pub state: Bytes,
    /// Linux: number of threads.
    pub threads: u64,
    /// Linux: path of the executable.
    pub exe: Bytes,
    /// Arguments. Linux: each ended by a NUL.
    pub cmdline: Bytes,
    /// Linux: whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Windows: FILETIME of its end.
    pub exit_time: u64,
    /// Windows: session id.
    pub session: u64,
    /// Windows: whether it is a 32-bit process of a 64-bit kernel.
    pub wow64: bool,
    /// Windows: address of its `_PEB`.
    pub peb: u64,
    /// Windows: path of its image.
    pub path: Bytes,
    /// Which source found it.
    pub found_by: Bytes,
}

shown!(Process: pid, ppid, name, taskd, asid, pgd, create_time, start, uid, gid, state, threads, exe, cmdline, kernel_thread, exit_time, session, wow64, peb, path, found_by);

/// A process with all that is known of it: fields that are not marked otherwise are those of Linux, but for what
/// names the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WideProcess {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its id.
    pub pid: u64,
    /// Its parent's id.
    pub ppid: u64,
    /// Its name.
    pub name: Bytes,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
    /// Linux: the same, virtual.
    pub pgd: u64,
    /// Linux: nanoseconds since boot. Windows: FILETIME.
    pub create_time: u64,
    /// The same on the wall clock: nanoseconds since 1970-01-01 UTC.
    pub start: i64,
    /// Real user id.
    pub uid: u64,
    /// Real group id.
    pub gid: u64,
    /// The leader's state, one letter.
    pub state: Bytes,
    /// Number of threads.
    pub threads: u64,
    /// Path of the executable.
    pub exe: Bytes,
    /// Arguments. Linux: each ended by a NUL.
    pub cmdline: Bytes,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Which source found it.
    pub found_by: Bytes,
    /// Effective user id.
    pub euid: u64,
    /// Saved user id.
    pub suid: u64,
    /// User id for access to files.
    pub fsuid: u64,
    /// Effective group id.
    pub egid: u64,
    /// Supplementary groups, parted by blanks. Windows: SIDs of the groups.
    pub groups: Bytes,
    /// Effective capabilities, a bit each.
    pub caps: u64,
    /// The user who logged in.
    pub loginuid: u64,
    /// How system calls are filtered, in a word.
    pub seccomp: Bytes,
    /// Path of its control group.
    pub cgroup: Bytes,
    /// The container's id.
    pub container: Bytes,
    /// `KIND:NUMBER` of its namespaces, parted by blanks.
    pub ns: Bytes,
    /// Its id in its own pid namespace.
    pub ns_pid: u64,
    /// Its session.
    pub session_id: u64,
    /// Its process group.
    pub pgid: u64,
    /// Its controlling terminal.
    pub tty: Bytes,
    /// The thread that traces it.
    pub tracer: u64,
    /// -20 to 19.
    pub nice: i64,
    /// How it is scheduled, in a word.
    pub policy: Bytes,
    /// Nanoseconds in user mode.
    pub utime: u64,
    /// Nanoseconds in the kernel.
    pub stime: u64,
    /// Bytes of all mappings.
    pub vsize: u64,
    /// Bytes in memory.
    pub rss: u64,
    /// The working directory.
    pub cwd: Bytes,
    /// The root directory.
    pub root: Bytes,
    /// Windows: FILETIME of its end.
    pub exit_time: u64,
    /// Windows: session id.
    pub session: u64,
    /// Windows: whether it is a 32-bit process of a 64-bit kernel.
    pub wow64: bool,
    /// Windows: address of its `_PEB`.
    pub peb: u64,
    /// Windows: path of its image.
    pub path: Bytes,
    /// Windows: address of its `_TOKEN`.
    pub token: u64,
    /// Windows: the user's SID, `S-1-5-18`.
    pub user: Bytes,
    /// Windows: privileges by name, parted by blanks.
    pub privileges: Bytes,
    /// Windows: the integrity level, in a word.
    pub integrity: Bytes,
    /// Windows: number of the logon.
    pub logon: u64,
}

shown!(WideProcess: pid, ppid, name, taskd, asid, pgd, create_time, start, uid, gid, state, threads, exe, cmdline, kernel_thread, found_by, euid, suid, fsuid, egid, groups, caps, loginuid, seccomp, cgroup, container, ns, ns_pid, session_id, pgid, tty, tracer, nice, policy, utime, stime, vsize, rss, cwd, root, exit_time, session, wow64, peb, path, token, user, privileges, integrity, logon);
