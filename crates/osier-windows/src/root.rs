//! The root of a process's page table, held against the other tables.

use std::collections::HashMap;

use osier_memory::{AddressSpace, Cause, PhysAddr, VirtAddr};
use osier_osi::{Absent, Seen, SeenExt as _};

use crate::twins;
use crate::windows::Windows;

/// The physical address of the process's table root, low bits of CR3 taken off.
pub(crate) fn table_root(windows: &Windows, at: VirtAddr) -> Seen<PhysAddr> {
    root_word(windows, at).and_then(|root| {
        let mode = windows.guest.space.mode();
        let broken = || broken_root(windows, at, root);
        match (mode.entry_bytes() != 0).then(broken).flatten() {
            Some(rule) => {
                let place = windows.process.fields.directory_table_base.place(at);
                Err(Absent::implausible(root.0, rule, Some(place)))
            }
            None => Ok(root),
        }
    })
}

/// The table root as the process alone has it.
pub(crate) fn root_word(windows: &Windows, at: VirtAddr) -> Seen<PhysAddr> {
    /// `PWT` and `PCD`, which a 32-bit CR3 may have.
    const CACHED: u64 = 0x18;
    let place = windows.process.fields.directory_table_base.place(at);
    let space = &windows.guest.space;
    let raw = match space.read_pointer(place) {
        Ok(raw) => raw,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    if raw.is_null() {
        return if twins::runs(windows, at) && !twins::is_away(windows, at) {
            Err(Absent::implausible(
                0,
                "a process that runs has a page table",
                Some(place),
            ))
        } else {
            Err(Absent::not_applicable(
                "the process has no page table any more",
            ))
        };
    }
    if raw.0 >> 52 != 0 {
        return Err(Absent::implausible(
            raw.0,
            "a table root is a physical address",
            Some(place),
        ));
    }
    // A dump of virtual memory alone: there are no tables to find the root by.
    if space.mode().entry_bytes() == 0 {
        return Ok(PhysAddr(raw.0 & !0xfff));
    }
    let root = space.root_of_cr3(raw.0);
    if space.mode().pointer_bytes() == 4 && root.0 != raw.0 & !CACHED {
        return Err(Absent::implausible(
            raw.0,
            "a table root is aligned",
            Some(place),
        ));
    }
    Ok(root)
}

/// The address space of the process at `at`.
pub(crate) fn address_space(windows: &Windows, at: VirtAddr) -> Seen<AddressSpace> {
    table_root(windows, at).map(|root| windows.guest.space_of(root))
}

/// Whether the user half of the process at `at` is gone although it has a PEB's address: it has exited, by
/// all that the kernel says of it, and its table, if it still has one, maps nothing there. Not every kernel
/// clears the address.
pub(crate) fn has_no_memory(windows: &Windows, at: VirtAddr) -> bool {
    let peb = windows.process.fields.peb;
    let peb = peb.and_then(|field| field.read(&windows.guest.space, at).ok());
    let Some(peb) = peb.filter(|peb| !peb.is_null() && twins::has_exited(windows, at)) else {
        return false;
    };
    match address_space(windows, at) {
        Ok(space) => (space.translate(peb))
            .is_err_and(|fault| matches!(fault.cause, Cause::NotPresent { .. })),
        Err(absent) => !absent.is_loss(),
    }
}

/// The rule that the table root of a process breaks, if any: a process that runs maps the kernel as
/// every other, and has a table of its own.
fn broken_root(windows: &Windows, at: VirtAddr, root: PhysAddr) -> Option<&'static str> {
    if !twins::runs(windows, at) || twins::is_away(windows, at) {
        return None;
    }
    if maps_the_kernel(windows, root) == Some(false) {
        return Some("a process's table maps the kernel");
    }
    let others = windows.roots.get_or_init(|| roots(windows));
    let shared = others.get(&root.0).is_some_and(|owners| *owners > 1);
    shared.then_some("no two processes have one table")
}

/// Whether the table at `root` has the kernel's image where the kernel's own table has it; `None`
/// where either cannot be read.
fn maps_the_kernel(windows: &Windows, root: PhysAddr) -> Option<bool> {
    let guest = &windows.guest;
    let place = guest.space.translate(guest.base).ok()?;
    match guest.space_of(root).translate(guest.base) {
        Ok(theirs) => Some(theirs == place),
        Err(fault) => {
            matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical).then_some(false)
        }
    }
}

/// How many processes that run have each table root.
fn roots(windows: &Windows) -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    let links = windows.process.fields.active_process_links;
    for node in windows.guest.ring(windows.processes_at).nodes {
        let at = links.container(node);
        if let Some(root) = root_word(windows, at).value()
            && twins::runs(windows, at)
            && !twins::is_away(windows, at)
        {
            let count: &mut u32 = owners.entry(root.0).or_default();
            *count = count.saturating_add(1);
        }
    }
    owners
}
