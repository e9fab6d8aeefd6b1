//! Reads symbol files of any kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = osier_symbols::import_symbols(data, osier_symbols::everything);
});
