//! Opens what is inside a zlib stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\x78\x9c", data));
