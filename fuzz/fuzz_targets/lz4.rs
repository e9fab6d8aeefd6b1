//! Opens what is inside LZ4.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\x04\x22\x4d\x18", data));
