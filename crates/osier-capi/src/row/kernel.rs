//! Rows about processors, threads, modules and the log.

use crate::filling::{Bytes, shown};

/// What names a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Handle {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
}

shown!(Handle: taskd, asid);

/// What runs on a processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Current {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// The processor's index.
    pub cpu: u64,
    /// Id of its process.
    pub pid: u64,
    /// Id of its thread.
    pub tid: u64,
    /// Name of what runs.
    pub name: Bytes,
    /// What names its process; see `osier_process`.
    pub taskd: u64,
    /// Physical address of the process's page-table root.
    pub asid: u64,
    /// Address of the thread: `task_struct` or `_ETHREAD`.
    pub task: u64,
    /// The thread's state, one letter.
    pub state: Bytes,
    /// Id of the process's parent.
    pub ppid: u64,
    /// The process's name.
    pub process_name: Bytes,
    /// Linux: virtual address of the page-table root.
    pub pgd: u64,
    /// When the process started; see `osier_process`.
    pub create_time: u64,
    /// The same on the wall clock.
    pub start: i64,
    /// Path of the process's executable.
    pub exe: Bytes,
}

shown!(Current: cpu, pid, tid, name, taskd, asid, task, state, ppid, process_name, pgd, create_time, start, exe);

/// A thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Thread {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// Its id.
    pub tid: u64,
    /// Its name.
    pub name: Bytes,
    /// Its address: `task_struct` or `_ETHREAD`.
    pub task: u64,
    /// Its state, one letter.
    pub state: Bytes,
}

shown!(Thread: pid, tid, name, task, state);

/// A kernel module or driver.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Module {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its name.
    pub name: Bytes,
    /// First address of its code.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Path of its file.
    pub file: Bytes,
    /// Address of its `struct module` or loader entry.
    pub modd: u64,
}

shown!(Module: name, base, size, file, modd);

/// A record of the kernel's log.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLine {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Nanoseconds since boot.
    pub time: u64,
    /// How grave it is, in a word.
    pub level: Bytes,
    /// Who speaks, in a word.
    pub facility: Bytes,
    /// Who wrote it: `T` and a thread's id, or `C` and a processor's number.
    pub caller: Bytes,
    /// The text.
    pub text: Bytes,
    /// Its number since boot.
    pub seq: u64,
    /// Address of its descriptor or record.
    pub address: u64,
}

shown!(LogLine: time, level, facility, caller, text, seq, address);
