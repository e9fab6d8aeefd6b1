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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use osier_testkit::Knockout;

    use super::read_arguments;
    use crate::toy::Toy;

    #[test]
    fn arguments_are_shown_with_their_nuls_and_a_title_in_their_stead() {
        let mut toy = Toy::new();
        let plain = toy.text(b"prog\0two words\0");
        let title = toy.text(b"prog: idle and more");
        let endless = toy.page();
        toy.memory.write_bytes(Toy::pa(endless), &[b'x'; 4096]);
        toy.page();
        let space = toy.guest().space;
        let read = |at, len| read_arguments(&space, at, len).unwrap();
        assert_eq!(read(plain, 15), b"prog\0two words\0");
        // The process wrote over the NUL at the end of its arguments, 10 bytes of them.
        assert_eq!(read(title, 10), b"prog: idle and more\0");
        assert_eq!(read(endless, 100), [b'x'; 4096]);
    }

    #[test]
    fn arguments_of_which_a_part_is_hidden_are_absent() {
        let mut toy = Toy::new();
        let first = toy.page();
        let second = toy.page();
        toy.memory.write_bytes(Toy::pa(first), &[b'a'; 4096]);
        toy.memory.write_bytes(Toy::pa(second), b"b\0");
        let guest = toy.guest();
        let whole = read_arguments(&guest.space, first, 4098);
        assert_eq!(whole.unwrap().len(), 4098);
        for hidden in [first, second] {
            let memory = Knockout::new(toy.memory.clone(), Toy::pa(hidden));
            let guest = toy.guest_in(Arc::new(memory));
            let fault = read_arguments(&guest.space, first, 4098).unwrap_err();
            assert_eq!(fault.pa.unwrap().page(), Toy::pa(hidden));
        }
    }
}
