//! `osier check` on copies of a golden snapshot and its rows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "deb12-6.1-amd64";

/// A copy of one golden snapshot and its rows, in a folder of the test's own.
struct Copied {
    folder: PathBuf,
}

/// What the command said, and how it ended.
struct Said {
    status: i32,
    out: String,
    errors: String,
}

impl Copied {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{test}"));
        let _ = fs::remove_dir_all(&folder);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
        fs::create_dir_all(folder.join(NAME)).unwrap();
        let core = format!("{NAME}.elf");
        fs::copy(golden.join(&core), folder.join(&core)).unwrap();
        for entry in fs::read_dir(golden.join(NAME)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().unwrap();
            fs::copy(&file, folder.join(NAME).join(name)).unwrap();
        }
        Self { folder }
    }

    fn rows(&self, table: &str) -> PathBuf {
        self.folder.join(NAME).join(format!("{table}.jsonl"))
    }

    /// Replaces the first `from` of a table's golden rows.
    fn change(&self, table: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.rows(table)).unwrap();
        assert!(text.contains(from), "{table} has no {from}");
        fs::write(self.rows(table), text.replacen(from, to, 1)).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Said {
        let folder = self.folder.to_str().unwrap();
        let words = [&["check", folder, "--golden", folder], arguments].concat();
        let output = command::run(words, "check-cache");
        Said {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn one_changed_byte_of_a_name_fails_until_the_rows_are_written_again() {
    let copied = Copied::new("byte");
    let before = fs::read(copied.rows("ps")).unwrap();
    copied.change("ps", r#""name":"spinner-0""#, r#""name":"spinnex-0""#);
    let line = 1 + fs::read_to_string(copied.rows("ps"))
        .unwrap()
        .lines()
        .position(|line| line.contains("spinnex-0"))
        .unwrap();

    let failed = copied.check(&["--ask", "ps,current"]);
    assert_eq!(failed.status, 1, "{}", failed.errors);
    let difference =
        format!(r#"  line {line}: pid 185 "spinnex-0": name was "spinnex-0", is "spinner-0""#);
    assert!(
        failed.out.lines().any(|line| line == difference),
        "{}",
        failed.out
    );
    assert!(
        failed
            .out
            .contains("osier check --update --ask ps --golden"),
        "{}",
        failed.out
    );
    assert!(
        failed.errors.contains("2 tables of 1 snapshot, 1 not as"),
        "{}",
        failed.errors
    );

    // The same as rows, and as an annotation at the golden row.
    let rows = copied.check(&["--ask", "ps", "--format", "jsonl"]);
    let row: serde_json::Value = serde_json::from_str(&rows.out).unwrap();
    assert_eq!(row["line"], line);
    assert_eq!(row["field"], "name");
    assert_eq!(
        (&row["was"], &row["now"]),
        (&"\"spinnex-0\"".into(), &"\"spinner-0\"".into())
    );
    let annotated = copied.check(&["--ask", "ps", "--github"]).out;
    let file = copied.rows("ps");
    let start = format!(
        "::error file={},line={line},title=osier check%3A ps of ",
        file.display()
    );
    assert!(annotated.starts_with(&start), "{annotated}");

    // The field may be left out, but not by another name.
    assert_eq!(
        copied.check(&["--ask", "ps", "--ignore", "ps.name"]).status,
        0
    );
    let other = copied.check(&["--ask", "ps", "--ignore", "maps.name,naem"]);
    assert_eq!(other.status, 1);
    assert!(
        other
            .errors
            .contains("--ignore naem: no row has such a field"),
        "{}",
        other.errors
    );
    assert_eq!(copied.check(&["--ignore", "processes.name"]).status, 2);

    let updated = copied.check(&["--update"]);
    assert_eq!(updated.status, 0, "{}", updated.errors);
    assert_eq!(fs::read(copied.rows("ps")).unwrap(), before);
    assert_eq!(
        updated.errors.matches(" written\n").count(),
        1,
        "{}",
        updated.errors
    );
    assert_eq!(copied.check(&[]).status, 0);
}

#[test]
fn a_missing_file_fails_with_the_command_that_makes_it() {
    let copied = Copied::new("missing");
    fs::remove_dir_all(copied.folder.join(NAME)).unwrap();
    let missing = copied.check(&["--ask", "modules"]);
    assert_eq!(missing.status, 1);
    assert!(
        missing.out.contains("there is no golden file"),
        "{}",
        missing.out
    );
    let (_, command) = missing
        .out
        .split_once("to keep the new rows: osier ")
        .unwrap();
    let words = command
        .trim()
        .split(' ')
        .map(|word| word.trim_matches('\''));
    let update = command::run(words, "check-cache");
    assert_eq!(update.status.code(), Some(0));
    assert_eq!(copied.check(&["--ask", "modules"]).status, 0);
    // Only what was asked for was written.
    assert_eq!(fs::read_dir(copied.folder.join(NAME)).unwrap().count(), 1);
}

#[test]
fn losses_make_the_status_3_and_a_snapshot_that_does_not_open_fails_alone() {
    let copied = Copied::new("partial");
    // What the core does not hold cannot be read: the types of the questions it was distilled for
    // are there, the page tables of the processes' lower halves are not.
    let pages = copied.check(&["--ask", "pages", "--update"]);
    assert_eq!(pages.status, 3, "{}", pages.errors);
    assert_eq!(copied.check(&["--ask", "pages"]).status, 3);
    assert_eq!(copied.check(&["--ask", "pages", "--strict"]).status, 1);
    assert_eq!(copied.check(&["--ask", "pages", "--partial-ok"]).status, 0);
    // A table with a golden file is asked for unasked.
    assert_eq!(copied.check(&[]).status, 3);

    fs::write(copied.folder.join("broken.elf"), b"\x7fELF").unwrap();
    let broken = copied.check(&["--ask", "ps"]);
    assert_eq!(broken.status, 1);
    assert!(
        broken.out.contains("broken.elf: at file offset 0x4: "),
        "{}",
        broken.out
    );
    assert!(
        broken.errors.contains("2 tables of 2 snapshots, 1 not as"),
        "{}",
        broken.errors
    );
}

#[test]
fn the_junit_file_counts_what_it_tells() {
    let copied = Copied::new("junit");
    copied.change("ps", "spinner-0", "<&\\\">\\u001b\\uffff");
    fs::remove_file(copied.rows("current")).unwrap();
    fs::write(copied.folder.join("broken.elf"), b"\x7fELF").unwrap();
    let file = copied.folder.join("junit.xml");
    let failed = copied.check(&["--junit", file.to_str().unwrap()]);
    assert_eq!(failed.status, 1);
    let xml = fs::read_to_string(&file).unwrap();
    assert!(
        xml.contains(r#"tests="13" failures="2" errors="0""#),
        "{xml}"
    );
    assert!(
        xml.contains(r#"tests="1" failures="0" errors="1""#),
        "{xml}"
    );
}

/// Golden rows lie in their folder, whatever a snapshot is called and wherever links lead.
#[test]
#[cfg(unix)]
fn nothing_is_written_outside_of_the_golden_folder() {
    let copied = Copied::new("outside");
    let folder = &copied.folder;
    let core = folder.join(format!("{NAME}.elf"));
    let inner = folder.join("inner");
    for name in ["...elf", "..elf", ".hidden.elf", ".elf"] {
        let snapshot = folder.join(name);
        fs::copy(&core, &snapshot).unwrap();
        let words = [
            "check",
            snapshot.to_str().unwrap(),
            "--golden",
            inner.to_str().unwrap(),
        ];
        let output = command::run(
            words.iter().chain(&["--update", "--ask", "ps"]),
            "check-cache",
        );
        assert_eq!(output.status.code(), Some(2), "{name}");
        fs::remove_file(snapshot).unwrap();
    }
    assert!(!inner.exists() && !folder.join("ps.jsonl").exists());
    // A link out of the folder, for the rows of a snapshot or for one table.
    let outside = folder.join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(inner.join(NAME)).unwrap();
    let words = [
        "check",
        core.to_str().unwrap(),
        "--golden",
        inner.to_str().unwrap(),
    ];
    let update = || {
        command::run(
            words.iter().chain(&["--update", "--ask", "ps"]),
            "check-cache",
        )
    };
    std::os::unix::fs::symlink(outside.join("ps.jsonl"), inner.join(NAME).join("ps.jsonl"))
        .unwrap();
    assert_eq!(update().status.code(), Some(1));
    fs::remove_dir_all(inner.join(NAME)).unwrap();
    std::os::unix::fs::symlink(&outside, inner.join(NAME)).unwrap();
    assert_eq!(update().status.code(), Some(1));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(inner.join(NAME)).unwrap();
    assert_eq!(update().status.code(), Some(0));
    assert!(inner.join(NAME).join("ps.jsonl").is_file());
}
