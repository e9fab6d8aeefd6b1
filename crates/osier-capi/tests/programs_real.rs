//! Programs in C over the library: each is compiled, run on snapshots, and held to what Rust says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and shows what it compared as it is"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use osier::panda::{Sentinel, osi_test};
use osier::tables::{Cell, Cells, Row};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::program("cc") => rows_are_the_tables, a_first_program_works, errors_are_told,
        eight_threads_are_answered_as_one, memory_is_read_and_misuse_refused;
    need::program("cc").and(need::library("glib-2.0")) => golden_snapshots_as_panda_shows_them;
    recordings() => a_recording_as_panda_shows_it;
}

fn recordings() -> Vec<need::Need> {
    let names = [
        "amd64-5.10",
        "i386-5.10-nonpae",
        "amd64-5.10-kaslr-pti-running",
    ];
    let all = need::each(need::snapshot, &names).into_iter();
    all.map(|one| one.and(need::program("cc")).and(need::library("glib-2.0")))
        .collect()
}

const GOLDEN: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn golden(name: &str) -> PathBuf {
    root().join(format!("snapshots/{name}.elf"))
}

/// Compiles `tests/c/NAME.c` with every warning an error; the program finds the library that was built with
/// this test.
fn compiled(name: &str, more: &[&str]) -> PathBuf {
    // Tests run side by side, and a program that runs cannot be written.
    static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut compiled = COMPILED.lock().unwrap();
    let folder = std::env::current_exe().unwrap();
    let folder = folder.parent().unwrap();
    let program = folder.join(format!("c-{name}{}", more.concat().replace('=', "-")));
    if !compiled.insert(program.clone()) {
        return program;
    }
    let glib = Command::new("pkg-config")
        .args(["--cflags", "--libs", "glib-2.0"])
        .output();
    let glib = glib.map(|said| String::from_utf8(said.stdout).unwrap());
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-O1", "-o"])
        .arg(&program)
        .args(more)
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(root().join(format!("tests/c/{name}.c")))
        .arg("-L")
        .arg(folder)
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .arg("-losier_capi")
        .args(glib.unwrap_or_default().split_whitespace())
        .status()
        .unwrap();
    assert!(status.success(), "{name} does not compile");
    program
}

fn said(program: &Path, snapshot: &Path) -> (Vec<u8>, Option<i32>) {
    let said = Command::new(program).arg(snapshot).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code().is_some(), "{errors}");
    (said.stdout, said.status.code())
}

fn line(word: &str, row: &dyn Row, wanted: &[&str], into: &mut String) {
    into.push_str(word);
    let cells = Cells::of(row);
    for name in wanted {
        let (_, cell) = cells
            .iter()
            .find(|(column, _)| column.name == *name)
            .unwrap();
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        let _ = match cell {
            Cell::Address(number) | Cell::Number(number) => write!(into, "\t{number}"),
            Cell::Instant(at) => write!(into, "\t{}", at.cast_unsigned()),
            Cell::Bytes(bytes) | Cell::Arguments(bytes) => write!(into, "\t{}", hex(bytes)),
            Cell::Word(word) => write!(into, "\t{}", hex(word.as_bytes())),
            Cell::Text(words) => write!(into, "\t{}", hex(words.as_bytes())),
            _ => write!(into, "\t-"),
        };
    }
    into.push('\n');
}

