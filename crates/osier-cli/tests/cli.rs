//! What the command does when it is used wrongly or given what is no snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn osier(args: &[&str]) -> Output {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache");
    Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(args)
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap()
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Runs, and holds the exit status and a part of the message.
fn check(args: &[&str], code: i32, message: &str) {
    let output = osier(args);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "osier {args:?}: {errors}");
    assert!(errors.contains(message), "osier {args:?}: {errors}");
    assert!(output.stdout.is_empty(), "osier {args:?} wrote rows");
}

#[test]
fn wrong_usage_is_two() {
    check(&[], 2, "Usage");
    check(&["ps"], 2, "SNAP");
    check(&["ps", "--order", "size", "x"], 2, "possible values");
    check(&["read", "x", "zero", "1"], 2, "is no number");
    check(
        &["distill", "x", "--ask", "all", "-o", "y"],
        2,
        "no question is called `all`",
    );
}

#[test]
fn what_is_no_snapshot_is_one() {
    check(&["ps", "/nonexistent/snapshot"], 1, "/nonexistent/snapshot");
    let empty = file("empty-file", b"");
    check(&["ps", empty.to_str().unwrap()], 1, "empty");
    let packed = file("packed.xz", b"\xfd7zXZ\0\0\0\0\0\0\0");
    check(&["ps", packed.to_str().unwrap()], 1, "packed.xz");
}

#[test]
fn memory_without_a_kernel_is_one() {
    let zeros = file("zeros.raw", &vec![0; 2 << 20]);
    check(&["ps", zeros.to_str().unwrap()], 1, "no Linux kernel found");
    check(
        &["ps", "--os", "plan9", zeros.to_str().unwrap()],
        1,
        "names no operating system",
    );
}

#[test]
fn the_file_is_described_even_without_a_kernel() {
    let zeros = file("zeros-info.raw", &vec![0; 2 << 20]);
    let output = osier(&["info", zeros.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let row: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(row["kernel"], serde_json::Value::Null);
    assert_eq!(row["ram"][0]["len"], 2 << 20);
}

#[test]
fn the_shell_gets_its_scripts() {
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let output = osier(args);
        assert_eq!(output.status.code(), Some(0), "osier {args:?}");
        assert!(!output.stdout.is_empty(), "osier {args:?}");
    }
}
