//! `osier run` as a process: killed, short of disk, and given a list.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use osier_testkit::{Random, skip};

const TABLES: [&str; 6] = ["ps", "handles", "current", "threads", "modules", "maps"];

/// A folder of the test's own, with `links` to golden snapshots.
fn folder(name: &str, links: usize) -> PathBuf {
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

fn osier(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    command
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("OSIER_PROFILES")
        .stdin(Stdio::null());
    command
}

fn start(folder: &Path, out: &str, how: &[&str]) -> Child {
    osier(folder)
        .args(["run", "links", "--jobs", "2", "--out", out])
        .args(how)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn tables(out: &Path, extension: &str) -> Vec<Vec<u8>> {
    let read = |table: &&str| fs::read(out.join(format!("{table}.{extension}"))).unwrap();
    TABLES.iter().map(read).collect()
}

/// The manifest without the two fields that differ from run to run.
fn manifest(out: &Path) -> String {
    let text = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    let steady = |line: &str| line.split_once(",\"elapsed_ms\"").unwrap().0.to_owned();
    text.lines().map(steady).collect::<Vec<_>>().join("\n")
}

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
        .output();
    let Ok(full) = full else {
        skip!("no sh");
    };
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

/// A file system of its own with room for so many bytes, gone at the end.
struct Disk(PathBuf);

impl Disk {
    /// `Err` says why there is none.
    fn new(at: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "osier-test"])
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(String::from_utf8(output.stderr).unwrap().trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_the_rows_that_do_not_fit_and_no_others() {
    full_disk("jsonl", &[]);
}

#[cfg(feature = "parquet")]
#[test]
fn a_full_disk_costs_the_row_groups_that_do_not_fit_and_no_others() {
    full_disk("parquet", &["--to", "parquet", "--row-group", "1"]);
}

fn full_disk(extension: &str, how: &[&str]) {
    const LINKS: usize = 60;
    let folder = folder(&format!("disk-{extension}"), LINKS);
    assert!(start(&folder, "whole", how).wait().unwrap().success());
    let whole = tables(&folder.join("whole"), extension);
    let bytes: usize = whole.iter().map(Vec::len).sum();
    // Room for the reserve, and for half of the tables.
    let disk = match Disk::new(&folder.join("disk"), (1 << 20) + bytes as u64 / 2) {
        Ok(disk) => disk,
        Err(reason) => skip!("no file system can be mounted here: {reason}"),
    };
    let ended = start(&folder, "disk/out", how).wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    let out = disk.0.join("out");
    let manifest = manifest(&out);
    let entries: Vec<serde_json::Value> = manifest
        .lines()
        .map(|line| serde_json::from_str(&format!("{line}}}")).unwrap())
        .collect();
    assert_eq!(entries.len(), LINKS);
    let (complete, failed): (Vec<_>, Vec<_>) = entries
        .iter()
        .partition(|entry| entry["status"] == "complete");
    assert!(complete.len() > 10 && failed.len() > 10, "{manifest}");
    for entry in failed {
        assert_eq!(entry["status"], "failed");
        let why = entry["why"][0].as_str().unwrap();
        assert!(
            why.contains("its rows could not be written: No space"),
            "{why}"
        );
    }
    // The tables are those of a run over the snapshots that are complete.
    let paths = complete.iter().map(|entry| entry["path"].as_str().unwrap());
    let list: Vec<&str> = paths.collect();
    fs::write(folder.join("complete"), list.join("\n")).unwrap();
    let again = osier(&folder)
        .args(["run", "-q", "--inputs-from", "complete", "-o", "again"])
        .args(how)
        .status()
        .unwrap();
    assert!(again.success());
    assert!(tables(&out, extension) == tables(&folder.join("again"), extension));
}

#[test]
fn a_file_that_cannot_be_read_is_one_failure() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("unreadable", 2);
    let hidden = folder.join("links/001-hidden.elf");
    fs::copy(folder.join("links/000.elf"), &hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    let mut run = osier(&folder);
    if fs::File::open(&hidden).is_ok() {
        // Root reads everything; nobody does not.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let mut nobody = Command::new("setpriv");
        nobody
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .current_dir(&folder)
            .env("XDG_CACHE_HOME", folder.join("cache"));
        let may = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_osier"))
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !may.is_ok_and(|status| status.success()) {
            skip!("this is root, and nobody may not run the program");
        }
        nobody.arg(env!("CARGO_BIN_EXE_osier"));
        run = nobody;
    }
    let ended = run.args(["run", "links", "-o", "out"]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("001-hidden.elf: failed: "), "{said}");
    let manifest = manifest(&folder.join("out"));
    let statuses: Vec<bool> = manifest
        .lines()
        .map(|line| line.contains("\"status\":\"complete\""))
        .collect();
    assert_eq!(statuses, [true, false, true], "{manifest}");
    assert!(manifest.contains("Permission denied"), "{manifest}");
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
    check(&["run", "*.none", "-o", "out"], 3, "1 failed");
    check(
        &["run", "links", "-o", "out", "--time-limit", "soon"],
        2,
        "no time",
    );
}
