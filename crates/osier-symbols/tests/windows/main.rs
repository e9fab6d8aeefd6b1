//! Windows symbols: PDBs and the profiles that others made of PDBs, held against one another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod hostile;
mod isf;
mod kernel_pdb;
mod made;
mod members;
mod rekall;

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

/// The folder of the Windows material, or why there is none.
fn material(part: &str) -> Result<PathBuf, String> {
    let folder = osier_testkit::data::packed().join("windows").join(part);
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(format!("there is no {} (set OSIER_DATA)", folder.display()))
    }
}

/// The files of a part of the material, by name.
fn files(part: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(material(part)?).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Ok(files)
}

/// The bytes of the PDB whose name begins so.
fn pdb(name: &str) -> Result<Vec<u8>, String> {
    let fits = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(name)
    };
    let path = files("pdb")?.into_iter().find(fits);
    let path = path.ok_or_else(|| format!("there is no PDB {name}"))?;
    let mut packed = File::open(path).unwrap();
    let mut unpacked = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(&mut packed)
        .unwrap()
        .read_to_end(&mut unpacked)
        .unwrap();
    Ok(unpacked)
}

/// The value, or leaves the test with a visible skip.
macro_rules! or_skip {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(reason) => osier_testkit::skip!("{reason}"),
        }
    };
}
use or_skip;
