//! `osier run` as a process: killed, at the limit of a file's size, and given a list.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![cfg(unix)]

#[path = "run/mod.rs"]
mod runs;

use std::fs;
use std::process::Command;
use std::time::Instant;

use osier_testkit::Random;
use runs::{folder, manifest, osier, start, tables};

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bytes() {
    killed_ten_times("jsonl", &[]);
}

#[cfg(feature = "parquet")]
#[test]
fn a_killed_run_goes_on_after_the_last_whole_row_group() {
    killed_ten_times("parquet", &["--to", "parquet", "--row-group", "5000"]);
}

fn killed_ten_times(extension: &str, how: &[&str]) {
    const KILLS: usize = 10;
    let folder = folder(&format!("killed-{extension}"), 60);
    let began = Instant::now();
    assert!(start(&folder, "whole", how).wait().unwrap().success());
    let took = began.elapsed();
    let mut random = Random::new(0x0051_e7ed);
    let (mut kills, mut resumed) = (0, 0);
    while kills < KILLS {
        let mut child = start(&folder, "killed", how);
        std::thread::sleep(took * u32::try_from(random.below(1000)).unwrap() / 1500);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            // It was faster. Start over.
            fs::remove_dir_all(folder.join("killed")).unwrap();
            continue;
        }
        kills += 1;
        let said = String::from_utf8(output.stderr).unwrap();
        resumed += usize::from(said.contains("going on after"));
    }
    let last = start(&folder, "killed", how).wait_with_output().unwrap();
    let said = String::from_utf8(last.stderr).unwrap();
    assert!(last.status.success(), "{said}");
    assert!(
        resumed > 0 || said.contains("going on after"),
        "no kill left anything: {said}"
    );
    assert!(tables(&folder.join("killed"), extension) == tables(&folder.join("whole"), extension));
    assert_eq!(
        manifest(&folder.join("killed")),
        manifest(&folder.join("whole"))
    );
    assert!(!folder.join("killed/.osier-run").exists());
}

#[test]
fn parts_by_xargs_are_the_whole() {
    let folder = folder("parts", 7);
    let how = ["--root", "links"];
    assert!(start(&folder, "whole", &how).wait().unwrap().success());
    let parts =
        "seq 3 | xargs -P 2 -I '{}' \"$1\" run links --root links --shard '{}/3' -q -o parts";
    let ran = osier(&folder);
    let program = ran.get_program().to_owned();
    let ran = Command::new("sh")
        .current_dir(&folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .args(["-c", parts, "sh"])
        .arg(program)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", ran.stderr.escape_ascii());
    let merged = osier(&folder)
        .args(["merge", "parts", "-o", "merged"])
        .output()
        .unwrap();
    let said = String::from_utf8(merged.stderr).unwrap();
    assert!(
        merged.status.success() && said.contains("7 snapshots: 7 complete"),
        "{said}"
    );
    assert!(tables(&folder.join("merged"), "jsonl") == tables(&folder.join("whole"), "jsonl"));
    assert_eq!(
        manifest(&folder.join("merged")),
        manifest(&folder.join("whole"))
    );

    let said = |args: &[&str], status: i32| {
        let output = osier(&folder).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said
    };
    fs::remove_file(folder.join("parts/shard/2-of-3.json")).unwrap();
    assert!(said(&["merge", "parts", "-o", "no"], 1).contains("missing: 2/3"));
    assert!(said(&["run", "links", "--shard", "4/3", "-o", "no"], 2).contains("no part of a run"));
    let outside = said(&["run", "links", "--root", "parts", "-o", "no"], 1);
    assert!(outside.contains("does not lie below parts"), "{outside}");
    assert!(!folder.join("no").exists());
}

#[test]
fn rows_that_cannot_be_written_are_one_failure_each() {
    let folder = folder("full", 6);
    assert!(start(&folder, "whole", &[]).wait().unwrap().success());
    // A limit on the size of files stands for a full disk: the table of mappings reaches it.
    let limited = "trap '' XFSZ && ulimit -f $1 && shift && exec \"$@\"";
    let (two_and_a_half, block) = (
        fs::metadata(folder.join("whole/maps.jsonl")).unwrap().len() * 5 / 12,
        512,
    );
    let full = Command::new("sh")
        .args(["-c", limited, "sh", &(two_and_a_half / block).to_string()])
        .arg(env!("CARGO_BIN_EXE_osier"))
        .args(["run", "links", "--jobs", "2", "--out", "full", "--no-cache"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8(full.stderr).unwrap();
    assert_eq!(full.status.code(), Some(3), "{said}");
    let manifest = manifest(&folder.join("full"));
    let failed: Vec<&str> = manifest
        .lines()
        .filter(|line| line.contains("\"failed\""))
        .collect();
    assert!(!failed.is_empty() && failed.len() < 6, "{manifest}");
    for line in failed {
        assert!(line.contains("its rows could not be written"), "{line}");
    }
    // What is there is whole: complete snapshots have all rows in all tables, failed ones none.
    let whole = tables(&folder.join("whole"), "jsonl");
    for (table, all) in tables(&folder.join("full"), "jsonl").iter().zip(&whole) {
        assert!(table.len() < all.len() && table.ends_with(b"\n"));
    }
}

#[test]
fn a_list_names_the_snapshots() {
    let folder = folder("list", 3);
    fs::write(folder.join("list"), "links/002.elf\r\nlinks/000.elf\n\n").unwrap();
    let status = osier(&folder)
        .args([
            "run",
            "-q",
            "--inputs-from",
            "-",
            "links/001.elf",
            "-o",
            "out",
        ])
        .args(["--tables", "modules,ps"])
        .stdin(fs::File::open(folder.join("list")).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let manifest = manifest(&folder.join("out"));
    let names: Vec<&str> = manifest.lines().map(|line| &line[13..20]).collect();
    assert_eq!(names, ["001.elf", "002.elf", "000.elf"]);
    let mut files: Vec<_> = fs::read_dir(folder.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["manifest.jsonl", "modules.jsonl", "ps.jsonl"]);
}

#[test]
fn wrong_use_is_told() {
    let folder = folder("usage", 1);
    let check = |arguments: &[&str], code: i32, text: &str| {
        let output = osier(&folder).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(text), "{said}");
    };
    check(
        &["run", "links", "-o", "out", "--tables", "pss"],
        2,
        "no question is called `pss`",
    );
    check(&["run", "-o", "out"], 2, "PATH");
    check(&["run", "*.none", "-o", "out"], 1, "1 failed");
    check(
        &["run", "links", "-o", "out", "--time-limit", "soon"],
        2,
        "no time",
    );
}
