//! Opens VMware's `.vmss`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\xd2\xbe\xd2\xbe", data));
