//! Opens what is inside bzip2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"BZh9", data));
