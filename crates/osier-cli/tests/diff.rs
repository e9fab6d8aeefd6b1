//! `osier diff` between two snapshots of one guest, minutes apart: `snapshots/README.md` says what
//! was done to it in between.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

fn snapshot(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    folder.join(format!("{name}.elf"))
}

fn run(arguments: &[&str], before: &Path, after: &Path) -> Output {
    let words = [
        &["diff", before.to_str().unwrap(), after.to_str().unwrap()],
        arguments,
    ]
    .concat();
    command::run(words, "diff-cache")
}

/// The rows of a difference, which must be complete.
fn events(before: &str, after: &str) -> Vec<Value> {
    let output = run(&[], &snapshot(before), &snapshot(after));
    let errors = String::from_utf8(output.stderr).unwrap();
    // What is told is told of the guest's own clock.
    let backwards = errors
        .lines()
        .all(|line| line.contains("by the guest's clock"));
    assert_eq!(
        (output.status.code(), backwards),
        (Some(0), true),
        "{errors}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What happened, and to whom.
fn told(events: &[Value]) -> Vec<(&str, &str)> {
    events
        .iter()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["name"].as_str().unwrap(),
            )
        })
        .collect()
}

const A: &str = "deb12-6.1-amd64-events-a";
const B: &str = "deb12-6.1-amd64-events-b";

#[test]
fn exactly_what_was_done_to_the_guest_is_told() {
    let found = events(A, B);
    assert_eq!(
        told(&found),
        [
            ("process-gone", "event-doomed"),
            ("process-executed", "after-exec"),
            ("mapped", "event.bin"),
            ("process-started", "event-born"),
            ("module-loaded", "ifb"),
            ("current-changed", "event-born"),
            ("current-changed", "init"),
        ]
    );
    // The guest's own word: `b/truth/events` has these pids.
    let pids: Vec<u64> = found[..4]
        .iter()
        .map(|event| event["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids, [100, 101, 102, 103]);
    assert_eq!(found[1]["was"]["exe"], "/init");
    assert_eq!(found[1]["exe"], "/bin/after-exec");
    assert_eq!(found[2]["file"], "/data/event.bin");
    assert_eq!(
        (&found[2]["bytes"], &found[2]["perms"]),
        (&32768.into(), &"r--p".into())
    );
    assert_eq!(
        (&found[5]["cpu"], &found[5]["was"]["name"]),
        (&0.into(), &"swapper/0".into())
    );
}

#[test]
fn backwards_it_is_the_contrary_and_said() {
    for (before, after, warned) in [(A, B, false), (B, A, true)] {
        let output = run(&[], &snapshot(before), &snapshot(after));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("by the guest's clock"), warned, "{said}");
    }
    let found = events(B, A);
    assert_eq!(
        told(&found),
        [
            ("process-executed", "event-exec"),
            ("unmapped", "event.bin"),
            ("process-gone", "event-born"),
            ("process-started", "event-doomed"),
            ("module-unloaded", "ifb"),
            ("current-changed", "swapper/0"),
            ("current-changed", "swapper/1"),
        ]
    );
}

#[test]
fn the_exit_status_is_gits_when_asked_for() {
    let (a, b) = (snapshot(A), snapshot(B));
    assert!(events(A, A).is_empty());
    assert_eq!(run(&["--exit-code"], &a, &a).status.code(), Some(0));
    assert_eq!(run(&["--exit-code"], &a, &b).status.code(), Some(1));
    for other in [
        "handels", "handles", "files", "env", "log", "pages", "ps_wide",
    ] {
        let refused = run(&["--ask", &format!("maps,{other}")], &a, &b);
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{other}: {errors}");
        assert!(refused.stdout.is_empty(), "{other}");
        assert!(
            errors.contains("ps, threads, maps, modules, current"),
            "{errors}"
        );
    }
    assert_eq!(run(&["--ask", "ps, maps"], &a, &b).status.code(), Some(0));
}

#[test]
fn a_table_tells_the_same_in_words() {
    let output = run(&["--format", "table"], &snapshot(A), &snapshot(B));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert!(lines[0].starts_with("EVENT"), "{text}");
    let executed = "name event-exec → after-exec, exe /init → /bin/after-exec, \
                    cmdline /init → after-exec was event-exec";
    assert!(lines[2].ends_with(executed), "{text}");
}

#[test]
fn what_a_snapshot_does_not_hold_is_unknown_and_not_gone() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let poor = folder.join("diff-poor.elf");
    let words = ["distill", "--ask", "ps", "-o", poor.to_str().unwrap()];
    command::osier(&words, &snapshot(B), "diff-cache");
    let output = run(&[], &snapshot(A), &poor);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |word: &str| rows.iter().filter(|row| row["event"] == word).count();
    assert_eq!(
        (
            of("process-gone"),
            of("process-started"),
            of("process-executed")
        ),
        (1, 1, 1)
    );
    for never in ["unmapped", "thread-gone", "module-unloaded"] {
        assert_eq!(of(never), 0, "{never}");
    }
    assert!(of("mapping-unknown") > 10, "{text}");
    // Each walk that did not close is named with its snapshot.
    let ends = rows.iter().filter(|row| row.get("end").is_some());
    let of_poor = |row: &Value| {
        row["snapshot"]
            .as_str()
            .is_some_and(|it| it.ends_with("poor.elf"))
    };
    assert!(
        ends.clone().count() > 0 && ends.clone().all(of_poor),
        "{text}"
    );
}

#[test]
fn another_boot_is_a_warning() {
    let output = run(
        &["--ask", "current"],
        &snapshot("deb12-6.1-amd64"),
        &snapshot(A),
    );
    assert_eq!(output.status.code(), Some(0));
    // One warning for all that means the same.
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        errors.matches("another kernel or another boot").count(),
        1,
        "{errors}"
    );
    assert!(
        errors.contains("kernel-slide, first-process differ: "),
        "{errors}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["premise"]["about"], "kernel-slide");
    let output = run(
        &["--ask", "current", "-v"],
        &snapshot("deb12-6.1-amd64"),
        &snapshot(A),
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("kernel-slide was "), "{errors}");
}
