//! Asks a Windows guest that was tampered with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    osier_fuzz::guests::windows_guest(data);
});
