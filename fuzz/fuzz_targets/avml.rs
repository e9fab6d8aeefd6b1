//! Opens AVML's own form of LiME.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"AVML", data));
