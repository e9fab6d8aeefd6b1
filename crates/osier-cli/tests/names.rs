//! Whatever files are called: nothing hidden reaches a terminal, and a message names its file once and
//! gives a reason.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(unix)]

mod command;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Output;

const CACHE: &str = "names";

/// Names, and how each is shown.
const ODD: [(&[u8], &str); 12] = [
    (b"plain", "plain"),
    (b"esc\x1b[2J", r"esc\u{1b}[2J"),
    (b"bell\x07", r"bell\u{7}"),
    (b"del\x7f", r"del\u{7f}"),
    (b"csi\xc2\x9b31m", r"csi\u{9b}31m"),
    (b"a\xe2\x80\xaegnp", r"a\u{202e}gnp"),
    (b"b\xe2\x81\xa6x", r"b\u{2066}x"),
    (b"zero\xe2\x80\x8bwidth", r"zero\u{200b}width"),
    (b"line\xe2\x80\xa8sep", r"line\u{2028}sep"),
    (b"new\nosier: all well", r"new\u{a}osier: all well"),
    (br"back\x41", r"back\\x41"),
    (b"raw\xff: x", r"raw\xff: x"),
];

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("names-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn named(name: &[u8], ending: &str) -> OsString {
    OsString::from_vec([name, ending.as_bytes()].concat())
}

fn golden() -> PathBuf {
    osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64-events-a.elf")
}

/// Runs `osier`, and holds that nothing hidden is said.
fn said(words: &[&OsStr]) -> (Output, String) {
    let output = command::run(words, CACHE);
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{words:?}: {stream}"));
        let hidden = text
            .chars()
            .find(|&c| c != '\n' && osier_text::is_hidden(c));
        assert_eq!(hidden, None, "{words:?}: {stream}: {text:?}");
    }
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for line in errors.lines() {
        assert!(
            line.starts_with("osier: ") && !line.starts_with("osier: all well"),
            "{words:?}: {line}"
        );
    }
    (output, errors)
}

fn words<'a>(line: &'a str, snap: &'a Path, out: &'a Path) -> Vec<&'a OsStr> {
    let put = |word: &'a str| match word {
        "SNAP" => snap.as_os_str(),
        "OUT" => out.as_os_str(),
        word => OsStr::new(word),
    };
    line.split(' ').map(put).collect()
}

const ON_SNAPSHOTS: [&str; 16] = [
    "info SNAP",
    "info SNAP --format table",
    "ps SNAP",
    "ps SNAP --format table",
    "check SNAP --golden OUT --update --ask ps",
    "check SNAP --golden OUT --ask ps,handles",
    "check SNAP --golden OUT --ask ps,handles --github",
    "check SNAP --golden OUT --ask ps,handles --format jsonl",
    "diff SNAP SNAP",
    "timeline SNAP",
    "timeline SNAP --format table --ascii",
    "report SNAP -o OUT.html",
    "export SNAP --to elf -o OUT.elf",
    "distill SNAP --ask ps -o OUT.elf",
    "run SNAP -o OUT.run",
    "run SNAP -o OUT.run -v",
];

#[test]
fn hidden_characters_stay_in_the_file_system() {
    let folder = folder("good");
    for (name, shown) in ODD {
        let snap = folder.join(named(name, ".elf"));
        fs::copy(golden(), &snap).unwrap();
        let out = folder.join(named(name, ".out"));
        for line in ON_SNAPSHOTS {
            // Beside the folder for the rows.
            let line_out = match line.split_once("OUT.") {
                Some((_, ending)) => folder.join(named(name, &format!(".out.{ending}"))),
                None => out.clone(),
            };
            let line = ["elf", "run", "html"]
                .iter()
                .fold(line.to_owned(), |line, ending| {
                    line.replace(&format!("OUT.{ending}"), "OUT")
                });
            let (output, errors) = said(&words(&line, &snap, &line_out));
            let code = output.status.code();
            // A distilled snapshot has not all that a page asks for.
            let wanted = match line.split(' ').next() {
                Some("report") => 3,
                _ => i32::from(line.contains("handles")),
            };
            assert_eq!(code, Some(wanted), "{line}: {errors}");
            let all = String::from_utf8(output.stdout).unwrap() + &errors;
            let tells = ["info", "export", "distill", "run"];
            if tells.iter().any(|word| line.starts_with(word)) && !line.ends_with("table") {
                let quoted = shown.replace('\\', r"\\");
                let json = all.contains("\"file\"");
                assert!(json || all.contains(shown), "{line}: {all} {quoted}");
            }
        }
    }
}

const FAILING: [&str; 16] = [
    "info SNAP",
    "ps SNAP",
    "threads SNAP",
    "read SNAP 0 1",
    "osi-test SNAP",
    "check SNAP --golden OUT --update",
    "check SNAP --golden OUT --update --format jsonl",
    "diff SNAP SNAP",
    "timeline SNAP",
    "export SNAP --to raw -o OUT",
    "distill SNAP --ask ps -o OUT",
    "run SNAP -o OUT",
    "profile import SNAP -o OUT",
    "profile show SNAP",
    "profile export SNAP --to isf",
    "ps SNAP --profile SNAP",
];

