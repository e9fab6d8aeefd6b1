//! Asks a Linux guest that was tampered with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    osier_fuzz::guests::linux_guest(data);
});
