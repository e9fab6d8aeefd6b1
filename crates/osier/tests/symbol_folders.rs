//! A Windows kernel's PDB that is not found where symbol servers keep it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use osier::osier_profile::BuildId;
use osier::symbol_path::PdbFile;
use osier::{Error, Options, profile_of_pdb};

const KEY: &str = "30B5FB31AE7E4ACAABA750AA241FF3311";

#[test]
fn what_is_missing_is_named_with_the_command_that_fetches_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symbol-folders-wrong");
    fs::create_dir_all(&folder).unwrap();
    let broken = folder.join("ntkrnlpa.pdb");
    fs::write(&broken, b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0").unwrap();
    let options = Options {
        symbol_folders: vec![folder, "/nonexistent".into()],
        // The XP kernel is one that ships.
        no_shipped: true,
        ..Options::default()
    };
    let id = BuildId::from_symbol_server_key(KEY).unwrap();
    let kernel = PdbFile::new("ntkrnlpa.pdb", id).unwrap();
    let error = profile_of_pdb(&kernel, &options).unwrap_err();
    assert!(matches!(error, Error::Missing(_)));
    let text = error.to_string();
    let last = format!("osier profile fetch ntkrnlpa.pdb {KEY}");
    assert!(text.ends_with(&last), "{text}");
    for part in [
        format!("{}: damaged PDB", broken.display()),
        format!("/nonexistent: no ntkrnlpa.pdb {KEY}"),
    ] {
        assert!(text.contains(&part), "{text}");
    }
}
