//! The process environment block: parameters, heaps, and the loader's data, native and 32-bit.

use std::collections::HashSet;

use osier_memory::{AddressSpace, Fault, VirtAddr};
use osier_osi::{Absent, Seen, SeenExt as _};
use osier_profile::{Field, Ptr};

use crate::guest::is_kernel_address;
use crate::layouts::peb::{Shape, WOW64};
use crate::threads::{self, Block};
use crate::windows::Windows;
use crate::{cid, root, twins, unicode};

/// More heaps than any process has.
const MAX_HEAPS: u64 = 4096;

/// One PEB of a process: WoW64 processes have two.
pub(crate) struct Peb {
    pub(crate) at: VirtAddr,
    pub(crate) shape: Shape,
    pub(crate) space: AddressSpace,
}

impl Peb {
    /// The pointer at `offset` of the PEB; absent when it is null.
    pub(crate) fn pointer(&self, offset: Option<u64>, none: &'static str) -> Seen<VirtAddr> {
        let Some(offset) = offset else {
            return Err(Absent::not_in_this_kernel());
        };
        let width = usize::from(self.shape.pointer_bytes);
        let place = self.at.plus(offset);
        match self.space.read_uint(place, width) {
            Ok(0) => self.not_yet(place, none),
            Ok(value)
                if is_kernel_address(&self.space, VirtAddr(value)) || !value.is_multiple_of(4) =>
            {
                let rule = "a PEB points to aligned user memory";
                Err(Absent::implausible(value, rule, Some(place)))
            }
            Ok(value) => Ok(VirtAddr(value)),
            Err(fault) => Err(Absent::unreadable(fault)),
        }
    }

    /// Why the PEB has nothing at `place`: the loader, once it has begun, has all of it. Before, there
    /// is the image's address.
    fn not_yet<T>(&self, place: VirtAddr, none: &'static str) -> Seen<T> {
        let word = |offset: Option<u64>, width: u8| {
            let value = offset.map(|by| self.space.read_uint(self.at.plus(by), width.into()));
            value.and_then(Result::ok)
        };
        let width = self.shape.pointer_bytes;
        let has = |word: Option<u64>| word.is_some_and(|word| word != 0);
        if has(word(self.shape.ldr, width)) || has(word(self.shape.number_of_heaps, 4)) {
            let rule =
                "a process whose loader has begun has parameters, heaps and the loader's data";
            return Err(Absent::implausible(0, rule, Some(place)));
        }
        if word(self.shape.image_base, width) == Some(0) {
            let rule = "a PEB has the address of the process's image";
            return Err(Absent::implausible(0, rule, Some(place)));
        }
        Err(Absent::not_applicable(none))
    }

    /// The address of the program's image, and where that stands; `None` where the kernel's shape does not tell.
    pub(crate) fn image_base(&self) -> Result<Option<(VirtAddr, VirtAddr)>, Fault> {
        let Some(offset) = self.shape.image_base else {
            return Ok(None);
        };
        let place = self.at.plus(offset);
        let base = self
            .space
            .read_uint(place, self.shape.pointer_bytes.into())?;
        Ok(Some((VirtAddr(base), place)))
    }

    /// The addresses of the process's heaps.
    pub(crate) fn heaps(&self) -> Seen<Vec<VirtAddr>> {
        let Some(offset) = self.shape.number_of_heaps else {
            return Err(Absent::not_in_this_kernel());
        };
        let place = self.at.plus(offset);
        let count = match self.space.read_uint(place, 4) {
            Ok(0) => return self.not_yet(place, "the process has no heaps yet"),
            Ok(count) if count > MAX_HEAPS => {
                return Err(Absent::implausible(
                    count,
                    "a process has at most 4096 heaps",
                    Some(place),
                ));
            }
            Ok(count) => count,
            Err(fault) => return Err(Absent::unreadable(fault)),
        };
        let width = u64::from(self.shape.pointer_bytes);
        let list = self.pointer(self.shape.process_heaps, "the process has no heaps yet");
        list.and_then(|list| {
            let heap = |nth: u64| {
                let at = list.plus(nth.wrapping_mul(width));
                self.space.read_uint(at, width as usize).map(VirtAddr)
            };
            ((0..count).map(heap).collect::<Result<Vec<_>, _>>())
                .map_err(Absent::unreadable)
                .and_then(|heaps| self.sound(heaps, list))
        })
    }

