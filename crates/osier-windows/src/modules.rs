//! Kernel modules: `PsLoadedModuleList`, one `_KLDR_DATA_TABLE_ENTRY` each.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::{Driver, VirtAddr};
use osier_osi::{Module, Seen, WalkEnd, WalkEnds, Walked};

use crate::Windows;
use crate::unicode::{self, base_name};

/// The walk's name in endings.
const WALK: &str = "modules";

pub(crate) fn modules(
    windows: &Windows,
    row: &mut dyn FnMut(Module) -> ControlFlow<()>,
) -> WalkEnds {
    let Some(head) = windows.modules_at else {
        let missing = "PsLoadedModuleList in the profile".to_owned();
        let fault = None;
        return WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault });
    };
    let Walked { nodes, end } = windows.guest.ring(head);
    let mut rows: Vec<Module> = nodes.iter().map(|node| module(windows, *node)).collect();
    if !end.is_closed() {
        let known: HashSet<_> = rows.iter().filter_map(|row| row.base.value()).collect();
        let met = |row: &Module| row.base.value().is_some_and(|base| known.contains(&base));
        rows.extend(of_header(windows).into_iter().filter(|row| !met(row)));
    }
    for one in rows {
        if row(one).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    WalkEnds::one(WALK, end)
}

/// The drivers that a triage dump lists beside its memory, in the list's order. The dump keeps a copy
/// of each entry's numbers, and the path; where the entry itself lay it does not say, and `modd` is 0.
fn of_header(windows: &Windows) -> Vec<Module> {
    let entry = &windows.loader.kernel;
    let of = |value: Option<u64>| value.map_or_else(Seen::not_in_this_kernel, Seen::Is);
    let row = |driver: &Driver| {
        let raw = &driver.loader_entry;
        let units = driver.name.iter().flat_map(|unit| unit.to_le_bytes());
        let path = unicode::to_bytes(&units.collect::<Vec<u8>>());
        Module {
            name: Seen::Is(base_name(&path)),
            base: of(number(raw, entry.dll_base, entry.pointer_bytes)).map(VirtAddr),
            size: of(number(raw, entry.size_of_image, 4)),
            file: if path.contains(&b'\\') {
                Seen::Is(path)
            } else {
                Seen::not_applicable("the dump keeps the name alone")
            },
            modd: VirtAddr(0),
        }
    };
    windows.drivers.iter().map(row).collect()
}

/// The little-endian number of `bytes` bytes at `offset`.
fn number(raw: &[u8], offset: u64, bytes: u8) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let raw = raw.get(start..start.checked_add(bytes.into())?)?;
    Some(
        raw.iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

/// The row of the loader entry at `at`. Its link in the order of loading is its first member in every
/// Windows.
pub(crate) fn module(windows: &Windows, at: VirtAddr) -> Module {
    let space = &windows.guest.space;
    let entry = &windows.loader.kernel;
    let width = entry.pointer_bytes;
    let number =
        |offset: u64, bytes: u8| Seen::from(space.read_uint(at.plus(offset), bytes.into()));
    Module {
        name: unicode::read(space, at.plus(entry.base_dll_name), width),
        base: number(entry.dll_base, width).map(VirtAddr),
        size: number(entry.size_of_image, 4),
        file: unicode::read(space, at.plus(entry.full_dll_name), width),
        modd: at,
    }
}
