//! The 32-bit half of a WoW64 process: PEB, loader's lists and parameters of 32 bits, and where
//! the `_EPROCESS` refers to them.
//!
//! The kernel's profile has `_PEB32` at most; the 32-bit loader's structures stand here as those
//! of a 32-bit Windows have been since 2000.

use osier_memory::VirtAddr;

use super::arena::{Arena, environment};
use super::objects::EPROCESS;
use super::rows::{Module, Part, Process, Thread};
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};

/// `IMAGE_FILE_MACHINE_I386`.
const I386: u64 = 0x14c;

/// Offsets of 32-bit structures.
mod at {
    pub(super) const PEB_IMAGE_BASE: u64 = 0x08;
    pub(super) const PEB_LDR: u64 = 0x0c;
    pub(super) const PEB_PARAMETERS: u64 = 0x10;
    pub(super) const PEB_PROCESS_HEAP: u64 = 0x18;
    pub(super) const PEB_NUMBER_OF_HEAPS: u64 = 0x88;
    pub(super) const PEB_PROCESS_HEAPS: u64 = 0x90;

    pub(super) const LDR_LENGTH: u64 = 0x00;
    pub(super) const LDR_INITIALIZED: u64 = 0x04;
    pub(super) const LDR_LISTS: u64 = 0x0c;
    pub(super) const LDR_BYTES: u64 = 0x30;

    pub(super) const ENTRY_DLL_BASE: u64 = 0x18;
    pub(super) const ENTRY_POINT: u64 = 0x1c;
    pub(super) const ENTRY_SIZE_OF_IMAGE: u64 = 0x20;
    pub(super) const ENTRY_FULL_NAME: u64 = 0x24;
    pub(super) const ENTRY_BASE_NAME: u64 = 0x2c;
    pub(super) const ENTRY_LOAD_COUNT: u64 = 0x38;
    pub(super) const ENTRY_BYTES: u64 = 0x78;

    pub(super) const PARAMETERS_LENGTH: u64 = 0x04;
    pub(super) const PARAMETERS_FLAGS: u64 = 0x08;
    pub(super) const PARAMETERS_DIRECTORY: u64 = 0x24;
    pub(super) const PARAMETERS_IMAGE_PATH: u64 = 0x38;
    pub(super) const PARAMETERS_COMMAND_LINE: u64 = 0x40;
    pub(super) const PARAMETERS_ENVIRONMENT: u64 = 0x48;
    pub(super) const PARAMETERS_BYTES: u64 = 0x290;

    /// From the `_TEB` to the `_TEB32` behind it.
    pub(super) const TEB32: u64 = 0x2000;
    pub(super) const TEB_STACK_BASE: u64 = 0x04;
    pub(super) const TEB_STACK_LIMIT: u64 = 0x08;
    pub(super) const TEB_SELF: u64 = 0x18;
    pub(super) const TEB_CLIENT_ID: u64 = 0x20;
    pub(super) const TEB_PEB: u64 = 0x30;
}

pub(super) fn write(
    w: &mut Writer<'_>,
    arena: &mut Arena,
    eprocess: Object,
    process: &mut Process,
    heap: u64,
) {
    let native = process.peb.expect("the 64-bit PEB is placed first");
    let peb = native.minus(0x1000);
    arena.elsewhere(Part::Peb32, peb);
    let (space, cwd) = (arena.space, process.cwd.clone());
    let Some(wow64) = &mut process.wow64 else {
        return;
    };
    wow64.peb = peb;
    refer(w, eprocess, peb);
    let base = wow64.modules.first().map_or(0, |module| module.base);
    if process.unstarted {
        put(w, space, peb.plus(at::PEB_IMAGE_BASE), base);
        return;
    }
    let ldr = arena.take(at::LDR_BYTES);
    entries(w, arena, ldr, &mut wow64.modules);
    let list = arena.take(16 * 4);
    put(w, space, list, heap);
    let parameters = parameters(w, arena, &[&cwd, &wow64.path, &wow64.cmdline]);
    let (variables, _) = environment(w, arena, &process.environment);
    put(
        w,
        space,
        parameters.plus(at::PARAMETERS_ENVIRONMENT),
        variables.0,
    );
    process.environment_at = Some((variables, parameters));
    for (offset, value) in [
        (at::PEB_IMAGE_BASE, base),
        (at::PEB_LDR, ldr.0),
        (at::PEB_PARAMETERS, parameters.0),
        (at::PEB_PROCESS_HEAP, heap),
        (at::PEB_NUMBER_OF_HEAPS, 1),
        (at::PEB_PROCESS_HEAPS, list.0),
    ] {
        put(w, space, peb.plus(offset), value);
    }
}

