//! `--where`, `--columns` and their like, as a user types them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;

use std::path::PathBuf;
use std::process::Output;

use command::{osier, run};

const CACHE: &str = "conditions";

fn golden() -> PathBuf {
    osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64.elf")
}

fn rows(arguments: &[&str]) -> usize {
    osier(arguments, &golden(), CACHE).lines().count()
}

fn refused(arguments: &[&str]) -> String {
    let golden = golden();
    let words = arguments.iter().copied();
    let output: Output = run(words.chain([golden.to_str().unwrap()]), CACHE);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    errors
}

#[test]
fn an_address_is_hexadecimal_in_conditions_as_in_options() {
    let at = rows(&["maps", "--at", "400000"]);
    assert!(at > 0);
    for condition in [
        "base = 400000",
        "base = 0x400000",
        "base in (1, 400000)",
        "base ~ 400000",
        "base ~ 0x400000",
    ] {
        assert_eq!(rows(&["maps", "--where", condition]), at, "{condition}");
    }
    let first = osier(
        &["ps", "--columns", "taskd", "--pid", "1"],
        &golden(),
        CACHE,
    );
    let row: serde_json::Value = serde_json::from_str(first.trim()).unwrap();
    let taskd = row["taskd"].as_str().unwrap().trim_start_matches("0x");
    assert_eq!(rows(&["ps", "--where", &format!("taskd = {taskd}")]), 1);
    assert!(refused(&["maps", "--where", "base = 4K"]).contains("hexadecimal"));
}

#[test]
fn levels_have_an_order() {
    let of = |condition: &str| rows(&["log", "--where", condition]);
    let (severe, rest) = (of("level <= err"), of("level > err"));
    let named = of("level in (emerg, alert, crit, err)");
    assert!(rest > 0);
    assert_eq!(severe, named);
    assert_eq!(severe + rest, of("level is not absent"));
    // A table shows seconds, and they can be asked for.
    let seconds = of("time >= 1.5s");
    assert!(seconds > 0 && seconds < severe + rest);
    assert_eq!(seconds, of("time >= 1500000000"));
    let first = ["log", "--format", "table", "--where", "time >= 1.5s"];
    let table = osier(&first, &golden(), CACHE);
    let time = table
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let (whole, fraction) = time.split_once('.').unwrap();
    assert!(
        whole.parse::<u64>().unwrap() < 3600 && fraction.len() == 6,
        "{time}"
    );
    assert!(refused(&["log", "--where", "time > 1.5"]).contains("seconds as in 12.5s"));
    assert!(refused(&["log", "--where", "level <= error"]).contains("emerg, alert"));
    let sorted = osier(
        &["log", "--columns", "level", "--sort", "level"],
        &golden(),
        CACHE,
    );
    let words = [
        "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
    ];
    let place = |line: &str| {
        words
            .iter()
            .position(|word| line.contains(&format!("\"{word}\"")))
    };
    let places: Vec<usize> = sorted.lines().filter_map(place).collect();
    assert!(
        places.is_sorted() && places.first() < places.last(),
        "{places:?}"
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let said = refused(&["ps", "--columns", "pid,pid"]);
    assert!(said.contains("`pid` is named twice"), "{said}");
    let said = refused(&["ps", "--where", "start > 2026-13-45"]);
    assert!(said.contains("start is a time"), "{said}");
    let said = refused(&["ps", "--name", "["]);
    assert!(said.contains("`[` is not closed"), "{said}");
    let said = refused(&["ps", "--name", "[^k]*"]);
    assert!(said.contains("`[!…]`"), "{said}");
}

#[test]
fn a_list_of_no_names_is_limited_to_processes_of_a_name() {
    let of = |list: &str, name: &str| rows(&[list, "--name", name]);
    // `name` is an object's of Windows' handles; of Linux' files there is none.
    let all = rows(&["files"]);
    assert!(all > 0);
    assert_eq!(of("files", "*"), all);
    assert_eq!(of("files", "no such process"), 0);
}

#[test]
fn blanks_between_names_do_no_harm() {
    let plain = osier(&["ps", "--columns", "pid,name"], &golden(), CACHE);
    assert_eq!(
        osier(&["ps", "--columns", "pid, name"], &golden(), CACHE),
        plain
    );
    let plain = osier(&["ps", "--pid", "1,2"], &golden(), CACHE);
    assert_eq!(osier(&["ps", "--pid", "1, 2"], &golden(), CACHE), plain);
}