    /// The heaps of the list at `list`, when each may be one and none is another.
    fn sound(&self, heaps: Vec<VirtAddr>, list: VirtAddr) -> Seen<Vec<VirtAddr>> {
        let mut met = HashSet::new();
        for &heap in &heaps {
            let user = !heap.is_null() && !is_kernel_address(&self.space, heap);
            if !user || !heap.0.is_multiple_of(8) || !met.insert(heap) {
                let rule = "the heaps of a process are aligned user addresses, no two alike";
                return Err(Absent::implausible(heap.0, rule, Some(list)));
            }
        }
        Ok(heaps)
    }

    /// The block of parameters at `at` where its strings are told by their distance from its start:
    /// who makes a process writes them so, and its first thread makes addresses of them.
    fn block_of_offsets(&self, at: VirtAddr) -> Option<unicode::Block> {
        let (bytes, flags) = self.shape.block?;
        let number = |offset| self.space.read_uint(at.plus(offset), 4).ok();
        (number(flags)? & 1 == 0).then_some(unicode::Block {
            at,
            bytes: number(bytes)?,
        })
    }

    fn started(&self) -> Started {
        let none = "the process has no parameters yet";
        let parameters = self.pointer(self.shape.parameters, none);
        let path = |path: Vec<u8>| {
            if path.is_empty() || path.contains(&0) {
                let rule = "the path of a process's image has letters, and no NUL";
                let at = parameters.value().zip(self.shape.image_path_name);
                return Err(Absent::implausible(
                    path.len() as u64,
                    rule,
                    at.map(|(at, by)| at.plus(by)),
                ));
            }
            Ok(path)
        };
        let block = parameters.value().and_then(|at| self.block_of_offsets(at));
        let string = |offset: Option<u64>| match (&parameters, offset) {
            (Ok(at), Some(offset)) => {
                let width = self.shape.pointer_bytes;
                unicode::read_in(&self.space, at.plus(offset), width, block)
            }
            (Err(absent), _) => Err(absent.clone()),
            (_, None) => Err(Absent::not_in_this_kernel()),
        };
        Started {
            path: string(self.shape.image_path_name).and_then(path),
            cmdline: string(self.shape.command_line),
        }
    }
}

