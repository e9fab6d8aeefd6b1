//! `PsLoadedModuleList`: the kernel, and the drivers, each with the headers of an image.

use osier_memory::VirtAddr;

use super::image::{self, Image, Pdb};
use super::objects;
use super::rows::Driver;
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};

/// Writes the ring of drivers. The first is the kernel, whose image is written elsewhere.
pub(super) fn write(w: &mut Writer<'_>, drivers: &mut [Driver]) {
    let entry_type = if w.has_type("_KLDR_DATA_TABLE_ENTRY") {
        "_KLDR_DATA_TABLE_ENTRY"
    } else {
        "_LDR_DATA_TABLE_ENTRY"
    };
    let mut ring = vec![w.must("PsLoadedModuleList")];
    for (number, driver) in (0_u32..).zip(drivers.iter_mut()) {
        let entry = w.pool_or_at(*b"MmLd", entry_type, driver.entry);
        driver.entry = Some(entry.at);
        one(w, entry, driver);
        let links = w.member(entry, "InLoadOrderLinks");
        if driver.unlinked {
            let word = w.word();
            w.ring(Space::SYSTEM, &[links], word);
        } else {
            ring.push(links);
        }
        if number > 1 {
            object(w, driver);
        }
        if number > 0 {
            image_of(w, driver, number);
        }
    }
    let word = w.word();
    w.ring(Space::SYSTEM, &ring, word);
}

fn one(w: &mut Writer<'_>, entry: Object, driver: &Driver) {
    w.set(entry, "DllBase", driver.base);
    // Some drivers are smaller than a page.
    w.set(
        entry,
        "EntryPoint",
        driver.base + 0x1000.min(driver.size / 2),
    );
    w.set(entry, "SizeOfImage", driver.size);
    w.set_if(entry, "Flags", 0x0900_4000);
    w.set_if(entry, "LoadCount", 1);
    for (member, text) in [("FullDllName", &driver.path), ("BaseDllName", &driver.name)] {
        let buffer = w.paged_room(utf16(text).len() as u64 + 2);
        let string = w.inner(entry, member, "_UNICODE_STRING");
        w.unicode(string, text, buffer);
    }
}

/// Headers and PDB record, so that whoever looks for a kernel's finds others too.
fn image_of(w: &mut Writer<'_>, driver: &Driver, number: u32) {
    if driver.size < 0x2000 || !driver.base.is_multiple_of(0x1000) {
        return;
    }
    let stem = driver.name.split('.').next().unwrap_or_default();
    let name = format!("{}.pdb", stem.to_lowercase());
    let mut guid = [0x5a; 16];
    guid[..4].copy_from_slice(&number.to_be_bytes());
    let image = Image {
        space: Space::SYSTEM,
        wide: w.is_wide(),
        base: VirtAddr(driver.base),
        bytes: driver.size,
        stamp: 0x4ce7_8000 + number,
        pdb: Pdb {
            id: &guid,
            age: 1,
            name: &name,
        },
        debug: 0x400,
        exports: (0x800, &driver.name),
        version: false,
    };
    image::write(w, &image);
}

/// The driver's object, in `\Driver`: it has functions of its own for three kinds of requests, and the kernel's for the
/// others.
fn object(w: &mut Writer<'_>, driver: &mut Driver) {
    const DRIVER: &str = "_DRIVER_OBJECT";
    if w.manager.is_none() || !w.has_type(DRIVER) {
        return;
    }
    let stem = driver.name.split('.').next().unwrap_or_default();
    let path = format!("\\Driver\\{stem}");
    let bytes = w.size(DRIVER);
    let at = objects::in_directory(w, "Driver", bytes, &path);
    let object = Object::system(DRIVER, at);
    w.set(object, "Type", 4);
    w.set_if(object, "Size", bytes);
    w.set(object, "DriverStart", driver.base);
    w.set(object, "DriverSize", driver.size);
    w.set(object, "DriverSection", driver.entry.map_or(0, |at| at.0));
    let buffer = w.paged_room(utf16(&path).len() as u64 + 2);
    let string = w.inner(object, "DriverName", "_UNICODE_STRING");
    w.unicode(string, &path, buffer);
    let functions = w.member(object, "MajorFunction");
    for nth in 0..28 {
        let own = driver.base + 0x800 + nth * 0x10;
        let to = if [0, 2, 14].contains(&nth) {
            own
        } else {
            w.base.0 + 0x1500
        };
        let hooked = driver.hooked.iter().find(|(hooked, _)| *hooked == nth);
        let to = hooked.map_or(to, |(_, to)| *to);
        let place = functions.plus(nth * w.word());
        w.pointer(Space::SYSTEM, place, VirtAddr(to));
    }
    driver.object = Some(at);
}
