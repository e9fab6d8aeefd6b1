//! Kernel modules: `PsLoadedModuleList`, one `_KLDR_DATA_TABLE_ENTRY` each.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Module, Seen, WalkEnd, WalkEnds, Walked};

use crate::{Windows, unicode};

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
    for node in nodes {
        if row(module(windows, node)).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    WalkEnds::one(WALK, end)
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
