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
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use arrow_schema::ffi::FFI_ArrowSchema;
use osier::ask::{Question, ask};
use osier::panda::{Sentinel, osi_test};
use osier::tables::Cell;
use osier_fleet::table_schema;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::program("cc") => rows_are_the_tables, a_first_program_works, errors_are_told,
        eight_threads_are_answered_as_one, memory_is_read_and_misuse_refused,
        arrow_streams_are_the_tables, an_address_is_a_snapshot, the_tree_is_drawn, fragments_of_the_page_compile;
    data() => rows_of_the_data_are_the_tables;
    need::program("cc").and(need::library("glib-2.0")) => golden_snapshots_as_panda_shows_them;
    recordings() => a_recording_as_panda_shows_it;
}

fn data() -> Vec<need::Need> {
    let names = [
        "deb11-5.10-686",
        "deb11-5.10-686-pae",
        "deb11-5.10-amd64",
        "deb12-6.1-amd64",
        "deb13-6.12-amd64",
        "amd64-5.10",
        "i386-5.10-nonpae",
        "amd64-5.10-kaslr-pti-running",
    ];
    let all = need::each(need::snapshot, &names).into_iter();
    all.map(|one| one.and(need::program("cc"))).collect()
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
    if name == "rows" {
        questions(folder);
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
        .arg("-I")
        .arg(folder)
        .arg(root().join(format!("tests/c/{name}.c")))
        .arg("-L")
        .arg(folder)
        // Before whatever cargo says where libraries are: an older build may lie there.
        .arg(format!(
            "-Wl,--disable-new-dtags,-rpath,{}",
            folder.display()
        ))
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

/// Makes `questions.h` for `rows.c`: every question, and every field of its struct.
fn questions(folder: &Path) {
    let mut text = String::new();
    for ((row, fields), question) in osier_capi::fields().into_iter().zip(Question::ALL) {
        let number = osier_capi::Question::from(question) as u32;
        let _ = writeln!(text, "BEGIN(\"{}\", {number}, {row})", question.word());
        for (bit, field) in fields.iter().enumerate() {
            let _ = writeln!(text, "FIELD({field}, {bit})");
        }
        text.push_str("END\n");
    }
    fs::write(folder.join("questions.h"), text).unwrap();
}

/// What `rows.c` prints of a guest, as Rust has it.
fn lines(guest: &osier::Guest) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let mut text = String::new();
    for ((_, fields), question) in osier_capi::fields().into_iter().zip(Question::ALL) {
        let mut lost = 0;
        let _ = ask(&*guest.provider(), question, &mut |cells| {
            lost += cells.losses();
            text.push_str(question.word());
            for field in fields {
                let cell = cells.iter().find(|(column, _)| column.name == *field);
                let _ = match cell.map(|(_, cell)| cell) {
                    Some(Cell::Address(number) | Cell::Number(number)) => {
                        write!(text, "\t{number}")
                    }
                    Some(Cell::Instant(at)) => write!(text, "\t{at}"),
                    Some(Cell::Numeral(number)) => write!(text, "\t{number}"),
                    Some(Cell::Flag(flag)) => write!(text, "\t{flag}"),
                    Some(Cell::Bytes(bytes) | Cell::Arguments(bytes)) => {
                        write!(text, "\t{}", hex(bytes))
                    }
                    Some(Cell::Word(word)) => write!(text, "\t{}", hex(word.as_bytes())),
                    Some(Cell::Text(words)) => write!(text, "\t{}", hex(words.as_bytes())),
                    Some(Cell::Absent(why)) => write!(text, "\t-{why}"),
                    Some(Cell::Null) | None => write!(text, "\t-not a field of this system"),
                };
            }
            text.push('\n');
            ControlFlow::Continue(())
        });
        let _ = writeln!(text, "{lost} lost");
    }
    text
}

/// Holds what C prints of every question to what Rust has.
fn held(snapshot: &Path) {
    let program = compiled("rows", &[]);
    let guest = osier::open(snapshot).unwrap();
    let (got, status) = said(&program, snapshot);
    assert_eq!(status, Some(0), "{}", snapshot.display());
    let (got, wanted) = (String::from_utf8_lossy(&got), lines(&guest));
    for (got, wanted) in got.lines().zip(wanted.lines()) {
        assert_eq!(got, wanted, "{}", snapshot.display());
    }
    assert_eq!(got.lines().count(), wanted.lines().count());
    assert!(wanted.lines().count() > 100);
}

fn rows_are_the_tables(_: &Real) {
    for name in GOLDEN {
        held(&golden(name));
    }
}

fn rows_of_the_data_are_the_tables(real: &Real) {
    let files = fs::read_dir(&real.path).unwrap();
    let mut found = 0;
    for path in files.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "memory.elf" || name == "memory.savevm" || name.ends_with("-rr-snp") {
            held(&path);
            found += 1;
        }
    }
    assert!(found > 0);
}

