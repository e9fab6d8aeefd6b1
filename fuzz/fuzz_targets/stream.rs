//! Opens QEMU migration streams.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"QEVM\0\0\0\x03", data));
