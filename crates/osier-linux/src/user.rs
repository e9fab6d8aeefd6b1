//! What a process's own memory tells: its arguments.

use osier_memory::{AddressSpace, Fault, VirtAddr};
use osier_osi::{Absent, Seen};

use crate::{Linux, mm};

/// Longest argument list that is believed: the kernel's own limit is three quarters of
/// `_STK_LIM`, 6 MiB.
const LIMIT: u64 = 8 << 20;
/// What `/proc/PID/cmdline` shows at most of a title that a process wrote over its arguments.
const TITLE_LIMIT: u64 = 4096;

/// Where the arguments lie, and how far a title may reach that was written over them.
#[derive(Clone, Copy, Debug)]
struct Room {
    start: u64,
    /// One past the arguments.
    end: u64,
    /// One past the environment when that follows them.
    title_end: u64,
}

/// The arguments of the process whose `mm_struct` is at `mm` and whose memory is `space`, byte for byte as `/proc/PID/cmdline` shows them: `mm->arg_start` to `mm->arg_end`, a NUL
/// behind each. When the byte before `arg_end` is not NUL, the process wrote a title over them, and
/// the text up to its NUL is shown instead, past `arg_end` too, as far as the environment reaches
/// that follows (Linux commits 5ab827189965 ("fs/proc: simplify and clarify `get_mm_cmdline()`
/// function"), v4.18, and d26d0cd97c88 ("`/proc/<pid>/cmdline`: add back the `setproctitle()` special
/// case"), v5.3; before, the environment was shown wherever it stood).
///
/// Absent as unreadable when any byte of it is.
pub(crate) fn cmdline(linux: &Linux, mm: VirtAddr, space: &AddressSpace) -> Seen<Vec<u8>> {
    let layout = &linux.mm;
    let (Some(arg_start), Some(arg_end)) = (layout.arg_start, layout.arg_end) else {
        return Err(Absent::not_in_this_kernel());
    };
    let kernel = &linux.guest.space;
    let bounds = || {
        let start = arg_start.read(kernel, mm)?;
        let end = arg_end.read(kernel, mm)?;
        let environment = match layout.env_start.zip(layout.env_end) {
            Some((start, end)) => Some((start.read(kernel, mm)?, end.read(kernel, mm)?)),
            None => None,
        };
        Ok((start, end, environment))
    };
    let bounds: Result<_, Fault> = bounds();
    let (start, end, environment) = match bounds {
        Ok(bounds) => bounds,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    let loaded = mm::is_loaded(&linux.guest, layout, mm);
    if start == 0 && loaded {
        let rule = "a program that is loaded has arguments somewhere (arg_start)";
        return Err(Absent::implausible(start, rule, Some(arg_start.place(mm))));
    }
    if start >= end {
        // Until the stack of a program that is being started is made, only the first is known.
        let starting = !loaded && end == 0 && matches!(environment, None | Some((0, 0)));
        if starting || (start == end && argc(linux, mm, space).is_none_or(|argc| argc == 0)) {
            return Ok(Vec::new());
        }
        let rule = "arguments end behind their start (arg_start, arg_end)";
        return Err(Absent::implausible(end, rule, Some(arg_end.place(mm))));
    }
    let len = end.wrapping_sub(start);
    if len > LIMIT {
        return Err(Absent::implausible(
            len,
            "arguments take at most 8 MiB",
            Some(arg_end.place(mm)),
        ));
    }
    let stack = linux.mm.start_stack;
    let stack = stack.and_then(|field| field.read(kernel, mm).ok());
    if let (Some(stack), Some((env_start, _))) = (stack, environment)
        && stack < start
        && start < env_start
    {
        // Where the program was started with them; `prctl` may have moved them elsewhere.
        if end != env_start {
            let rule = "arguments on the stack end where the environment starts";
            return Err(Absent::implausible(end, rule, Some(arg_end.place(mm))));
        }
        if matches!(space.read_uint(VirtAddr(start).minus(1), 1), Ok(byte) if byte != 0) {
            let rule = "the first argument on the stack has a NUL before it";
            return Err(Absent::implausible(start, rule, Some(arg_start.place(mm))));
        }
    }
    let title_end = match environment {
        Some((env_start, env_end)) if env_start == end && env_end > end => env_end,
        _ => end,
    };
    let room = Room {
        start,
        end,
        title_end,
    };
    let text = read_arguments(space, room).map_err(Absent::unreadable)?;
    if text.len() > 1 && text.iter().all(|byte| *byte == 0) && argc(linux, mm, space) != Some(len) {
        let rule = "arguments are not zeros only, unless as many empty ones were given";
        return Err(Absent::implausible(0, rule, Some(VirtAddr(start))));
    }
    Ok(text)
}

/// How many arguments the program was started with, as its stack counts them: `argc` stands at
/// `mm->start_stack`.
fn argc(linux: &Linux, mm: VirtAddr, space: &AddressSpace) -> Option<u64> {
    let stack = linux.mm.start_stack?.read(&linux.guest.space, mm).ok()?;
    space.read_uint(VirtAddr(stack), 4).ok()
}

fn read_arguments(space: &AddressSpace, room: Room) -> Result<Vec<u8>, Fault> {
    let (start, end) = (VirtAddr(room.start), VirtAddr(room.end));
    let len = room.end.wrapping_sub(room.start) as usize;
    if space.read_uint(end.minus(1), 1)? != 0 {
        let most = room.title_end.wrapping_sub(room.start).min(TITLE_LIMIT) as usize;
        let mut title = space.read_cstr(start, most)?;
        if title.len() < most {
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

    use osier_memory::VirtAddr;
    use osier_testkit::Knockout;

    use super::{Room, read_arguments};
    use crate::toy::Toy;

    /// `len` bytes of arguments at `at`, and as many as `title` that a title may take.
    fn room(at: VirtAddr, len: u64, title: u64) -> Room {
        Room {
            start: at.0,
            end: at.plus(len).0,
            title_end: at.plus(title).0,
        }
    }

    #[test]
    fn arguments_are_shown_with_their_nuls_and_a_title_in_their_stead() {
        let mut toy = Toy::new();
        let plain = toy.text(b"prog\0two words\0");
        let title = toy.text(b"prog: idle and more");
        let endless = toy.page();
        toy.memory.write_bytes(Toy::pa(endless), &[b'x'; 4096]);
        toy.page();
        let space = toy.guest().space;
        let read = |at, len, title| read_arguments(&space, room(at, len, title)).unwrap();
        assert_eq!(read(plain, 15, 40), b"prog\0two words\0");
        // The process wrote over the NUL at the end of its arguments, 10 bytes of them.
        assert_eq!(read(title, 10, 40), b"prog: idle and more\0");
        assert_eq!(read(title, 10, 20), b"prog: idle and more\0");
        // It filled all that it may write over: what stands behind is no part of it.
        assert_eq!(read(title, 10, 14), b"prog: idle and");
        assert_eq!(read(title, 10, 10), b"prog: idle");
        assert_eq!(read(endless, 100, 8192), [b'x'; 4096]);
    }

    #[test]
    fn arguments_of_which_a_part_is_hidden_are_absent() {
        let mut toy = Toy::new();
        let first = toy.page();
        let second = toy.page();
        toy.memory.write_bytes(Toy::pa(first), &[b'a'; 4096]);
        toy.memory.write_bytes(Toy::pa(second), b"b\0");
        let guest = toy.guest();
        let whole = read_arguments(&guest.space, room(first, 4098, 4098));
        assert_eq!(whole.unwrap().len(), 4098);
        for hidden in [first, second] {
            let memory = Knockout::new(toy.memory.clone(), Toy::pa(hidden));
            let guest = toy.guest_in(Arc::new(memory));
            let fault = read_arguments(&guest.space, room(first, 4098, 4098)).unwrap_err();
            assert_eq!(fault.pa.unwrap().page(), Toy::pa(hidden));
        }
    }
}
