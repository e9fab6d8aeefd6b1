//! Opens 32-bit Windows crash dumps.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"PAGEDUMP", data));
