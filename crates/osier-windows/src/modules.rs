//! Kernel modules: `PsLoadedModuleList`, one `_KLDR_DATA_TABLE_ENTRY` each.

use std::collections::HashSet;

use osier_memory::{Driver, Each, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Module, Seen, SeenExt as _, WalkEnd, WalkEnds, Walked, Why};

use crate::unicode::{self, base_name};
use crate::windows::Windows;

/// The walk's name in endings.
const WALK: &str = "modules";
/// More bytes than any module has.
const MOST: u64 = 1 << 30;

pub(crate) fn modules(windows: &Windows, row: Each<'_, Module>) -> WalkEnds {
    let Some(head) = windows.modules_at else {
        return WalkEnds::one(
            WALK,
            WalkEnd::no_start("PsLoadedModuleList in the profile", None),
        );
    };
    let Walked { nodes, end } = windows.guest.started_ring(head, "modules");
    let mut rows: Vec<Module> = nodes.iter().map(|node| module(windows, *node)).collect();
    if !end.is_closed() {
        let known: HashSet<_> = rows.iter().filter_map(|row| row.base.value()).collect();
        let met = |row: &Module| row.base.value().is_some_and(|base| known.contains(&base));
        rows.extend(of_header(windows).into_iter().filter(|row| !met(row)));
    }
    let end = match end {
        WalkEnd::Closed => with_the_kernel(windows, &rows),
        end => end,
    };
    for one in rows {
        if row(one).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    WalkEnds::one(WALK, end)
}

/// The ending of a list that closed: the kernel's own image is on it.
fn with_the_kernel(windows: &Windows, rows: &[Module]) -> WalkEnd {
    let may_be = |row: &Module| {
        row.base.value() == Some(windows.guest.base)
            || matches!(&row.base, Err(absent) if matches!(absent.why, Why::Unreadable(_)))
    };
    if rows.iter().any(may_be) {
        return WalkEnd::Closed;
    }
    WalkEnd::Disagreement {
        between: "module list and the kernel's image",
        only_first: 0,
        only_second: 1,
    }
}

/// The drivers that a triage dump lists beside its memory, in the list's order. The dump keeps a copy
/// of each entry's numbers, and the path; where the entry itself lay it does not say, and `modd` is 0.
fn of_header(windows: &Windows) -> Vec<Module> {
    let entry = &windows.loader.kernel;
    let of = |value: Option<u64>| value.map_or_else(|| Err(Absent::not_in_this_kernel()), Ok);
    let row = |driver: &Driver| {
        let raw = &driver.loader_entry;
        let units = driver.name.iter().flat_map(|unit| unit.to_le_bytes());
        let path = unicode::to_bytes(&units.collect::<Vec<u8>>());
        Module {
            name: Ok(base_name(&path)),
            base: of(number(raw, entry.dll_base, entry.pointer_bytes)).map(VirtAddr),
            size: of(number(raw, entry.size_of_image, 4)),
            file: if path.contains(&b'\\') {
                Ok(path)
            } else {
                Err(Absent::not_applicable("the dump keeps the name alone"))
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

/// What stands where the loader entry at `at` would, believed as it is. Its link in the order of
/// loading is its first member in every Windows.
pub(crate) fn as_it_stands(windows: &Windows, at: VirtAddr) -> Module {
    let space = &windows.guest.space;
    let entry = &windows.loader.kernel;
    let width = entry.pointer_bytes;
    let number = |offset: u64, bytes: u8| {
        space
            .read_uint(at.plus(offset), bytes.into())
            .map_err(Absent::unreadable)
    };
    Module {
        name: unicode::read(space, at.plus(entry.base_dll_name), width),
        base: number(entry.dll_base, width).map(VirtAddr),
        size: number(entry.size_of_image, 4),
        file: unicode::read(space, at.plus(entry.full_dll_name), width),
        modd: at,
    }
}

/// The row of the loader entry at `at`.
pub(crate) fn module(windows: &Windows, at: VirtAddr) -> Module {
    let entry = &windows.loader.kernel;
    let row = as_it_stands(windows, at);
    let base = row.base.and_then(|base| {
        if windows.guest.is_kernel_address(base) && base.in_page() == 0 {
            return Ok(base);
        }
        let rule = "a module begins on a page of the kernel's half";
        Err(Absent::implausible(
            base.0,
            rule,
            Some(at.plus(entry.dll_base)),
        ))
    });
    let size = row.size.and_then(|size| {
        let place = Some(at.plus(entry.size_of_image));
        if size == 0 || size > MOST {
            return Err(Absent::implausible(
                size,
                "a module has 1 byte to 1 GiB",
                place,
            ));
        }
        match base.value().and_then(|base| of_image(windows, base)) {
            Some(own) if own.next_multiple_of(PAGE_BYTES) != size.next_multiple_of(PAGE_BYTES) => {
                let rule = "a module has the size that its image's header names, in pages";
                Err(Absent::implausible(size, rule, place))
            }
            _ => Ok(size),
        }
    });
    let entry_point = windows.loader.entry_point;
    let entry_point = entry_point.and_then(|field| field.read(&windows.guest.space, at).ok());
    let base = base.and_then(|base| {
        let outside = |entry: VirtAddr| {
            let inside = |size: &u64| base <= entry && entry.0.wrapping_sub(base.0) < *size;
            !entry.is_null() && size.get().is_some_and(|size| !inside(size))
        };
        if entry_point.is_some_and(outside) {
            let rule = "a module's EntryPoint lies in it";
            return Err(Absent::implausible(
                base.0,
                rule,
                Some(at.plus(entry.dll_base)),
            ));
        }
        Ok(base)
    });
    Module {
        name: with_letters(row.name, at.plus(entry.base_dll_name)),
        base,
        size,
        file: with_letters(row.file, at.plus(entry.full_dll_name)),
        modd: at,
    }
}

/// A module's name or path, which stands at `at`: the kernel has both, and a NUL in neither.
fn with_letters(text: Seen<Vec<u8>>, at: VirtAddr) -> Seen<Vec<u8>> {
    text.and_then(|text| {
        if text.is_empty() || text.contains(&0) {
            let rule = "a module's name and path have letters, and no NUL";
            return Err(Absent::implausible(text.len() as u64, rule, Some(at)));
        }
        Ok(text)
    })
}

/// `SizeOfImage` as the header of the image at `base` has it; `None` where there is no such header.
fn of_image(windows: &Windows, base: VirtAddr) -> Option<u64> {
    /// `IMAGE_DOS_HEADER.e_magic` and `e_lfanew`; `IMAGE_NT_HEADERS.Signature` and
    /// `OptionalHeader.SizeOfImage`, of either width.
    const MZ: u64 = 0x5a4d;
    const E_LFANEW: u64 = 0x3c;
    const PE: u64 = 0x4550;
    const SIZE_OF_IMAGE: u64 = 0x50;
    let read = |at: VirtAddr, bytes| windows.guest.space.read_uint(at, bytes).ok();
    read(base, 2).filter(|magic| *magic == MZ)?;
    let header = read(base.plus(E_LFANEW), 4)?;
    let fits = header <= PAGE_BYTES.saturating_sub(SIZE_OF_IMAGE).saturating_sub(4);
    let header = base.plus(fits.then_some(header)?);
    read(header, 4).filter(|magic| *magic == PE)?;
    read(header.plus(SIZE_OF_IMAGE), 4)
}
