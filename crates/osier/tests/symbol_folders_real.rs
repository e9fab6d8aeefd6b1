//! A Windows kernel's PDB is found where symbol servers keep it, and kept as a profile.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use osier::osier_profile::BuildId;
use osier::symbol_path::PdbFile;
use osier::{Options, ProfileSource, profile_of_pdb};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::file(XP_KERNEL) =>
        a_pdb_of_a_symbol_server_is_imported_once, a_named_symbol_file_needs_no_folder,
        a_pdb_of_another_build_does_not_serve;
}

const XP_KERNEL: &str =
    "windows/pdb/winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst";
const KEY: &str = "30B5FB31AE7E4ACAABA750AA241FF3311";

fn kernel(key: &str) -> PdbFile {
    let id = BuildId::from_symbol_server_key(key).unwrap();
    PdbFile::new("ntkrnlpa.pdb", id).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("symbol-folders")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn compressed(name: &str, data: &[u8]) -> Vec<u8> {
    let mut builder = cab::CabinetBuilder::new();
    builder
        .add_folder(cab::CompressionType::MsZip)
        .add_file(name);
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn a_pdb_of_a_symbol_server_is_imported_once(real: &Real) {
    let data = real.unpacked();
    let packed = compressed("ntkrnlpa.pdb", &data);
    for (name, bytes) in [("ntkrnlpa.pdb", &data), ("ntkrnlpa.pd_", &packed)] {
        let symbols = folder("symbols");
        let build = symbols.join("ntkrnlpa.pdb").join(KEY);
        fs::create_dir_all(&build).unwrap();
        fs::write(build.join(name), bytes).unwrap();
        let cache = folder("cache");
        let options = Options {
            symbol_folders: vec![folder("empty"), symbols.clone()],
            cache: Some(cache.clone()),
            // The XP kernel is one that ships.
            no_shipped: true,
            ..Options::default()
        };
        let (profile, source) = profile_of_pdb(&kernel(KEY), &options).unwrap();
        assert_eq!(profile.find_type("_EPROCESS").unwrap().bytes, 608);
        let kept = cache.join("30b5fb31ae7e4acaaba750aa241ff33100000001.osp");
        let found = ProfileSource::Imported(build.join(name), Some(kept));
        assert_eq!(source, found);

        fs::remove_dir_all(symbols).unwrap();
        let (again, source) = profile_of_pdb(&kernel(KEY), &options).unwrap();
        assert_eq!(again, profile);
        assert!(matches!(source, ProfileSource::Stored(_)), "{source}");
    }
}

fn a_named_symbol_file_needs_no_folder(real: &Real) {
    let data = real.unpacked();
    let file = folder("named").join("any.pdb");
    fs::write(&file, data).unwrap();
    let options = Options {
        profile: Some(file.clone()),
        // The XP kernel is one that ships.
        no_shipped: true,
        ..Options::default()
    };
    let (_, source) = profile_of_pdb(&kernel(KEY), &options).unwrap();
    assert_eq!(source, ProfileSource::Named(file));
}

fn a_pdb_of_another_build_does_not_serve(real: &Real) {
    let data = real.unpacked();
    let folder = folder("other");
    fs::write(folder.join("ntkrnlpa.pdb"), data).unwrap();
    let options = Options {
        symbol_folders: vec![folder],
        // The XP kernel is one that ships.
        no_shipped: true,
        ..Options::default()
    };
    let other = "30B5FB31AE7E4ACAABA750AA241FF3312";
    let text = profile_of_pdb(&kernel(other), &options)
        .unwrap_err()
        .to_string();
    assert!(text.contains(&format!("of another build, {KEY}")), "{text}");
}
