//! Opens PANDA's `.rr` archives.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"PANDA_RR", data));
