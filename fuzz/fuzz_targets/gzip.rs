//! Opens what is inside gzip.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\x1f\x8b\x08", data));
