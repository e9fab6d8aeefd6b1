//! Reads PDBs.
#![no_main]

use std::panic::set_hook;

// The crate that reads PDBs panics where a damaged one makes an address overflow, and the importer
// catches that. Only what gets past the importer is a finding, so the hook that ends the process
// at once goes.
libfuzzer_sys::fuzz_target!(init: set_hook(Box::new(|_| {})), |data: &[u8]| {
    let _ = osier_symbols::import_pdb(data, None);
});
