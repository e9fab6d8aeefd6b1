//! Opens ELF cores: QEMU's, the kernel's, VirtualBox's, Xen's.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| osier_fuzz::snapshot(b"\x7fELF", data));
