//! Reads kallsyms and BTF out of memory that is a kernel's image.
#![no_main]

use osier_memory::{AddressSpace, Paging, PhysAddr, VirtAddr, hardware_policy};
use osier_profile::{Identity, OsKind};
use osier_symbols::image::{Image, import, symbol_table};
use osier_symbols::kallsyms::Kallsyms;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, memory)) = data.split_first() else {
        return;
    };
    let (mode, text) = if choice & 1 == 0 {
        (Paging::Virtual, 0xffff_ffff_8100_0000)
    } else {
        (Paging::Flat, 0xc100_0000)
    };
    let memory = osier_fuzz::Bytes::new(memory, PhysAddr(text));
    let image = Image {
        text: VirtAddr(text),
        end: VirtAddr(memory.end().0),
        slide: (choice & 2 != 0).then_some(0x1000),
    };
    let identity = Identity {
        os: OsKind::Linux,
        pointer_bytes: mode.pointer_bytes(),
        build_id: None,
        banner: Vec::new(),
        release: String::new(),
    };
    let space = AddressSpace::new(memory, mode, PhysAddr(0), hardware_policy);
    let _ = symbol_table(&space, image);
    let _ = import(&space, image, None, identity);
    let digits = VirtAddr(text + u64::from(*choice) * 64);
    if let Ok(table) = Kallsyms::read(&space, digits, image.text) {
        table.each(|_, name, _| assert!(!name.is_empty()));
    }
});
