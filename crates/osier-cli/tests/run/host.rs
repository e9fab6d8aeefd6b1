//! What some hosts do not allow: a small disk, and a file that cannot be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_testkit::ignore;

use crate::runs::{folder, manifest, osier, start, tables};

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

pub(crate) fn a_full_disk_costs_the_rows_that_do_not_fit_and_no_others() {
    full_disk("jsonl", &[]);
}

pub(crate) fn a_full_disk_costs_the_row_groups_that_do_not_fit_and_no_others() {
    if !cfg!(feature = "parquet") {
        ignore!("this command was built without Parquet");
    }
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
        Err(reason) => ignore!("no file system can be mounted here: {reason}"),
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

pub(crate) fn a_file_that_cannot_be_read_is_one_failure() {
    let folder = folder("unreadable", 2);
    let hidden = folder.join("links/001-hidden.elf");
    fs::copy(folder.join("links/000.elf"), &hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    let mut reason = "Permission denied";
    if fs::File::open(&hidden).is_ok() {
        // Root may read everything, but follows no link to itself.
        fs::remove_file(&hidden).unwrap();
        std::os::unix::fs::symlink("001-hidden.elf", &hidden).unwrap();
        reason = "symbolic links";
    }
    let ended = osier(&folder)
        .args(["run", "links", "-o", "out"])
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("links/001-hidden.elf: failed: "), "{said}");
    let manifest = manifest(&folder.join("out"));
    let statuses: Vec<bool> = manifest
        .lines()
        .map(|line| line.contains("\"status\":\"complete\""))
        .collect();
    assert_eq!(statuses, [true, false, true], "{manifest}");
    assert!(manifest.contains(reason), "{manifest}");
}