/// Each message is one line with the file's name once and something more.
#[test]
fn a_message_names_its_file_once() {
    let folder = folder("bad");
    let contents: [(&str, Option<&[u8]>); 4] = [
        ("missing", None),
        ("empty", Some(b"")),
        ("text", Some(b"no snapshot, but words")),
        ("cut", Some(b"\x7fELF\x02\x01\x01")),
    ];
    for (name, shown) in ODD {
        for (ending, content) in contents {
            let path = folder.join(named(name, &format!("-{ending}.elf")));
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let out = folder.join("out");
            for line in FAILING {
                let _ = fs::remove_dir_all(&out);
                let (output, errors) = said(&words(line, &path, &out));
                let out = String::from_utf8(output.stdout).unwrap();
                let code = output.status.code();
                assert_eq!(code, Some(1), "{line} ({ending}): {out}{errors}");
                let told = format!("{shown}-{ending}.elf");
                let lines = errors.lines().chain(out.lines());
                let of_it: Vec<&str> = lines.filter(|line| line.contains(&told)).collect();
                if line.ends_with("jsonl") {
                    continue;
                }
                let [of_it] = of_it.as_slice() else {
                    panic!("{line} ({ending}): {out}{errors}");
                };
                assert_eq!(of_it.matches(&told).count(), 1, "{line}: {of_it}");
                let (_, reason) = of_it.split_once(&told).unwrap();
                assert!(reason.len() > 10, "{line}: {of_it}");
            }
        }
    }
}

/// An output that cannot be written.
#[test]
fn an_output_is_named_once_too() {
    let folder = folder("outputs");
    let golden = golden();
    for (name, shown) in ODD {
        let out = folder.join(named(name, "")).join("no/such");
        for line in [
            "export SNAP --to elf -o OUT",
            "distill SNAP --ask ps -o OUT",
            "check SNAP --golden OUT.golden --update --ask ps --junit OUT",
            "timeline SNAP --svg OUT",
            "ps SNAP --registers OUT",
        ] {
            let line = line.replace("OUT.golden", folder.join("golden").to_str().unwrap());
            let (output, errors) = said(&words(&line, &golden, &out));
            assert_eq!(output.status.code(), Some(1), "{line}: {errors}");
            assert_eq!(errors.matches(shown).count(), 1, "{line}: {errors}");
        }
    }
}

/// What is typed wrongly is repeated without what is hidden in it.
#[test]
fn a_wrong_word_is_shown() {
    for (name, _) in ODD {
        let word = OsStr::from_bytes(name);
        for before in [
            &["read", "x"][..],
            &["ps", "x", "--order"],
            &["distill", "x", "-o", "y", "--ask"],
            &["check", "x", "--golden", "y", "--ignore"],
            &["--nothing"],
        ] {
            let mut words: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
            words.push(word);
            let output = command::run(&words, CACHE);
            let text = String::from_utf8(output.stderr).unwrap();
            let hidden = text
                .chars()
                .find(|&c| c != '\n' && osier_text::is_hidden(c));
            assert_eq!(hidden, None, "{words:?}: {text:?}");
            assert!(!text.contains("\nosier: all well"), "{words:?}: {text}");
        }
    }
}

/// `timeline`, `check` and `run` take files, folders, patterns and lists of those.
#[test]
fn commands_of_many_take_the_same_paths() {
    let folder = folder("paths");
    let below = folder.join("below");
    fs::create_dir_all(&below).unwrap();
    fs::copy(golden(), below.join("a.elf")).unwrap();
    fs::write(below.join("notes.txt"), "words").unwrap();
    let list = folder.join("list");
    fs::write(&list, format!("{}\n", below.join("a.elf").display())).unwrap();
    let pattern = folder.join("*/*.elf");
    for paths in [
        vec![below.as_os_str()],
        vec![folder.as_os_str()],
        vec![pattern.as_os_str()],
        vec![OsStr::new("--inputs-from"), list.as_os_str()],
    ] {
        let (golden, out) = (folder.join(".golden"), folder.join(".out"));
        for line in [
            "check --golden SNAP --update --ask ps",
            "check --golden SNAP --ask ps",
            "timeline --format jsonl",
            "run -q -o OUT",
        ] {
            let words: Vec<&OsStr> = words(line, &golden, &out)
                .into_iter()
                .chain(paths.iter().copied())
                .collect();
            let (output, errors) = said(&words);
            assert_eq!(output.status.code(), Some(0), "{words:?}: {errors}");
        }
        assert_eq!(fs::read_dir(&golden).unwrap().count(), 1);
    }
    for command in ["check --golden OUT --update", "timeline"] {
        let nothing = folder.join("nothing");
        fs::create_dir_all(&nothing).unwrap();
        let golden = golden();
        let mut words = words(command, &golden, &folder);
        words.push(nothing.as_os_str());
        let (output, errors) = said(&words);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains("none is a snapshot"), "{errors}");
    }
}
