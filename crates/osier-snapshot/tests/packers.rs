//! Snapshots that installed programs pack read the same.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use std::fs;
use std::process::Command;

use made::folder;
use made::wrapped::{MIB, holds, memory, no_flipped_bit_goes_unsaid, options};
use osier_snapshot::open;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::program, &["bzip2", "gzip", "lz4", "pzstd", "xz", "zstd"]) => what_it_packs_reads_the_same;
    need::each(need::program, &["lz4", "zstd"]) => no_damage_to_what_it_packs_goes_unsaid;
}

fn what_it_packs_reads_the_same(real: &Real) {
    let (dir, bytes) = (folder("packed"), memory());
    let plain = dir.join("memory.raw");
    fs::write(&plain, &bytes).unwrap();
    let ways: &[&[&str]] = match real.name.as_str() {
        "gzip" => &[&["-9"], &["-1"]],
        "xz" => &[&["-0", "-T2", "--block-size=1MiB"], &["-6"]],
        "zstd" => &[&["-3"], &["-19", "--no-check"]],
        "lz4" => &[&["-9", "--content-size", "-B5"], &["-BD"], &["-l"]],
        "pzstd" => &[&["-p2"], &["-p1", "-19"]],
        _ => &[&[]],
    };
    for arguments in ways {
        let output = Command::new(&real.path)
            .args(*arguments)
            .arg("-c")
            .arg(&plain)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let path = dir.join("memory.packed");
        fs::write(&path, &output.stdout).unwrap();
        let snapshot = open(&path, &options(&dir)).unwrap();
        assert!(snapshot.info.anomalies.is_empty(), "{arguments:?}");
        holds(&snapshot, &bytes);
    }
    fs::remove_dir_all(dir).unwrap();
}

/// With a checksum over all (of one block, of many, of blocks that depend on one another), and over
/// each block.
fn no_damage_to_what_it_packs_goes_unsaid(real: &Real) {
    let dir = folder("checked-packed");
    let bytes = &memory()[..MIB];
    let plain = dir.join("plain");
    fs::write(&plain, bytes).unwrap();
    let ways: &[&[&str]] = match real.name.as_str() {
        "zstd" => &[&["--check"], &["--check", "--no-content-size"]],
        _ => &[
            &[],
            &["--content-size", "-B4"],
            &["--content-size", "-BX", "-B4"],
            &["-BDX", "-B4"],
        ],
    };
    for arguments in ways {
        let output = Command::new(&real.path)
            .args(*arguments)
            .args(["-q", "-c"])
            .arg(&plain)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        no_flipped_bit_goes_unsaid(&dir, bytes, &output.stdout);
    }
    fs::remove_dir_all(dir).unwrap();
}
