//! Reads BTF.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = osier_symbols::btf::parse(data, None);
});
