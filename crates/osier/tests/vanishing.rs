//! A file that shrinks while it is read takes its bytes along, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::path::Path;

use osier::{Guest, Options};
use osier::{Process, Seen, Why};

const GOLDEN: &str = "../../snapshots/deb12-6.1-amd64.elf";

fn processes(guest: &Guest) -> (Vec<Process>, bool) {
    let mut rows = Vec::new();
    let ends = guest.provider().processes(&mut |process| {
        rows.push(process);
        ControlFlow::Continue(())
    });
    (rows, ends.is_complete())
}

fn word<T>(value: &Seen<T>) -> Option<&'static str> {
    match value {
        Err(absent) => match absent.why {
            Why::Unreadable(fault) => Some(fault.cause.word()),
            _ => None,
        },
        Ok(_) => None,
    }
}

#[test]
fn a_file_that_shrinks_is_a_fault() {
    let whole = fs::read(GOLDEN).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shrinks.elf");
    let mut short = 0;
    for part in [1, 2, 5, 9] {
        fs::write(&path, &whole).unwrap();
        let guest = Guest::open(&path, &Options::default()).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole.len() as u64 * part / 10).unwrap();
        let (rows, complete) = processes(&guest);
        // What was read before may answer; what was not is named, or its list ends badly.
        let lost = rows.iter().filter(|row| word(&row.name).is_some()).count();
        assert!(!complete || rows.iter().any(|row| word(&row.asid).is_some()) || lost > 0);
        short += rows
            .iter()
            .filter(|row| [word(&row.name), word(&row.asid)].contains(&Some("file-short")))
            .count();
    }
    assert!(short > 0);
}
