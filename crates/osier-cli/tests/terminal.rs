//! What a terminal of 80 columns shows: no line is longer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const COLUMNS: u16 = 80;

/// What `osier ARGUMENTS...` shows on a terminal, and what it says beside it.
#[expect(
    clippy::disallowed_methods,
    reason = "a terminal must be read while it is written"
)]
fn on_terminal(arguments: &[&str]) -> (String, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inner = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    command
        .args(arguments)
        .env(
            "XDG_CACHE_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("terminal"),
        )
        .env("LC_ALL", "C.UTF-8")
        .env_remove("COLUMNS")
        .env_remove("OSIER_PROFILES")
        .stdin(Stdio::null())
        .stdout(inner)
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The command has the terminal alone, so that reading ends with it.
    drop(command);
    let mut terminal = File::from(terminal);
    let shown = thread::spawn(move || {
        let (mut shown, mut some) = (Vec::new(), [0; 4096]);
        // The last read fails where the other side is closed.
        while let Ok(count @ 1..) = terminal.read(&mut some) {
            shown.extend_from_slice(some.get(..count).unwrap());
        }
        shown
    });
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(shown.join().unwrap()).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // A distilled snapshot does not hold everything.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{arguments:?}: {said}"
    );
    (plain(&shown), said)
}

/// The text without its colours.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, text)| text));
    }
    plain.replace('\r', "")
}

fn golden(name: &str) -> String {
    let folder = osier_testkit::data::workspace().join("snapshots");
    let file = folder.join(format!("{name}.elf"));
    file.to_str().unwrap().to_owned()
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    for name in ["deb11-5.10-686", "deb12-6.1-amd64"] {
        let golden = golden(name);
        for words in [
            "ps",
            "ps --tree",
            "handles",
            "current",
            "threads",
            "modules",
            "maps",
            "pages --pid 1",
            "files",
            "env",
            "log",
            "info",
            "timeline",
        ] {
            let words: Vec<&str> = words.split(' ').chain([golden.as_str()]).collect();
            let (shown, _) = on_terminal(&words);
            assert!(shown.lines().count() >= 2, "{words:?}: {shown}");
            for line in shown.lines() {
                // A path is shown whole.
                let long = line.chars().count() > usize::from(COLUMNS);
                assert!(!long || line.starts_with("file "), "{words:?}: {line}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_told_and_what_is_named_is_shown() {
    let golden = golden("deb12-6.1-amd64");
    let (shown, said) = on_terminal(&["ps", &golden]);
    assert!(said.contains("no room for taskd, asid"), "{said}");
    assert!(shown.starts_with("PID  PPID  NAME "), "{shown}");
    assert!(!shown.contains("TASKD"));
    let (shown, said) = on_terminal(&["ps", "--tree", &golden]);
    assert!(shown.contains("└─ workload"), "{shown}");
    assert!(said.contains("no room for taskd, asid, start"), "{said}");
    let (shown, said) = on_terminal(&["ps", "--columns", "pid,taskd,asid,start,name,exe", &golden]);
    assert!(shown.contains("TASKD") && shown.contains("ASID"), "{shown}");
    assert_eq!(said, "");
    let (shown, said) = on_terminal(&["ps", "--wide", &golden]);
    assert!(shown.contains("TASKD"), "{shown}");
    assert_eq!(said, "");
}
