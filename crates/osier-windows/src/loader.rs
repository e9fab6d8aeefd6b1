//! The loader's list of a process's images: `_PEB.Ldr`, in the order of loading.

use osier_memory::{AddressSpace, Cause, Fault, VirtAddr};
use osier_osi::{Absent, Lists, Seen, WalkEnd, Walked, Why};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::mapped;
use crate::peb::{self, Peb};
use crate::{Windows, unicode};

layout! {
    /// Fields read from `_LDR_DATA_TABLE_ENTRY`, which kernels before Windows 10 use for their own
    /// modules as well.
    struct User: "_LDR_DATA_TABLE_ENTRY" {
        dll_base: Field<Ptr<()>> = ["DllBase"],
        entry_point: Option<Field<Ptr<()>>> = ["EntryPoint"],
        size_of_image: Field<UInt> = ["SizeOfImage"],
        full_dll_name: Field<Embed<()>> = ["FullDllName"],
        base_dll_name: Field<Embed<()>> = ["BaseDllName"],
    }
}

layout! {
    /// Fields read from `_KLDR_DATA_TABLE_ENTRY`.
    struct Kernel: "_KLDR_DATA_TABLE_ENTRY" {
        dll_base: Option<Field<Ptr<()>>> = ["DllBase"],
        entry_point: Option<Field<Ptr<()>>> = ["EntryPoint"],
        size_of_image: Option<Field<UInt>> = ["SizeOfImage"],
        full_dll_name: Option<Field<Embed<()>>> = ["FullDllName"],
        base_dll_name: Option<Field<Embed<()>>> = ["BaseDllName"],
    }
}

layout! {
    /// Fields read from `_PEB_LDR_DATA`.
    struct Data: "_PEB_LDR_DATA" {
        in_load_order: Field<Embed<()>> = ["InLoadOrderModuleList"],
    }
}

/// Where things stand in a loader entry, for one width of pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) pointer_bytes: u8,
    pub(crate) dll_base: u64,
    pub(crate) size_of_image: u64,
    pub(crate) full_dll_name: u64,
    pub(crate) base_dll_name: u64,
    /// `_PEB_LDR_DATA.InLoadOrderModuleList`.
    in_load_order: u64,
}

/// The 32-bit loader's entries: the layout of 32-bit Windows from 2000 to 11 (ntdll's PDBs).
const WOW64: Entry = Entry {
    pointer_bytes: 4,
    dll_base: 0x18,
    size_of_image: 0x20,
    full_dll_name: 0x24,
    base_dll_name: 0x2c,
    in_load_order: 0x0c,
};

/// How to read loader entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// `EntryPoint` of a kernel module.
    pub(crate) entry_point: Option<Field<Ptr<()>>>,
    /// Of processes.
    native: Entry,
    /// Of the kernel.
    pub(crate) kernel: Entry,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let user = User::resolve(resolver);
        let kernel = Kernel::resolve(resolver);
        let data = Data::resolve(resolver);
        let native = Entry {
            pointer_bytes: resolver.profile().identity().pointer_bytes,
            dll_base: user.dll_base.offset.cast_unsigned(),
            size_of_image: user.size_of_image.offset.cast_unsigned(),
            full_dll_name: user.full_dll_name.offset.cast_unsigned(),
            base_dll_name: user.base_dll_name.offset.cast_unsigned(),
            in_load_order: data.in_load_order.offset.cast_unsigned(),
        };
        let own = |offset: Option<i64>, other| offset.map_or(other, i64::cast_unsigned);
        Self {
            entry_point: kernel.entry_point.or(user.entry_point),
            native,
            kernel: Entry {
                dll_base: own(kernel.dll_base.map(|f| f.offset), native.dll_base),
                size_of_image: own(kernel.size_of_image.map(|f| f.offset), native.size_of_image),
                full_dll_name: own(kernel.full_dll_name.map(|f| f.offset), native.full_dll_name),
                base_dll_name: own(kernel.base_dll_name.map(|f| f.offset), native.base_dll_name),
                ..native
            },
        }
    }
}

