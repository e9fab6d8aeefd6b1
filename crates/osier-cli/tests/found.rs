//! `osier info` of a kernel that was found and that nothing reads: where it lies is said all the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use osier_testkit::windows::{PdbRecord, crowd, reactos_x86};
use serde_json::Value;

fn info(snapshot: &Path, format: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(["info", "--no-cache", "--no-shipped", "--format", format])
        .arg(snapshot)
        .output()
        .unwrap()
}

#[test]
fn a_kernel_that_names_no_pdb_is_shown_where_it_lies() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("found");
    fs::create_dir_all(&folder).unwrap();
    let raw = folder.join("memory.raw");
    let profile = reactos_x86();
    let mut plan = crowd(&profile);
    plan.record = PdbRecord::NoDirectory;
    let machine = plan.write(&profile);
    machine.write_raw(&raw).unwrap();

    let output = info(&raw, "jsonl");
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(row["kernel"], Value::Null);
    let found = &row["found"];
    assert_eq!(
        (&found["os"], &found["base"]),
        (&"windows".into(), &"0x80400000".into())
    );
    let premises = found["premises"].as_array().unwrap();
    let version = premises
        .iter()
        .find(|premise| premise["about"] == "version");
    assert_eq!(version.unwrap()["value"], "5.2");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no debug directory"), "{said}");

    let text = String::from_utf8(info(&raw, "table").stdout).unwrap();
    assert!(
        text.contains("found, and not read") && text.contains("0x80400000"),
        "{text}"
    );
}
