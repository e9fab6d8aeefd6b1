//! Opens Windows hibernation files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"HIBR", data));
