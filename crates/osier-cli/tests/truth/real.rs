//! The command's rows on the real snapshots against what the guests said of themselves.
//!
//! Every container of every snapshot is asked with an empty cache and no profile; i386 kernels
//! carry no types, so there the profiles that ship with Osier serve. With
//! `OSIER_WRITE_VALIDATION=1` the table in `docs/validation.md` is written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_testkit::data;
use osier_testkit::need::{self, Need};
use osier_testkit::truth::{self, Tally, Truth};
use serde_json::Value;

osier_testkit::trials! {
    all() => rows_agree_with_the_guests_own_truth;
}

/// All snapshots at once: they make one table.
fn all() -> Need {
    let snapshots = SNAPSHOTS.iter().map(|name| need::snapshot(name));
    snapshots.reduce(Need::and).unwrap()
}

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];
const TABLES: &[&str] = &["ps", "threads", "modules", "maps"];

/// One line of the table in `docs/validation.md`.
struct Outcome {
    snapshot: &'static str,
    container: &'static str,
    table: &'static str,
    tally: Tally,
}

/// i386 kernels carry no types: there, and only there, the shipped profiles serve.
fn i386(snapshot: &Path) -> bool {
    snapshot
        .components()
        .any(|part| part.as_os_str().display().to_string().contains("-686"))
}

/// The rows of one table; the command's own words when it did not end well.
fn ask(table: &str, snapshot: &Path, cache: &Path) -> Result<Vec<Value>, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args([table, "--format", "jsonl"])
        .args((!i386(snapshot)).then_some("--no-shipped"))
        .arg(snapshot)
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    if output.status.code() != Some(0) {
        return Err(format!("{}: {errors}", output.status));
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect())
}

fn rows_agree_with_the_guests_own_truth() {
    let mut outcomes = Vec::new();
    for snapshot in SNAPSHOTS.iter().copied() {
        let folder = data::folder(snapshot).unwrap();
        let truth = Truth::read(&folder.join("truth"));
        for container in data::containers(snapshot).iter().copied() {
            let file = folder.join(container);
            assert!(file.exists(), "{} is not there", file.display());
            let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("truth-cache-{snapshot}-{container}"));
            let _ = std::fs::remove_dir_all(&cache);
            for table in TABLES.iter().copied() {
                let tally = match ask(table, &file, &cache) {
                    Ok(rows) => truth::of(table)(&truth, &rows),
                    Err(words) => Tally {
                        wrong: vec![words],
                        ..Tally::default()
                    },
                };
                outcomes.push(Outcome {
                    snapshot,
                    container,
                    table,
                    tally,
                });
            }
        }
    }
    if std::env::var_os("OSIER_WRITE_VALIDATION").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/validation.md");
        // What follows the table is written by hand.
        let old = std::fs::read_to_string(&path).unwrap();
        let rest = old.find("\n# PANDA").map_or("", |at| &old[at..]);
        std::fs::write(path, report(&outcomes) + rest).unwrap();
    }
    let wrong: Vec<String> = outcomes
        .iter()
        .flat_map(|o| {
            let place = format!("{} {} {}", o.snapshot, o.container, o.table);
            o.tally
                .wrong
                .iter()
                .map(move |text| format!("{place}: {text}"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn report(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "# Validation\n\n\
         Rows of the command against what the guests said of themselves (`/proc`, moments before \
         they were stopped), for each real snapshot in each container. amd64 snapshots are read \
         with an empty cache and no symbol file. Written by `cargo xtask validate`.\n\n\
         | snapshot | container | table | compared | equal | excused | wrong |\n\
         |---|---|---|--:|--:|--:|--:|\n",
    );
    let mut reasons: Vec<&str> = Vec::new();
    for o in outcomes {
        let mut excused = Vec::new();
        for (reason, count) in &o.tally.excused {
            let number = reasons
                .iter()
                .position(|known| known == reason)
                .unwrap_or_else(|| {
                    reasons.push(reason);
                    reasons.len() - 1
                });
            excused.push(format!("{count} [{}]", number + 1));
        }
        let excused = if excused.is_empty() {
            "0".to_owned()
        } else {
            excused.join(", ")
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {excused} | {} |",
            o.snapshot,
            o.container,
            o.table,
            o.tally.compared(),
            o.tally.equal,
            o.tally.wrong.len()
        );
    }
    text.push_str("\nExcuses:\n\n");
    for (at, reason) in reasons.iter().enumerate() {
        let _ = writeln!(text, "{}. {reason}", at + 1);
    }
    text.push_str(PANDA);
    text
}

/// What is compared with PANDA itself, by `tests/panda_real.rs`.
const PANDA: &str = "
# PANDA

`cargo test -p osier-cli --test panda_real` holds `osier osi-test` on three PANDA recordings (4-level, \
2-level i386, and 4-level with KASLR and KPTI stopped in user mode) to PANDA's own answers at \
instruction 0, byte for byte: current process, process list in PANDA's order, the current process's \
libraries. No line differs. What PANDA prints by fault is printed so by `osi-test` alone:

- a current process with pid 0 is `N/A`, though it has a name (`osi_test.c` takes pid 0 for none);
- `[vdso]`, `[vvar]` and every mapping without a file but heap and stack are `[???]` (`osi_linux` \
knows no other names);
- a file's path lacks its mounts and ` (deleted)` (`osi_linux` follows dentries only);
- no modules (`osi_linux` registers no answer for them).

PANDA's use of freed memory in mapping names, and its asserts on KASLR and KPTI, are not reproduced. \
The first block that `osi_test` printed for the i386 recording is of its first task switch, not of \
instruction 0: its lists are the same, its current process is the one switched to.
";
