//! `osier timeline` over the two snapshots of one guest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The command on the pair, the later snapshot first.
fn timeline(arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let of = |name: &str| {
        let path = folder.join(format!("deb12-6.1-amd64-events-{name}.elf"));
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (of("a"), of("b"));
    let words = [&["timeline", b.as_str(), a.as_str()], arguments].concat();
    let output = command::run(words, "timeline-cache");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

fn marks(text: &str) -> BTreeMap<String, String> {
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let named = rows.map(|row| {
        let field = |name: &str| row[name].as_str().unwrap().to_owned();
        (field("names"), field("marks"))
    });
    named.collect()
}

#[test]
fn lives_are_in_the_order_of_the_guests_clock() {
    let marks = marks(&timeline(&["--format", "jsonl"]));
    let of = |name: &str| marks[name].as_str();
    assert_eq!(of("event-doomed"), "=.");
    assert_eq!(of("event-exec → after-exec"), "==");
    assert_eq!(of("event-born"), ".#");
    assert_eq!(of("init"), "=#");
    assert_eq!(of("swapper/0"), "#=");
}

#[test]
fn as_given_the_series_runs_backwards() {
    let marks = marks(&timeline(&["--format", "jsonl", "--order", "given"]));
    assert_eq!(marks["event-doomed"], ".=");
    assert_eq!(marks["after-exec → event-exec"], "==");
}

#[test]
fn a_table_has_the_drawing_below_it() {
    let text = timeline(&["--format", "table", "--ascii", "--width", "60"]);
    let (table, drawing) = text.split_once("\n\n").unwrap();
    assert!(table.starts_with("PID  NAME"), "{table}");
    let born = drawing
        .lines()
        .find(|line| line.contains("event-born"))
        .unwrap();
    assert_eq!(born, "          event-born     103 [    ####]");
    let executed = drawing.lines().find(|line| line.contains("after-exec"));
    assert_eq!(executed, Some("          after-exec     101 [----X---]"));
    assert!(drawing.contains("X executed another program"), "{drawing}");
    assert!(
        drawing.contains("1  2026-11-24T03:47:56Z  deb12-6.1-amd64-events-a.elf\n"),
        "{drawing}"
    );
    assert_eq!(drawing.matches("kworker").count(), 0, "{drawing}");
    assert!(drawing.lines().all(|line| line.len() <= 60), "{drawing}");
}

#[test]
fn the_picture_has_the_guests_own_clock() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("timeline.svg");
    timeline(&["--svg", file.to_str().unwrap()]);
    let picture = fs::read_to_string(&file).unwrap();
    // By the guests' own word: booted at 03:47:32.1, up for 24.03 s and for 166.77 s.
    for clock in ["a.elf 2026-11-24T03:47:56Z", "b.elf 2026-11-24T03:50:19Z"] {
        assert!(picture.contains(clock), "{picture}");
    }
    for axis in [
        ">03:47:56<",
        ">03:50:19<",
        "2026-11-24 UTC",
        ">1 deb12-6.1-amd64-events-a.elf<",
    ] {
        assert!(picture.contains(axis), "{picture}");
    }
    // What was executed in between, and the threads of the kernel in one line.
    assert!(
        picture.contains("<title>executed between snapshots 1 and 2</title>"),
        "{picture}"
    );
    assert_eq!(
        picture.matches("kernel threads (66)</text>").count(),
        1,
        "{picture}"
    );
    assert!(picture.contains("event-born 103"), "{picture}");
}

#[test]
fn what_cannot_be_read_is_left_out_and_told() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("timeline-odd");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "no snapshot").unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = golden.join("../../snapshots/deb12-6.1-amd64-events-a.elf");
    let notes = folder.join("notes.txt");
    let words = [
        "timeline",
        notes.to_str().unwrap(),
        golden.to_str().unwrap(),
    ];
    let output = command::run(words, "timeline-cache");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("left out: ") && errors.contains("a text file"),
        "{errors}"
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("event-doomed")
    );
}
