//! How the system calls of a process are filtered.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

use super::reader::Reader;

/// `TIF_SECCOMP`, in `thread_info.flags`.
const FLAG: u64 = 1 << 8;
/// `SYSCALL_WORK_SECCOMP`, in `thread_info.syscall_work`.
const WORK: u64 = 1;

/// The mode. Mode 2 has a filter, until the task exits, and the others none; each but 0 is marked so in
/// `thread_info`. Threads of the kernel make no system calls.
pub(super) fn mode(reader: &Reader<'_>, task: VirtAddr, of_kernel: bool) -> Seen<u8> {
    let rule = "seccomp has the modes 0, 1 and 2";
    let mode = reader.small(reader.task.seccomp, task, 2, rule)?;
    let implausible = |rule| {
        let at = reader.task.seccomp.map(|field| field.place(task));
        Err(Absent::implausible(mode.into(), rule, at))
    };
    if of_kernel && mode != 0 {
        return implausible("a thread of the kernel has no filter of system calls");
    }
    let bits = |field| reader.value(field, task).ok();
    let marked = match (reader.task.syscall_work, reader.task.thread_flags) {
        (None, None) => None,
        (None, flags) => bits(flags).map(|flags| flags & FLAG != 0),
        (work, _) => bits(work).map(|work| work & WORK != 0),
    };
    if marked.is_some_and(|marked| marked != (mode != 0)) {
        return implausible("what filters system calls is marked so (seccomp, thread_info)");
    }
    let space = &reader.linux.guest.space;
    let filter = reader.task.filter.map(|field| field.read(space, task));
    match filter {
        Some(Ok(filter)) if filter.is_null() && mode == 2 && !reader.exits(task) => {
            implausible("mode 2 has a filter")
        }
        Some(Ok(filter)) if !filter.is_null() && mode != 2 => implausible("a filter is of mode 2"),
        _ => Ok(mode),
    }
}
