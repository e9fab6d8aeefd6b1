//! `osier dump`: what is written of snapshots that hold a part of memory, and how what is missing is said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;
mod dumped;

use std::path::{Path, PathBuf};
use std::process::Output;

use dumped::Core;
use osier::osier_memory::VirtAddr;
use osier::{Guest, Options};

const CACHE: &str = "dump";

fn golden(name: &str) -> PathBuf {
    osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"))
}

fn out(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What `osier dump SNAPSHOT WORDS -o OUT` says.
fn dump(snapshot: &Path, words: &[&str], out: &Path) -> (Output, String) {
    let arguments = [
        "dump",
        snapshot.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ];
    let output = command::run(arguments.iter().chain(words), CACHE);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

#[test]
fn what_a_snapshot_lacks_has_no_bytes_and_is_told() {
    for (name, wide) in [("deb12-6.1-amd64", true), ("deb11-5.10-686", false)] {
        let (snapshot, core) = (golden(name), out(&format!("{name}.core")));
        let (output, said) = dump(&snapshot, &["--pid", "1"], &core);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains("missing: 0x") && said.contains("left out by the writer of the dump"),
            "{said}"
        );
        assert!(said.contains("pages could not be read"), "{said}");

        let core = Core::read(&std::fs::read(&core).unwrap());
        assert_eq!(core.wide, wide);
        let guest = Guest::open(&snapshot, &Options::default()).unwrap();
        let process = guest
            .processes()
            .find(|process| process.pid == Ok(1))
            .unwrap();
        let space = guest.provider().address_space(process.taskd).unwrap();
        let mut with_bytes = 0;
        for segment in &core.segments {
            for (nth, page) in segment.bytes.chunks(4096).enumerate() {
                let mut own = [0; 4096];
                let at = VirtAddr(segment.start + nth as u64 * 4096);
                if space.read(at, &mut own).is_ok() {
                    assert!(page == own, "{at}");
                    with_bytes += 1;
                } else {
                    // Promised, and never touched.
                    assert!(page.iter().all(|byte| *byte == 0), "{at}");
                }
            }
        }
        assert!(with_bytes > 0, "{name}: no page at all");
        let lost = core
            .segments
            .iter()
            .filter(|segment| segment.bytes.is_empty())
            .count();
        assert!(lost > 0, "{name}: nothing is missing");
        // The segments are the mappings, in their order.
        let mut next = 0;
        for segment in &core.segments {
            assert!(segment.start >= next);
            next = segment.start + segment.memory;
        }
    }
}

#[test]
fn a_file_appears_whole_or_not_at_all_and_never_over_what_is_read() {
    let snapshot = golden("deb12-6.1-amd64");
    let copy = out("dump-copy.elf");
    std::fs::copy(&snapshot, &copy).unwrap();
    let (output, said) = dump(&copy, &["--pid", "1"], &copy);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("this is the snapshot itself"), "{said}");
    assert!(std::fs::read(&copy).unwrap() == std::fs::read(&snapshot).unwrap());

    let nowhere = out("no-such-folder/core");
    let (output, said) = dump(&snapshot, &["--pid", "1"], &nowhere);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!nowhere.exists());
}

#[test]
fn what_cannot_be_dumped_says_why() {
    let snapshot = golden("deb12-6.1-amd64");
    let never = out("dump-never");
    for (words, status, wanted) in [
        (&[][..], 2, "nothing says what to dump"),
        (&["--pid", "1", "--format", "json"], 2, "no rows"),
        (&["--exe"], 2, "--pid"),
        (&["--range", "2-1"], 2, "is no range"),
        (&["--pid", "1", "--module", "x"], 2, "cannot be used with"),
        (&["--pid", "999999"], 1, "no process"),
        (&["--pid", "2"], 1, "a thread of the kernel"),
        (
            &["--module", "no such module"],
            1,
            "no module is called no such module",
        ),
    ] {
        let (output, said) = dump(&snapshot, words, &never);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(wanted), "{words:?}: {said}");
        assert!(!never.exists(), "{words:?}");
    }
}

#[test]
fn a_range_has_holes_where_nothing_is() {
    let snapshot = golden("deb12-6.1-amd64");
    let guest = Guest::open(&snapshot, &Options::default()).unwrap();
    let process = guest
        .processes()
        .find(|process| process.pid == Ok(1))
        .unwrap();
    let space = guest.provider().address_space(process.taskd).unwrap();
    let page = guest.pages(process.taskd).find_map(|page| {
        let mut byte = [0];
        space.read(page.start, &mut byte).ok().map(|()| page.start)
    });
    let page = page.unwrap();
    // From the middle of a page on, into what follows.
    let file = out("dump-range");
    let range = format!("{:x}-{:x}", page.0 + 0x800, page.0 + 0x800 + 0x2000);
    let (output, said) = dump(&snapshot, &["--pid", "1", "--range", &range], &file);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.len(), 0x2000);
    let mut own = [0; 0x800];
    space.read(VirtAddr(page.0 + 0x800), &mut own).unwrap();
    assert!(bytes[..0x800] == own);
    // Where no mapping is, nothing is.
    let (output, said) = dump(&snapshot, &["--pid", "1", "--range", "1000-3000"], &file);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("missing: 0x1000-0x3000: 2 pages: no mapping is there"),
        "{said}"
    );
    // The kernel's addresses need no process.
    let task = process.taskd.0 & !0xfff;
    let range = format!("{task:x}-{:x}", task + 0x1000);
    let (output, said) = dump(&snapshot, &["--range", &range], &file);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut own = [0; 0x1000];
    guest
        .provider()
        .kernel_space()
        .read(VirtAddr(task), &mut own)
        .unwrap();
    assert!(std::fs::read(&file).unwrap() == own);
}

/// What cannot be recovered is said by its reason, and no file is left.
#[test]
fn a_file_that_is_not_kept_is_not_written() {
    let snapshot = golden("deb12-6.1-amd64");
    let recover = |words: &[&str]| {
        let arguments = ["recover", snapshot.to_str().unwrap()];
        let output = command::run(arguments.iter().chain(words), CACHE);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    };
    let file = out("not-kept");
    let out = file.to_str().unwrap();
    for (words, status, what) in [
        (&["--pid", "1"][..], 2, "are of no process"),
        (&["--file", "/etc/passwd"], 2, "-o FILE says where"),
        (&["-o", out], 2, "nothing says which file"),
        (
            &["--file", "/x", "-o", out, "--sort", "size"],
            2,
            "no conditions",
        ),
        (
            &["--file", "/etc/passwd", "-o", out],
            1,
            "could not be read to its end",
        ),
        (&[], 3, "ended badly"),
    ] {
        let (code, said) = recover(words);
        assert_eq!(code, status, "{words:?}: {said}");
        assert!(said.contains(what), "{words:?}: {said}");
    }
    assert!(!file.exists());
}
