//! The process environment block: parameters, heaps, and the loader's data, native and 32-bit.

use std::collections::HashSet;

use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{Absent, Seen, SeenExt as _};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::is_kernel_address;
use crate::{Windows, process, unicode};

/// More heaps than any process has.
const MAX_HEAPS: u64 = 4096;

layout! {
    /// Fields read from `_PEB`.
    struct Native: "_PEB" {
        image_base: Option<Field<Ptr<()>>> = ["ImageBaseAddress"],
        ldr: Option<Field<Ptr<()>>> = ["Ldr"],
        parameters: Option<Field<Ptr<()>>> = ["ProcessParameters"],
        number_of_heaps: Option<Field<UInt>> = ["NumberOfHeaps"],
        process_heaps: Option<Field<Ptr<()>>> = ["ProcessHeaps"],
    }
}

layout! {
    /// Fields read from `_RTL_USER_PROCESS_PARAMETERS`.
    struct Parameters: "_RTL_USER_PROCESS_PARAMETERS" {
        image_path_name: Option<Field<Embed<()>>> = ["ImagePathName"],
        command_line: Option<Field<Embed<()>>> = ["CommandLine"],
    }
}

/// Where things stand in a process's own memory, for one width of pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) pointer_bytes: u8,
    /// `_PEB.ImageBaseAddress`, which the kernel writes before anything runs.
    image_base: Option<u64>,
    /// `_PEB.Ldr`.
    pub(crate) ldr: Option<u64>,
    parameters: Option<u64>,
    number_of_heaps: Option<u64>,
    process_heaps: Option<u64>,
    image_path_name: Option<u64>,
    command_line: Option<u64>,
}

/// The 32-bit process of a 64-bit kernel. Kernel PDBs describe `_PEB32` alone; what it points to has
/// the layout of 32-bit Windows, the same from XP to 11 (ntdll's PDBs).
const WOW64: Shape = Shape {
    pointer_bytes: 4,
    image_base: Some(0x08),
    ldr: Some(0x0c),
    parameters: Some(0x10),
    number_of_heaps: Some(0x88),
    process_heaps: Some(0x90),
    image_path_name: Some(0x38),
    command_line: Some(0x40),
};

/// How to read PEBs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    native: Shape,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let peb = Native::resolve(resolver);
        let parameters = Parameters::resolve(resolver);
        let pointer = |field: Option<Field<Ptr<()>>>| field.map(|f| f.offset.cast_unsigned());
        let string = |field: Option<Field<Embed<()>>>| field.map(|f| f.offset.cast_unsigned());
        Self {
            native: Shape {
                pointer_bytes: resolver.profile().identity().pointer_bytes,
                image_base: pointer(peb.image_base),
                ldr: pointer(peb.ldr),
                parameters: pointer(peb.parameters),
                number_of_heaps: peb.number_of_heaps.map(|f| f.offset.cast_unsigned()),
                process_heaps: pointer(peb.process_heaps),
                image_path_name: string(parameters.image_path_name),
                command_line: string(parameters.command_line),
            },
        }
    }
}

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
        let string = |offset: Option<u64>| match (&parameters, offset) {
            (Ok(at), Some(offset)) => {
                unicode::read(&self.space, at.plus(offset), self.shape.pointer_bytes)
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

/// The native PEB of the process at `process`.
pub(crate) fn native(windows: &Windows, process: VirtAddr) -> Seen<Peb> {
    let at = process::peb(windows, process);
    at.and_then(|at| {
        process::address_space(windows, process).map(|space| Peb {
            at,
            shape: windows.peb.native,
            space,
        })
    })
}

/// The 32-bit PEB of a WoW64 process; `None` for any other.
pub(crate) fn wow64(windows: &Windows, process: VirtAddr) -> Seen<Option<Peb>> {
    process::peb32(windows, process).and_then(|at| {
        let Some(at) = at else {
            return Ok(None);
        };
        process::address_space(windows, process).map(|space| {
            Some(Peb {
                at,
                shape: WOW64,
                space,
            })
        })
    })
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
    own: Seen<AddressSpace>,
    peb: &Seen<VirtAddr>,
    peb32: &Seen<Option<VirtAddr>>,
) -> Started {
    let (at, shape) = match (peb32, peb) {
        (Ok(Some(at)), _) => (*at, WOW64),
        (Ok(None), Ok(at)) => (*at, windows.peb.native),
        (Err(why), _) | (Ok(None), Err(why)) => return Started::absent(why),
    };
    match own {
        Ok(space) => Peb { at, shape, space }.started(),
        Err(why) => Started::absent(&why),
    }
}

impl Started {
    fn absent(why: &Absent) -> Self {
        Self {
            path: Err(Box::new(why.clone())),
            cmdline: Err(Box::new(why.clone())),
        }
    }
}
