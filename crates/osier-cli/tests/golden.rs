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
