//! Opens what is inside xz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\xfd7zXZ\0", data));
