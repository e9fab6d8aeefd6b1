//! Opens flattened kdumps.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"makedumpfile\0\0\0\0", data));
