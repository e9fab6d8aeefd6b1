//! Snapshots that installed programs pack read the same.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use std::fs;
use std::process::Command;

use made::folder;
use made::wrapped::{holds, memory, options};
use osier_snapshot::open;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::program, &["bzip2", "gzip", "lz4", "xz", "zstd"]) => what_it_packs_reads_the_same;
}

fn what_it_packs_reads_the_same(real: &Real) {
    let (dir, bytes) = (folder("packed"), memory());
    let plain = dir.join("memory.raw");
    fs::write(&plain, &bytes).unwrap();
    let ways: &[&[&str]] = match real.name.as_str() {
        "gzip" => &[&["-9"], &["-1"]],
        "xz" => &[&["-0", "-T2", "--block-size=1MiB"], &["-6"]],
        "zstd" => &[&["-3"], &["-19", "--no-check"]],
        "lz4" => &[&["-9", "--content-size", "-B5"], &["-BD"]],
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