/// The process environment block, in user memory; held against the first thread's `block`.
pub(crate) fn peb(windows: &Windows, at: VirtAddr, block: Option<Block>) -> Seen<VirtAddr> {
    let Some(field) = windows.process.fields.peb else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(&windows.guest.space, at) {
        Ok(peb) if peb.is_null() => no_peb(windows, at),
        Ok(_) if root::has_no_memory(windows, at) => {
            Err(Absent::not_applicable("the process has exited"))
        }
        Ok(peb) if !is_user_page(windows, peb) => {
            let rule = "a PEB is a page of user memory";
            Err(Absent::implausible(peb.0, rule, Some(field.place(at))))
        }
        Ok(peb) => match block.and_then(|block| block.peb) {
            Some(other) if other != peb => {
                let rule = "a process's PEB is that of its first thread's TEB";
                Err(Absent::implausible(peb.0, rule, Some(field.place(at))))
            }
            _ => Ok(peb),
        },
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

fn is_user_page(windows: &Windows, at: VirtAddr) -> bool {
    let canonical = windows.guest.space.mode().canonicalise(at) == at;
    canonical && !windows.guest.is_kernel_address(at) && at.in_page() == 0
}

/// Why a process has no PEB.
fn no_peb<T>(windows: &Windows, at: VirtAddr) -> Seen<T> {
    let space = &windows.guest.space;
    let fields = &windows.process.fields;
    let place = fields.peb.map(|field| field.place(at));
    if cid::says_process(windows, at) == Some(false) {
        let rule = "a process says that it is one (Header.Type)";
        return Err(Absent::implausible(0, rule, place));
    }
    let exited = fields
        .exit_time
        .is_some_and(|field| field.read(space, at).is_ok_and(|time| time != 0));
    let pico = fields.pico_context.is_some_and(|field| {
        field
            .read(space, at)
            .is_ok_and(|context| !context.is_null())
    });
    let minimal = fields
        .minimal
        .is_some_and(|field| field.read(space, at).is_ok_and(|bit| bit != 0));
    if !(exited || pico || minimal) && is_program(windows, at) {
        let rule = "a process that runs a program has a PEB";
        return Err(Absent::implausible(0, rule, place));
    }
    Err(Absent::not_applicable(match (exited, pico, minimal) {
        (true, _, _) => "the process has exited",
        (_, true, _) => "a pico process",
        (_, _, true) => "a minimal process",
        _ => "a process of the kernel's own",
    }))
}

/// The 32-bit PEB of a WoW64 process; `None` for any other. Held against the first thread's `block`.
pub(crate) fn peb32(
    windows: &Windows,
    at: VirtAddr,
    block: Option<Block>,
) -> Seen<Option<VirtAddr>> {
    let guest = &windows.guest;
    let Some(field) = windows.process.fields.wow64 else {
        return Ok(None); // a 32-bit kernel
    };
    let other = block.and_then(|block| block.peb32);
    let contradicted = |raw| {
        let rule = "a process's 32-bit PEB is that of its first thread's 32-bit TEB";
        Err(Absent::implausible(raw, rule, Some(field.place(at))))
    };
    let value = match field.read(&guest.space, at) {
        Ok(value) if value.is_null() && other.is_some() => return contradicted(0),
        Ok(value) if value.is_null() => return Ok(None),
        Ok(value) if twins::is_bare(windows, at) => {
            let rule = "a process that runs no program runs none of 32 bits (WoW64)";
            let place = Some(field.place(at));
            return Err(Absent::implausible(value.0, rule, place));
        }
        Ok(value) => value,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    // Until 8.1 the PEB itself, in user memory; since then a structure of the kernel's.
    let peb = if guest.is_kernel_address(value) {
        let place = windows
            .process
            .wow64
            .peb
            .map_or(value, |peb| peb.place(value));
        guest.space.read_pointer(place)
    } else {
        Ok(value)
    };
    match peb {
        Ok(peb) if peb.0 >> 32 != 0 || !is_user_page(windows, peb) => Err(Absent::implausible(
            peb.0,
            "a 32-bit PEB is a page of user memory below 4 GiB",
            Some(field.place(at)),
        )),
        Ok(peb) if other.is_none_or(|other| other == peb) => Ok(Some(peb)),
        Ok(peb) => contradicted(peb.0),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// Whether the process at `at` has user memory of a program's, whatever its PEB says: it is a WoW64
/// process, has a section of an image, or a thread with a block in user memory, on its list or in the table of ids.
fn is_program(windows: &Windows, at: VirtAddr) -> bool {
    let space = &windows.guest.space;
    let some = |field: Option<Field<Ptr<()>>>, at: VirtAddr| {
        field.is_some_and(|field| field.read(space, at).is_ok_and(|word| !word.is_null()))
    };
    if windows.system() == Some(at) {
        return false;
    }
    let has_block = |thread| some(windows.threads.fields.teb, thread);
    let is_own = |thread: &VirtAddr| {
        cid::says_thread(windows, *thread) == Some(true)
            && threads::owner(windows, *thread).value() == Some(at)
    };
    some(windows.process.fields.wow64, at)
        || some(windows.process.fields.section, at)
        || threads::first_thread(windows, at).is_some_and(has_block)
        || cid::objects(windows)
            .into_iter()
            .filter(is_own)
            .any(has_block)
}

/// The session that the native PEB at `peb`, in the memory of `own`, names; `None` where that cannot
/// be read.
pub(crate) fn session(windows: &Windows, own: &AddressSpace, peb: VirtAddr) -> Option<u32> {
    let id = windows.peb.session_id?.read(own, peb).ok()?;
    u32::try_from(id).ok()
}

/// What the first thread of the process says of it in its own memory.
fn block(windows: &Windows, process: VirtAddr) -> Option<Block> {
    let space = root::address_space(windows, process).ok()?;
    threads::first_block(windows, process, &space)
}

/// The native PEB of the process at `process`.
pub(crate) fn native(windows: &Windows, process: VirtAddr) -> Seen<Peb> {
    let at = peb(windows, process, block(windows, process));
    at.and_then(|at| {
        root::address_space(windows, process).map(|space| Peb {
            at,
            shape: windows.peb.native,
            space,
        })
    })
}

/// The 32-bit PEB of a WoW64 process; `None` for any other.
pub(crate) fn wow64(windows: &Windows, process: VirtAddr) -> Seen<Option<Peb>> {
    peb32(windows, process, block(windows, process)).and_then(|at| {
        let Some(at) = at.filter(|_| !root::has_no_memory(windows, process)) else {
            return Ok(None);
        };
        root::address_space(windows, process).map(|space| {
            Some(Peb {
                at,
                shape: WOW64,
                space,
            })
        })
    })
}

/// The environment of a process, by one of its PEBs.
pub(crate) struct Environment {
    /// Its first text.
    pub(crate) at: VirtAddr,
    /// Bytes that were taken for it, where the kernel's shape tells.
    pub(crate) bytes: Option<u64>,
    pub(crate) space: AddressSpace,
}

/// Where the environment of the process at `process` lies: that of its 32-bit half, once its first thread has
/// made one.
pub(crate) fn environment(windows: &Windows, process: VirtAddr) -> Seen<Environment> {
    let native = native(windows, process);
    let half = match wow64(windows, process)? {
        Some(half) => half.environment(),
        None => return native.and_then(|peb| peb.environment()),
    };
    match (half, native) {
        (Err(absent), Ok(native)) if !absent.is_loss() => native.environment(),
        (half, _) => half,
    }
}

impl Peb {
    fn environment(&self) -> Seen<Environment> {
        let none = "the process has no parameters yet";
        let parameters = self.pointer(self.shape.parameters, none)?;
        let Some(offset) = self.shape.environment else {
            return Err(Absent::not_in_this_kernel());
        };
        let (place, width) = (
            parameters.plus(offset),
            usize::from(self.shape.pointer_bytes),
        );
        let at = self.space.read_uint(place, width);
        let at = VirtAddr(at.map_err(Absent::unreadable)?);
        if at.is_null() || is_kernel_address(&self.space, at) || !at.0.is_multiple_of(2) {
            let rule = "an environment lies in user memory, letter by letter";
            return Err(Absent::implausible(at.0, rule, Some(place)));
        }
        let bytes = self.shape.environment_size.map(|offset| {
            let place = parameters.plus(offset);
            self.space.read_uint(place, width)
        });
        Ok(Environment {
            at,
            bytes: bytes.transpose().map_err(Absent::unreadable)?,
            space: self.space.clone(),
        })
    }
}

/// What a process was started with.
pub(crate) struct Started {
    pub(crate) path: Seen<Vec<u8>>,
    pub(crate) cmdline: Seen<Vec<u8>>,
}

/// Image path and command line of a process whose table gives `own`; of a WoW64 process, which has
/// the second PEB, those that its 32-bit half sees.
pub(crate) fn parameters(
    windows: &Windows,
    own: &Seen<AddressSpace>,
    peb: &Seen<VirtAddr>,
    peb32: &Seen<Option<VirtAddr>>,
) -> Started {
    let started = |at: VirtAddr, shape| match own.clone() {
        Ok(space) => Peb { at, shape, space }.started(),
        Err(why) => Started::absent(&why),
    };
    match (peb32, peb) {
        (Err(why), _) | (Ok(None), Err(why)) => Started::absent(why),
        (Ok(Some(_)), Err(why)) if !why.is_loss() => Started::absent(why),
        (Ok(None), Ok(at)) => started(*at, windows.peb.native),
        (Ok(Some(at32)), native) => match (started(*at32, WOW64), native) {
            // The first thread makes the 32-bit half's; until it has run the native ones are all.
            (half, Ok(at)) if half.is_none_yet() => started(*at, windows.peb.native),
            (half, _) => half,
        },
    }
}

impl Started {
    /// Whether there are no parameters, and that is no loss.
    fn is_none_yet(&self) -> bool {
        matches!(&self.path, Err(absent) if !absent.is_loss())
    }

    fn absent(why: &Absent) -> Self {
        Self {
            path: Err(Box::new(why.clone())),
            cmdline: Err(Box::new(why.clone())),
        }
    }
}