/// The 32-bit TEB behind a 64-bit one, and where that refers to it: its first member, or since
/// Windows 10 an offset.
pub(super) fn teb(w: &mut Writer<'_>, native: Object, thread: &Thread, pid: u64, peb: VirtAddr) {
    let teb = native.at.plus(at::TEB32);
    let tib = w.inner(native, "NtTib", "_NT_TIB");
    w.set_if(tib, "ExceptionList", teb.0);
    w.set_if(native, "WowTebOffset", at::TEB32);
    let (low, bytes) = thread.stack32;
    for (offset, value) in [
        (at::TEB_STACK_BASE, low + bytes),
        (at::TEB_STACK_LIMIT, low + bytes - 0x2000),
        (at::TEB_SELF, teb.0),
        (at::TEB_CLIENT_ID, pid),
        (at::TEB_CLIENT_ID + 4, thread.tid),
        (at::TEB_PEB, peb.0 - 0x1000),
    ] {
        put(w, native.space, teb.plus(offset), value);
    }
}

/// Through `_EWOW64PROCESS` since Windows 10; straight to the PEB before.
fn refer(w: &mut Writer<'_>, eprocess: Object, peb: VirtAddr) {
    let member = w.first_of(EPROCESS, &["WoW64Process", "Wow64Process"]);
    let to = if w.has_type("_EWOW64PROCESS") {
        let between = w.pool(*b"Wow6", "_EWOW64PROCESS");
        w.set(between, "Peb", peb.0);
        w.set_if(between, "Machine", I386);
        between.at
    } else {
        peb
    };
    w.set(eprocess, member, to.0);
}

fn entries(w: &mut Writer<'_>, arena: &mut Arena, ldr: VirtAddr, modules: &mut [Module]) {
    let space = arena.space;
    put(w, space, ldr.plus(at::LDR_LENGTH), at::LDR_BYTES);
    put(w, space, ldr.plus(at::LDR_INITIALIZED), 1);
    for module in modules.iter_mut() {
        let entry = arena.take(at::ENTRY_BYTES);
        module.entry = entry;
        put(w, space, entry.plus(at::ENTRY_DLL_BASE), module.base);
        put(w, space, entry.plus(at::ENTRY_POINT), module.base + 0x1000);
        put(w, space, entry.plus(at::ENTRY_SIZE_OF_IMAGE), module.size);
        let count = entry.plus(at::ENTRY_LOAD_COUNT);
        w.uint(space, count, u64::from(module.load_count), 2);
        arena.apart(module.paged_names, |arena| {
            let names = [
                (at::ENTRY_FULL_NAME, &module.path),
                (at::ENTRY_BASE_NAME, &module.name),
            ];
            for (offset, text) in names {
                string(w, arena, entry.plus(offset), text);
            }
        });
    }
    for list in 0..3 {
        let by = list * 8;
        let mut members: Vec<_> = modules.iter().map(|m| m.entry.plus(by)).collect();
        if list == 2 && !members.is_empty() {
            members.remove(0);
            members.reverse();
        }
        members.insert(0, ldr.plus(at::LDR_LISTS + by));
        w.ring(space, &members, 4);
    }
}

fn parameters(w: &mut Writer<'_>, arena: &mut Arena, texts: &[&String; 3]) -> VirtAddr {
    let at = arena.take(at::PARAMETERS_BYTES);
    let space = arena.space;
    put(
        w,
        space,
        at.plus(at::PARAMETERS_LENGTH),
        at::PARAMETERS_BYTES,
    );
    put(w, space, at, at::PARAMETERS_BYTES);
    put(w, space, at.plus(at::PARAMETERS_FLAGS), 1);
    let places = [
        at::PARAMETERS_DIRECTORY,
        at::PARAMETERS_IMAGE_PATH,
        at::PARAMETERS_COMMAND_LINE,
    ];
    for (offset, text) in places.into_iter().zip(texts) {
        string(w, arena, at.plus(offset), text);
    }
    at
}

/// A `_UNICODE_STRING32` and its text.
fn string(w: &mut Writer<'_>, arena: &mut Arena, at: VirtAddr, text: &str) {
    let units = utf16(text);
    let bytes = units.len() as u64;
    let buffer = arena.take(bytes + 2);
    w.uint(arena.space, at, bytes, 2);
    w.uint(arena.space, at.plus(2), bytes + 2, 2);
    put(w, arena.space, at.plus(4), buffer.0);
    w.bytes(arena.space, buffer, &units);
    w.bytes(arena.space, buffer.plus(bytes), &[0, 0]);
}

fn put(w: &mut Writer<'_>, space: Space, at: VirtAddr, value: u64) {
    assert!(u32::try_from(value).is_ok(), "{value:#x} in 32 bits");
    w.uint(space, at, value, 4);
}
