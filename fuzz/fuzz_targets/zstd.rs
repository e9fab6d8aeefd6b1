//! Opens what is inside Zstandard.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\x28\xb5\x2f\xfd", data));