/// One image that the loader lists.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The loader entry.
    pub(crate) at: VirtAddr,
    pub(crate) base: Seen<VirtAddr>,
    pub(crate) size: Seen<u64>,
    pub(crate) name: Seen<Vec<u8>>,
    pub(crate) file: Seen<Vec<u8>>,
}

/// A process's loader list.
pub(crate) struct List {
    /// The list's name in endings.
    pub(crate) walk: &'static str,
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) end: WalkEnd,
}

/// The loader lists of the process at `process`: of a WoW64 process the 32-bit one first. A process
/// without a PEB has none.
pub(crate) fn lists(windows: &Windows, process: VirtAddr) -> Vec<List> {
    let mut lists = Vec::new();
    match peb::wow64(windows, process) {
        Ok(Some(peb)) => lists.push(list(&peb, WOW64, "loader-32")),
        Ok(None) => {}
        Err(absent) => lists.extend(absent_list("loader-32", &absent)),
    }
    match peb::native(windows, process) {
        Ok(peb) => lists.push(list(&peb, windows.loader.native, "loader")),
        Err(absent) => lists.extend(absent_list("loader", &absent)),
    }
    lists
}

/// A list that could not be started; `None` when there is nothing to list.
fn absent_list(walk: &'static str, absent: &Absent) -> Option<List> {
    let fault = match absent.why {
        Why::NotApplicable(_) => return None,
        Why::Unreadable(fault) => Some(fault),
        _ => None,
    };
    let missing = match absent.at {
        Some(at) => format!("the process environment block, or its loader data, at {at}"),
        None => "the process environment block, or its loader data".to_owned(),
    };
    Some(List {
        walk,
        loaded: Vec::new(),
        end: WalkEnd::NoStart { missing, fault },
    })
}

fn list(peb: &Peb, entry: Entry, walk: &'static str) -> List {
    let data = peb.pointer(peb.shape.ldr, "the process has not started yet");
    let data = match data {
        Ok(data) => data,
        Err(absent) => {
            return absent_list(walk, &absent).unwrap_or(List {
                walk,
                loaded: Vec::new(),
                end: WalkEnd::Closed,
            });
        }
    };
    let space = &peb.space;
    let lists = Lists {
        space,
        pointer_bytes: entry.pointer_bytes,
        plausible: &|at| plausible(space, entry.pointer_bytes, at),
    };
    let Walked { nodes, end } = lists.ring(data.plus(entry.in_load_order));
    let loaded = nodes.iter().map(|at| loaded(space, entry, *at)).collect();
    List { walk, loaded, end }
}

/// Whether an entry can lie at `at`: a user address that is aligned and mapped.
fn plausible(space: &AddressSpace, pointer_bytes: u8, at: VirtAddr) -> Result<(), Fault> {
    let aligned = at.0.is_multiple_of(u64::from(pointer_bytes));
    let user = match (pointer_bytes, space.mode().pointer_bytes()) {
        (4, _) => at.0 < 1 << 32,
        _ => at.0 >> 63 == 0,
    };
    if !aligned || !user || at.0 < 0x1_0000 {
        return Err(Fault::new(Cause::NonCanonical).with_va(at));
    }
    mapped(space, at)
}

fn loaded(space: &AddressSpace, entry: Entry, at: VirtAddr) -> Loaded {
    let width = entry.pointer_bytes;
    let number = |offset: u64, bytes: u8| {
        space
            .read_uint(at.plus(offset), bytes.into())
            .map_err(Absent::unreadable)
    };
    Loaded {
        at,
        base: number(entry.dll_base, width).map(VirtAddr),
        size: number(entry.size_of_image, 4),
        name: unicode::image(space, at.plus(entry.base_dll_name), width),
        file: unicode::image(space, at.plus(entry.full_dll_name), width),
    }
}
