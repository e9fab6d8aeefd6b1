//! The environment of a process: what `/proc/PID/environ` shows.

use std::ops::ControlFlow;

use osier_memory::{AddressSpace, Each, Fault, VirtAddr};
use osier_osi::{Absent, Seen, Variable, WalkEnd, WalkEnds};

use crate::memory::{no_memory, table};
use crate::{Linux, memory, mm, process};

/// The walk's name in its endings.
const WALK: &str = "environment";
/// Longest environment that is believed: the kernel's own limit is three quarters of `_STK_LIM`, 6 MiB.
const LIMIT: u64 = 8 << 20;
/// `AT_EXECFN`: where the program's path stands, which the kernel puts right behind the environment.
const AT_EXECFN: u64 = 31;
/// Bytes that are read at a time.
const WINDOW: usize = 4096;

/// Where the environment lies.
struct Room {
    start: u64,
    end: u64,
}

/// The variables of the process whose group leader is at `taskd`, in their order: the texts between
/// `mm->env_start` and `mm->env_end`, each with a NUL behind it. The process may have written over them.
pub(crate) fn environment(linux: &Linux, taskd: VirtAddr, row: Each<'_, Variable>) -> WalkEnds {
    let mm = memory::mm(linux, taskd);
    let mm = match mm {
        Ok(mm) => mm,
        absent @ Err(_) => return no_memory(WALK, absent),
    };
    let space = match table(linux, &Ok(mm)).space {
        Some(space) => space,
        None => match memory::address_space(linux, taskd) {
            Ok(space) => space,
            absent @ Err(_) => return no_memory(WALK, absent),
        },
    };
    let room = match room(linux, mm) {
        Ok(Some(room)) => room,
        Ok(None) => return WalkEnds::one(WALK, WalkEnd::Closed),
        Err(end) => return WalkEnds::one(WALK, end),
    };
    let pid = process::pid(linux, taskd);
    let mut texts = Texts {
        pid: &pid,
        row,
        start: room.start,
        text: Vec::new(),
        broken: WalkEnds::default(),
    };
    let flow = texts.all(&space, &room);
    let mut ends = texts.broken;
    match flow {
        ControlFlow::Continue(()) => ends.add(WALK, WalkEnd::Closed),
        ControlFlow::Break(()) => ends.add(WALK, WalkEnd::Stopped),
    }
    ends
}

/// Where the environment of the memory at `mm` lies; `None` when there is none yet.
fn room(linux: &Linux, mm: VirtAddr) -> Result<Option<Room>, WalkEnd> {
    let layout = &linux.mm;
    let no_start = |missing: String, fault| Err(WalkEnd::NoStart { missing, fault });
    let Some((env_start, env_end)) = layout.env_start.zip(layout.env_end) else {
        return no_start("members of mm_struct in the profile".to_owned(), None);
    };
    let space = &linux.guest.space;
    let read = || Ok((env_start.read(space, mm)?, env_end.read(space, mm)?));
    let bounds: Result<_, Fault> = read();
    let (start, end) = match bounds {
        Ok(bounds) => bounds,
        Err(fault) => return no_start("env_start and env_end".to_owned(), Some(fault)),
    };
    let broken = |rule| {
        no_start(
            format!("env_start {start:#x}, env_end {end:#x}: {rule}"),
            None,
        )
    };
    let number = |field: Option<osier_profile::Field<osier_profile::UInt>>| {
        field.and_then(|field| field.read(space, mm).ok())
    };
    let path = path_of_the_program(linux, mm);
    let loaded = mm::is_loaded(&linux.guest, layout, mm);
    if start == 0 && loaded {
        return broken("a program that is loaded has an environment somewhere");
    }
    if (start, end) == (0, 0) && path.is_none() {
        // The stack of a program that is being started is not made yet.
        return Ok(None);
    }
    if start > end || end >= linux.guest.user_end {
        return broken("the environment ends behind its start, in the process's half");
    }
    if end.wrapping_sub(start) > LIMIT {
        return broken("an environment takes at most 8 MiB");
    }
    let stack = number(layout.start_stack);
    let arguments = number(layout.arg_end);
    if let (Some(stack), Some(path)) = (stack, path)
        && stack < start
        && start <= path
    {
        // Where the program was started with it; `prctl` may have moved it elsewhere.
        if end != path {
            return broken("an environment on the stack ends where the program's path begins");
        }
        let start_of_arguments = number(layout.arg_start);
        let on_stack = start_of_arguments.is_some_and(|at| stack < at && at <= start);
        if on_stack && arguments.is_some_and(|arguments| arguments != start) {
            return broken("an environment on the stack begins where the arguments end");
        }
    } else if path.is_some_and(|path| end == path) || arguments.is_some_and(|end| end == start) {
        let on_stack = stack.is_some_and(|stack| stack < start);
        if !on_stack {
            return broken("an environment that begins at the arguments is on the stack");
        }
    }
    Ok(Some(Room { start, end }))
}