fn arrow_streams_are_the_tables(_: &Real) {
    let program = compiled("arrow", &[]);
    for name in GOLDEN {
        let guest = osier::open(golden(name)).unwrap();
        let mut wanted = String::new();
        for question in Question::ALL {
            let number = osier_capi::Question::from(question) as u32;
            let _ = write!(wanted, "{number}");
            for field in table_schema(question).fields() {
                let exported = FFI_ArrowSchema::try_from(field.as_ref()).unwrap();
                let _ = write!(wanted, " {}:{}", field.name(), exported.format());
            }
            let (mut rows, mut pids, mut lost) = (0, 0, 0);
            let _ = ask(&*guest.provider(), question, &mut |cells| {
                rows += 1;
                lost += cells.losses();
                for (column, cell) in cells.iter() {
                    if let (Cell::Number(pid), "pid") = (cell, column.name) {
                        pids += pid;
                    }
                }
                ControlFlow::Continue(())
            });
            let _ = write!(wanted, "\n{rows} rows, pids {pids}, {lost} lost\n");
        }
        wanted.push_str("no answer: 1 the answer is NULL\n");
        let (got, status) = said(&program, &golden(name));
        assert_eq!(status, Some(0), "{name}");
        let mut got: Vec<_> = std::str::from_utf8(&got).unwrap().lines().collect();
        // Questions stand by number in C, and by their order in Rust.
        let mut wanted: Vec<_> = wanted.lines().collect();
        got.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(got, wanted, "{name}");
    }
}

/// Serves a file by ranges to one program, until the test ends.
fn served(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/memory.elf", listener.local_addr().unwrap());
    let serve = move |mut stream: TcpStream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut range = None;
        while let Some(Ok(line)) = lines.next() {
            if let Some(asked) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                range = Some(asked.to_owned());
            }
            if !line.is_empty() {
                continue;
            }
            let asked = range.take().unwrap();
            let (from, to) = asked.split_once('-').unwrap();
            let from: usize = from.parse().unwrap();
            let to = to.parse::<usize>().unwrap().min(bytes.len() - 1);
            let body = &bytes[from..=to];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{to}/{}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\r\n",
                bytes.len(),
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        }
    };
    let serve = Arc::new(serve);
    std::thread::Builder::new()
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = serve.clone();
                std::thread::Builder::new()
                    .spawn(move || serve(stream))
                    .unwrap();
            }
        })
        .unwrap();
    address
}

fn an_address_is_a_snapshot(_: &Real) {
    let program = compiled("processes", &[]);
    let file = golden("deb12-6.1-amd64");
    let (wanted, _) = said(&program, &file);
    let address = served(fs::read(file).unwrap());
    let run = |address: &str| {
        let mut command = Command::new(&program);
        command.arg(address).env("NO_PROXY", "127.0.0.1");
        command.output().unwrap()
    };
    let got = run(&address);
    let errors = String::from_utf8_lossy(&got.stderr);
    assert_eq!(
        (got.status.code(), got.stdout),
        (Some(0), wanted),
        "{errors}"
    );
    // Nothing listens there.
    let nothing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let got = run(&format!("http://{}/memory.elf", nothing.unwrap()));
    assert_eq!(got.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&got.stderr);
    assert!(errors.contains("127.0.0.1"), "{errors}");
}

fn the_tree_is_drawn(_: &Real) {
    let program = compiled("tree", &[]);
    let (got, status) = said(&program, &golden("deb12-6.1-amd64"));
    let got = String::from_utf8_lossy(&got);
    assert_eq!(status, Some(0));
    assert!(got.lines().any(|line| line == "   kthreadd 2"), "{got}");
    assert!(
        got.contains("\n      ") && got.contains("spinner-0 185"),
        "{got}"
    );
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

/// The pieces of programs that `docs/c.md` shows, each in a program of its own.
fn fragments_of_the_page_compile(_: &Real) {
    let page = fs::read_to_string(root().join("docs/c.md")).unwrap();
    let glib = need::library("glib-2.0").missing().is_none();
    let folder = std::env::current_exe().unwrap();
    let folder = folder.parent().unwrap();
    let mut count = 0;
    for piece in page.split("```c\n").skip(1) {
        let piece = piece.split("```").next().unwrap();
        if piece.contains("int main") || (piece.contains("panda_osi") && !glib) {
            continue;
        }
        let (includes, rest): (Vec<_>, Vec<_>) =
            piece.lines().partition(|line| line.starts_with("#include"));
        let (includes, rest) = (includes.join("\n"), rest.join("\n"));
        let given =
            "osier_guest *guest = NULL; osier_error *error = NULL; (void)guest; (void)error;";
        let program = format!(
            "#include <stdio.h>\n#include <osier/osier.h>\n{includes}\nint main(void) {{\n{given}\n{rest}\nreturn 0;\n}}\n"
        );
        let source = folder.join(format!("fragment-{count}.c"));
        fs::write(&source, program).unwrap();
        let flags = Command::new("pkg-config")
            .args(["--cflags", "glib-2.0"])
            .output();
        let flags = flags.map(|said| String::from_utf8(said.stdout).unwrap());
        let status = Command::new("cc")
            .args([
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-Wno-unused-variable",
                "-fsyntax-only",
                "-I",
            ])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
            .args(flags.unwrap_or_default().split_whitespace())
            .arg(&source)
            .status();
        assert!(status.unwrap().success(), "{piece}");
        count += 1;
    }
    assert!(count > 0);
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
