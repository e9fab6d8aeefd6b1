//! The golden snapshots of the repository give their golden rows, byte for byte: what
//! `osier check snapshots --golden snapshots` says, run as CI runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod command;

use std::path::Path;

/// Snapshots in the repository, and tables of each.
const SNAPSHOTS: usize = 7;
const TABLES: usize = 6;

/// Distilled before `osi-test` was thought of, of a dump that is gone: the page with the name of a file system's root is
/// not there.
const WITHOUT_ROOT: &str = "deb12-6.1-amd64-events-b";

/// PANDA's own answer is there as well, and what is lost of it is named.
#[test]
fn golden_snapshots_give_what_panda_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "elf") {
            continue;
        }
        seen += 1;
        let words = ["osi-test".as_ref(), "-v".as_ref(), path.as_os_str()];
        let output = command::run(words, "golden-cache");
        let said = String::from_utf8(output.stderr).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let short = name == WITHOUT_ROOT;
        let expected = if short { 3 } else { 0 };
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{}: {said}",
            path.display()
        );
        assert_eq!(
            said.contains("file within its file system: left out"),
            short,
            "{said}"
        );
    }
    assert_eq!(seen, SNAPSHOTS);
}

#[test]
fn golden_snapshots_give_their_golden_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let folder = folder.to_str().unwrap();
    let output = command::run(["check", folder, "--golden", folder], "golden-cache");
    let said = String::from_utf8(output.stderr).unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{found}{said}");
    assert_eq!(found, "");
    // Two of them hold what files, env, log, ps_wide, mounts, sockets and net need, too, one what mounts and net need.
    let all = SNAPSHOTS * TABLES + 2 * 7 + 2;
    assert_eq!(
        said,
        format!("osier: {all} tables of {SNAPSHOTS} snapshots, 0 not as they should be\n")
    );
}
