//! What a process's own memory tells: its arguments.

use osier_memory::{AddressSpace, Fault, PhysAddr, VirtAddr};
use osier_osi::Seen;

use crate::Linux;

/// Longest argument list that is believed: the kernel's own limit is three quarters of
/// `_STK_LIM`, 6 MiB.
const LIMIT: u64 = 8 << 20;
/// What `/proc/PID/cmdline` shows at most of a title that a process wrote over its arguments.
const TITLE_LIMIT: usize = 4096;

/// The arguments of the process whose `mm_struct` is at `mm` and whose page table's root is at
/// `root`, byte for byte as `/proc/PID/cmdline` shows them: `mm->arg_start` to `mm->arg_end`, a NUL
/// behind each. When the byte before `arg_end` is not NUL, the process wrote a title over them, and
/// the text up to its NUL is shown instead, past `arg_end` too (Linux commit d26d0cd97c88
/// ("`/proc/<pid>/cmdline`: add back the `setproctitle()` special case"), v5.3).
///
/// Absent as unreadable when any byte of it is.
pub(crate) fn cmdline(linux: &Linux, mm: VirtAddr, root: PhysAddr) -> Seen<Vec<u8>> {
    let (Some(arg_start), Some(arg_end)) = (linux.mm.arg_start, linux.mm.arg_end) else {
        return Seen::not_in_this_kernel();
    };
    let kernel = &linux.guest.space;
    let bounds = || Ok((arg_start.read(kernel, mm)?, arg_end.read(kernel, mm)?));
    let bounds: Result<_, Fault> = bounds();
    let (start, end) = match bounds {
        Ok(bounds) => bounds,
        Err(fault) => return Seen::unreadable(fault),
    };
    if start >= end {
        return Seen::Is(Vec::new());
    }
    let len = end.wrapping_sub(start);
    if len > LIMIT {
        return Seen::implausible(len, "arguments take at most 8 MiB", Some(arg_end.place(mm)));
    }
    let space = linux.guest.space_of(root);
    read_arguments(&space, VirtAddr(start), len as usize).into()
}

fn read_arguments(space: &AddressSpace, start: VirtAddr, len: usize) -> Result<Vec<u8>, Fault> {
    let last = start.plus(len as u64).minus(1);
    if space.read_uint(last, 1)? != 0 {
        let mut title = space.read_cstr(start, TITLE_LIMIT)?;
        if title.len() < TITLE_LIMIT {
            title.push(0);
        }
        return Ok(title);
    }
    let mut text = Vec::new();
    while text.len() < len {
        let chunk = space.chunk(
            start.plus(text.len() as u64),
            len.saturating_sub(text.len()),
        )?;
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}
