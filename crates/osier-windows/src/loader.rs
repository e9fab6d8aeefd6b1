//! The loader's list of a process's images: `_PEB.Ldr`, in the order of loading.

use std::collections::HashSet;

use osier_memory::{AddressSpace, Cause, Fault, VirtAddr};
use osier_osi::{Absent, Lists, Seen, SeenExt as _, WalkEnd, Walked, Why};

use crate::guest::mapped;
use crate::layouts::loader::{Entry, WOW64};
use crate::peb::{self, Peb};
use crate::unicode;
use crate::windows::Windows;

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

impl Loaded {
    /// Whether the address `at` lies in the image.
    pub(crate) fn holds(&self, at: u64) -> bool {
        let base = self.base.get().map(|base| base.0);
        let span = base.zip(self.size.get().copied());
        span.is_some_and(|(base, size)| at >= base && at.wrapping_sub(base) < size)
    }
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
    if matches!(absent.why, Why::NotApplicable(_)) {
        return None;
    }
    let missing = match absent.at {
        Some(at) => format!("the process environment block, or its loader data, at {at}"),
        None => "the process environment block, or its loader data".to_owned(),
    };
    Some(List {
        walk,
        loaded: Vec::new(),
        end: WalkEnd::no_start(missing, absent.fault()),
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
    let end = match (end, entry.in_memory_order) {
        (WalkEnd::Closed, Some((head, link))) => {
            in_both_orders(&nodes, &lists.ring(data.plus(head)), link)
        }
        (end, _) => end,
    };
    let loaded = nodes.iter().map(|at| loaded(space, entry, *at)).collect();
    List { walk, loaded, end }
}

/// The ending of the list in the order of loading, held against that in the order of memory, whose links
/// lie `link` behind the first: the loader puts an image on both at once. One that is not to be walked
/// says nothing.
fn in_both_orders(loaded: &[VirtAddr], other: &Walked, link: u64) -> WalkEnd {
    if !other.end.is_closed() {
        return WalkEnd::Closed;
    }
    let first: HashSet<VirtAddr> = loaded.iter().map(|at| at.plus(link)).collect();
    let second: HashSet<VirtAddr> = other.nodes.iter().copied().collect();
    if first == second {
        return WalkEnd::Closed;
    }
    WalkEnd::Disagreement {
        between: "the loader's lists by loading and by memory",
        only_first: first.difference(&second).count(),
        only_second: second.difference(&first).count(),
    }
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
