//! A real triage dump of Windows 10: most of memory is missing, and everything that is says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_testkit::need::{self, Real};
use serde_json::Value;

osier_testkit::trials! {
    need::file("windows/dumps/triage_x64.dmp.zst").and(need::file(SYMBOLS)) =>
        what_a_triage_dump_holds_is_told_and_what_it_does_not_hold_too;
}

const SYMBOLS: &str = "windows/isf/ntkrnlmp.pdb_5278AFF86C341677D7D7835C85B7B844-1.json.xz";

/// The dump and a folder with its kernel's profile.
fn parts(real: &Real) -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("triage");
    let profiles = folder.join("profiles");
    fs::create_dir_all(&profiles).unwrap();
    let dump = folder.join("triage_x64.dmp");
    fs::write(&dump, real.unpacked()).unwrap();
    let import = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(["profile", "import"])
        .arg(need::file(SYMBOLS).get().path)
        .arg("-o")
        .arg(profiles.join("19041.osp"))
        .output()
        .unwrap();
    assert!(import.status.success(), "{import:?}");
    (dump, profiles)
}

/// The objects that a question answers, and the exit status.
fn ask(question: &str, dump: &Path, profiles: &Path) -> (Vec<Value>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args([
            question,
            "--no-cache",
            "--no-shipped",
            "-q",
            "--format",
            "jsonl",
        ])
        .arg("--profiles")
        .arg(profiles)
        .arg(dump)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (rows.collect(), output.status.code().unwrap())
}

fn what_a_triage_dump_holds_is_told_and_what_it_does_not_hold_too(real: &Real) {
    let (dump, profiles) = parts(real);
    let (info, status) = ask("info", &dump, &profiles);
    assert_eq!(status, 0);
    let kernel = &info[0]["kernel"];
    assert_eq!(kernel["os"], "windows");
    assert_eq!(kernel["base"], "0xfffff8047ba00000");
    assert_eq!(
        kernel["build_id"],
        "5278aff86c341677d7d7835c85b7b84400000001"
    );

    let (rows, status) = ask("ps", &dump, &profiles);
    let (ends, rows): (Vec<Value>, Vec<Value>) =
        rows.into_iter().partition(|row| row.get("end").is_some());
    assert_eq!((rows.len(), status), (5, 3));
    // The table of ids was not captured, so that the list stands alone.
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["end"]["walk"], "pid table");
    assert_eq!(ends[0]["end"]["cause"], "not-captured");
    assert!(rows.iter().all(|row| row["found_by"] == "list-unchecked"));
    assert_eq!(
        (&rows[0]["pid"], &rows[0]["name"]),
        (&4.into(), &"System".into())
    );
    for row in &rows[1..] {
        assert_eq!(row["name"], Value::Null);
        assert_eq!(row["absent"]["name"]["cause"], "not-captured");
    }

    let (rows, status) = ask("modules", &dump, &profiles);
    let (ends, drivers): (Vec<&Value>, Vec<&Value>) =
        rows.iter().partition(|row| row.get("end").is_some());
    assert_eq!((drivers.len(), ends.len(), status), (151, 1, 3));
    assert_eq!(drivers[0]["name"], "ntoskrnl.exe");
    assert_eq!(drivers[0]["base"], kernel["base"]);
}
