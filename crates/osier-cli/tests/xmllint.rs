//! The XML that the command writes, held to its schema by another program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod command;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::program("xmllint") =>
        the_picture_is_well_formed, the_junit_file_validates_whatever_it_tells;
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("xmllint-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn lint(xmllint: &Real, file: &Path, more: &[&Path]) {
    let verdict = Command::new(&xmllint.path)
        .arg("--noout")
        .args(more)
        .arg(file)
        .output()
        .unwrap();
    let errors = verdict.stderr.escape_ascii();
    assert!(verdict.status.success(), "{errors}");
}

fn the_picture_is_well_formed(xmllint: &Real) {
    let picture = folder("timeline").join("timeline.svg");
    let [a, b] = ["a", "b"].map(|name| golden().join(format!("deb12-6.1-amd64-events-{name}.elf")));
    let words = [Path::new("timeline"), &a, &b, Path::new("--svg"), &picture];
    assert!(command::run(words, "xmllint-cache").status.success());
    lint(xmllint, &picture, &[]);
}

fn the_junit_file_validates_whatever_it_tells(xmllint: &Real) {
    const NAME: &str = "deb12-6.1-amd64";
    let folder = folder("check");
    let core = format!("{NAME}.elf");
    fs::copy(golden().join(&core), folder.join(&core)).unwrap();
    fs::write(folder.join("broken.elf"), b"\x7fELF").unwrap();
    // Rows that are not as golden, with all that XML escapes or forbids.
    fs::create_dir_all(folder.join(NAME)).unwrap();
    let rows = fs::read_to_string(golden().join(NAME).join("ps.jsonl")).unwrap();
    let changed = rows.replacen("spinner-0", "<&\\\">\\u001b\\uffff", 1);
    assert_ne!(rows, changed);
    fs::write(folder.join(NAME).join("ps.jsonl"), changed).unwrap();
    let junit = folder.join("junit.xml");
    let golden = [Path::new("check"), &folder, Path::new("--golden"), &folder];
    let words = golden.into_iter().chain([Path::new("--junit"), &junit]);
    assert_eq!(command::run(words, "xmllint-cache").status.code(), Some(1));
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/junit.xsd");
    lint(xmllint, &junit, &[Path::new("--schema"), &schema]);
}