fn rows_are_the_tables(_: &Real) {
    let program = compiled("rows", &[]);
    for name in GOLDEN {
        let guest = osier::open(golden(name)).unwrap();
        let mut wanted = String::new();
        for row in guest.processes() {
            let fields = [
                "pid", "ppid", "name", "taskd", "asid", "start", "exe", "cmdline", "found_by",
            ];
            line("ps", &row, &fields, &mut wanted);
        }
        for row in guest.handles() {
            line("handles", &row, &["taskd", "asid"], &mut wanted);
        }
        for row in guest.current() {
            let fields = ["cpu", "pid", "tid", "name", "state", "task"];
            line("current", &row, &fields, &mut wanted);
        }
        for row in guest.threads(None) {
            let fields = ["pid", "tid", "name", "task", "state"];
            line("threads", &row, &fields, &mut wanted);
        }
        for row in guest.modules() {
            let fields = ["name", "base", "size", "file", "modd"];
            line("modules", &row, &fields, &mut wanted);
        }
        for row in guest.mappings(None) {
            let fields = [
                "pid", "base", "size", "name", "file", "offset", "perms", "kind",
            ];
            line("maps", &row, &fields, &mut wanted);
        }
        for row in guest.pages(None) {
            let fields = ["pid", "start", "len", "phys", "flags"];
            line("pages", &row, &fields, &mut wanted);
        }
        let (got, status) = said(&program, &golden(name));
        assert_eq!(status, Some(0), "{name}");
        assert!(String::from_utf8(got).unwrap() == wanted, "{name}");
    }
}

fn a_first_program_works(_: &Real) {
    let program = compiled("processes", &[]);
    let (got, status) = said(&program, &golden("deb12-6.1-amd64"));
    let got = String::from_utf8_lossy(&got);
    assert_eq!(status, Some(0));
    assert!(got.lines().any(|line| line == "2 0 kthreadd"), "{got}");
    assert!(got.contains("spinner-0"), "{got}");
}

fn eight_threads_are_answered_as_one(_: &Real) {
    let program = compiled("threads", &["-pthread"]);
    let (got, status) = said(&program, &golden("deb12-6.1-amd64"));
    assert_eq!(status, Some(0), "{}", String::from_utf8_lossy(&got));
}

fn errors_are_told(_: &Real) {
    let program = compiled("processes", &[]);
    let nothing = root().join("snapshots/no-such-file");
    let said = Command::new(&program).arg(&nothing).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("no-such-file"));
    let said = Command::new(&program)
        .arg(root().join("README.md"))
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(!said.stderr.is_empty());
}

fn memory_is_read_and_misuse_refused(_: &Real) {
    let program = compiled("memory", &[]);
    let (got, status) = said(&program, &golden("deb12-6.1-amd64"));
    let got = String::from_utf8_lossy(&got);
    assert_eq!(status, Some(0), "{got}");
    let begins = [
        "the banner",
        "an unknown option: 1 ",
        "no path: 1 ",
        "a page that is not mapped: 11 ",
        "no such question: 1 ",
        "a question that is not of a process: 1 ",
        "no row of another question",
        "a thread",
    ];
    assert_eq!(got.lines().count(), begins.len(), "{got}");
    for (line, begin) in got.lines().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

/// What `osier osi-test` prints, and what C prints through PANDA's own functions.
fn both(snapshot: &Path) {
    let guest = osier::open(snapshot).unwrap();
    let bits = usize::from(guest.pointer_bytes()) * 8;
    let mut wanted = Vec::new();
    let osi = guest.provider();
    osi_test(&*osi, guest.pointer_bytes(), Sentinel::Shown, &mut wanted).unwrap();
    let program = compiled("osi_test", &[&format!("-DTARGET_LONG_BITS={bits}")]);
    let (got, _) = said(&program, snapshot);
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(&wanted),
        "{}",
        snapshot.display()
    );
    // A program of the other width is refused.
    let other = compiled("osi_test", &[&format!("-DTARGET_LONG_BITS={}", 96 - bits)]);
    let refused = Command::new(other).arg(snapshot).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TARGET_LONG_BITS"));
}

fn golden_snapshots_as_panda_shows_them(_: &Real) {
    for name in GOLDEN {
        both(&golden(name));
    }
}

fn a_recording_as_panda_shows_it(real: &Real) {
    let snapshots = fs::read_dir(&real.path).unwrap();
    let snapshots: Vec<_> = snapshots
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("-rr-snp"))
        .collect();
    assert_eq!(snapshots.len(), 1);
    both(&snapshots[0]);
}
