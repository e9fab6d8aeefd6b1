//! Reads DWARF in ELF files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    if let Some(magic) = file.get_mut(..4) {
        magic.copy_from_slice(b"\x7fELF");
        let _ = osier_symbols::import_elf(&file, None);
    }
});
