//! Runs over links to golden snapshots.

#![allow(dead_code, reason = "each test program uses what it needs")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) const TABLES: [&str; 6] = ["ps", "handles", "current", "threads", "modules", "maps"];

/// A folder of the test's own, with `links` to golden snapshots.
pub(crate) fn folder(name: &str, links: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("links")).unwrap();
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let snapshots = fs::canonicalize(snapshots).unwrap();
    let kernels = ["deb11-5.10-686", "deb12-6.1-amd64", "deb13-6.12-amd64"];
    for (number, kernel) in kernels.iter().cycle().take(links).enumerate() {
        let link = folder.join(format!("links/{number:03}.elf"));
        symlink(snapshots.join(format!("{kernel}.elf")), link).unwrap();
    }
    folder
}

pub(crate) fn osier(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    command
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("OSIER_PROFILES")
        .stdin(Stdio::null());
    command
}

pub(crate) fn start(folder: &Path, out: &str, how: &[&str]) -> Child {
    osier(folder)
        .args(["run", "links", "--jobs", "2", "--out", out])
        .args(how)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn tables(out: &Path, extension: &str) -> Vec<Vec<u8>> {
    let read = |table: &&str| fs::read(out.join(format!("{table}.{extension}"))).unwrap();
    TABLES.iter().map(read).collect()
}

/// The manifest without the two fields that differ from run to run.
pub(crate) fn manifest(out: &Path) -> String {
    let text = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    let steady = |line: &str| line.split_once(",\"elapsed_ms\"").unwrap().0.to_owned();
    text.lines().map(steady).collect::<Vec<_>>().join("\n")
}