/// Where the path stands that the program was started by; `None` when the kernel does not keep it.
fn path_of_the_program(linux: &Linux, mm: VirtAddr) -> Option<u64> {
    let auxv = linux.mm.saved_auxv?;
    let word = u64::from(linux.guest.pointer_bytes());
    let pairs = auxv.bytes.checked_div(word.wrapping_mul(2))?.min(64);
    let space = &linux.guest.space;
    let word_at = |index: u64| {
        let at = auxv.place(mm).plus(index.wrapping_mul(word));
        space.read_uint(at, word as usize).ok()
    };
    for pair in 0..pairs {
        let index = pair.wrapping_mul(2);
        match word_at(index)? {
            0 => return None,
            AT_EXECFN => return word_at(index.wrapping_add(1)).filter(|path| *path != 0),
            _ => {}
        }
    }
    None
}

/// Makes rows of texts, which it is given piece by piece.
struct Texts<'a> {
    pid: &'a Seen<u32>,
    row: Each<'a, Variable>,
    /// Where the text began.
    start: u64,
    text: Vec<u8>,
    /// What was lost: texts stand in it whose number nobody knows.
    broken: WalkEnds,
}

impl Texts<'_> {
    fn all(&mut self, space: &AddressSpace, room: &Room) -> ControlFlow<()> {
        let mut at = room.start;
        // A text whose beginning was lost is known from its next NUL on.
        let mut lost: Option<(u64, Fault)> = None;
        while at < room.end {
            let left = room.end.wrapping_sub(at);
            let page = (WINDOW as u64).wrapping_sub(at & (WINDOW as u64).wrapping_sub(1));
            let count = left.min(page) as usize;
            let mut bytes = vec![0; count];
            match space.read(VirtAddr(at), &mut bytes) {
                Ok(()) => {
                    for (offset, byte) in bytes.iter().enumerate() {
                        let here = at.wrapping_add(offset as u64);
                        match (byte, &lost) {
                            (0, Some((from, fault))) => {
                                let (from, fault) = (*from, *fault);
                                self.show_lost(from, fault)?;
                                lost = None;
                                self.start = here.wrapping_add(1);
                            }
                            (0, None) => {
                                self.show()?;
                                self.start = here.wrapping_add(1);
                            }
                            (_, Some(_)) => {}
                            (byte, None) => self.text.push(*byte),
                        }
                    }
                }
                Err(fault) => {
                    let end = WalkEnd::broken(VirtAddr(at), None, fault);
                    self.broken.add(WALK, end);
                    lost.get_or_insert((self.start, fault));
                }
            }
            at = at.wrapping_add(count as u64);
        }
        match lost {
            Some((from, fault)) => self.show_lost(from, fault),
            // /proc shows also what no NUL ends.
            None => self.show(),
        }
    }

    fn show(&mut self) -> ControlFlow<()> {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            // Room that the process wiped.
            return ControlFlow::Continue(());
        }
        let equals = text.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => {
                let (name, value) = text.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (Ok(name.to_vec()), value.to_vec())
            }
            None => (Err(Absent::not_applicable("a text without =")), text),
        };
        (self.row)(Variable {
            pid: self.pid.clone(),
            name,
            value: Ok(value),
            address: VirtAddr(self.start),
        })
    }

    /// Shows a text of which a part was lost: its name may be known.
    fn show_lost(&mut self, start: u64, fault: Fault) -> ControlFlow<()> {
        let text = std::mem::take(&mut self.text);
        let equals = text.iter().position(|&byte| byte == b'=');
        let name = equals.and_then(|at| text.get(..at));
        (self.row)(Variable {
            pid: self.pid.clone(),
            name: name.map_or_else(|| Err(Absent::unreadable(fault)), |name| Ok(name.to_vec())),
            value: Err(Absent::unreadable(fault)),
            address: VirtAddr(start),
        })
    }
}
