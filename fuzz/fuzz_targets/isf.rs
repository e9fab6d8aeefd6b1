//! Reads Volatility 3's ISF.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = osier_symbols::import_isf(data, None);
});
