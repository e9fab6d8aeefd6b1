//! Opens snapshots inside qcow2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"QFI\xfb\0\0\0\x03", data));
