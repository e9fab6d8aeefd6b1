//! Reads page tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    osier_fuzz::page_tables(data);
});
