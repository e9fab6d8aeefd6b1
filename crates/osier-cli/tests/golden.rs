//! The command's rows on the golden snapshots of the repository, byte for byte.
//!
//! `OSIER_UPDATE_GOLDEN=1` writes the rows anew; look at the difference before it is kept.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod command;

use std::fs;
use std::path::{Path, PathBuf};

use command::osier;

const TABLES: &[&str] = &["ps", "handles", "current", "threads", "modules", "maps"];

fn snapshots() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "elf"))
        .collect();
    all.sort();
    all
}

#[test]
fn golden_snapshots_give_their_golden_rows() {
    let update = std::env::var_os("OSIER_UPDATE_GOLDEN").is_some();
    let snapshots = snapshots();
    assert_eq!(
        snapshots.len(),
        5,
        "the five kernels' golden snapshots are in the repository"
    );
    for snapshot in snapshots {
        for table in TABLES {
            let golden = snapshot.with_extension("").join(format!("{table}.jsonl"));
            let rows = osier(&[table, "--format", "jsonl"], &snapshot, "golden-cache");
            if update {
                fs::create_dir_all(golden.parent().unwrap()).unwrap();
                fs::write(&golden, &rows).unwrap();
            }
            let wanted = fs::read_to_string(&golden)
                .unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
            for (at, (row, want)) in rows.lines().zip(wanted.lines()).enumerate() {
                assert_eq!(row, want, "{} row {at}", golden.display());
            }
            assert_eq!(rows, wanted, "{}", golden.display());
        }
    }
}
