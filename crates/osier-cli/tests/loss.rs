//! A file that is damaged or short: every command says so on standard error and in its exit status.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use command::lie::Lie;
use command::run;

const NOTE: &str = "a QEMU note is not a processor's state of version 1";
const CUT: &str = "the file is cut short";
const CACHE: &str = "loss";

/// A folder of the test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loss-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn golden() -> Vec<u8> {
    let path = "snapshots/deb12-6.1-amd64-events-a.elf";
    fs::read(osier_testkit::data::workspace().join(path)).unwrap()
}

/// A snapshot of two processors, the second one's note of a version that there is not.
fn without_a_processor(folder: &Path) -> PathBuf {
    let mut bytes = golden();
    let notes: Vec<usize> = (0..bytes.len() - 12)
        .filter(|&at| bytes[at..].starts_with(b"QEMU\0\0\0\0\x01\0\0\0"))
        .collect();
    assert_eq!(notes.len(), 2);
    bytes[notes[1] + 8] = 9;
    let path = folder.join("note.elf");
    fs::write(&path, bytes).unwrap();
    path
}

/// A snapshot without its last page.
fn cut(folder: &Path) -> PathBuf {
    let bytes = golden();
    let path = folder.join("cut.elf");
    fs::write(&path, &bytes[..bytes.len() - 4096]).unwrap();
    path
}

fn words<'a>(line: &'a str, snapshot: &'a Path) -> Vec<&'a str> {
    let snapshot = snapshot.to_str().unwrap();
    let put = |word| if word == "SNAP" { snapshot } else { word };
    line.split(' ').map(put).collect()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Each command, on a snapshot that lacks `what`.
fn check(commands: &[&str], snapshot: &Path, what: &str) {
    for line in commands {
        let arguments = words(line, snapshot);
        let said = run(&arguments, CACHE);
        let text = errors(&said);
        assert_eq!(said.status.code(), Some(3), "{line}: {text}");
        assert!(text.contains(what), "{line}: {text}");
        let strict = run(arguments.iter().chain(&["--strict"]), CACHE);
        assert_eq!(strict.status.code(), Some(1), "{line}");
        let quiet = run(arguments.iter().chain(&["--quiet"]), CACHE);
        assert_eq!(quiet.status.code(), Some(3), "{line}");
        assert_eq!(errors(&quiet), "", "{line}");
        // How `info` met the kernel depends on what the cache knows.
        let same = quiet.stdout == said.stdout || line.starts_with("info");
        assert!(same, "{line}");
    }
}

const ASKING: [&str; 12] = [
    "info SNAP",
    "ps SNAP",
    "ps --order pid --format table SNAP",
    "handles SNAP",
    "current SNAP",
    "threads SNAP",
    "modules SNAP --format csv",
    "maps SNAP --pid 1 --format json",
    "pages SNAP --pid 1",
    "translate SNAP 0xffffffff81000000",
    "osi-test SNAP",
    "timeline SNAP",
];

#[test]
fn a_lost_processor_reaches_every_command() {
    let folder = folder("note");
    let snapshot = without_a_processor(&folder);
    check(&ASKING, &snapshot, NOTE);
    let out = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let writing = [
        format!("export SNAP --to raw -o {}", out("x.raw")),
        format!("export SNAP --to elf -o {}", out("x.elf")),
        format!("export SNAP --to lime -o {}", out("x.lime")),
        format!("distill SNAP --ask ps,current -o {}", out("d.elf")),
        format!("profile export SNAP --to kernelinfo -o {}", out("k.conf")),
        "diff SNAP SNAP".to_owned(),
    ];
    let writing: Vec<&str> = writing.iter().map(String::as_str).collect();
    check(&writing, &snapshot, NOTE);
    let golden = format!("check SNAP --golden {}", out("golden"));
    let update = format!("{golden} --update");
    check(&[&update, &golden], &snapshot, NOTE);
    let accepted = format!("{golden} --partial-ok");
    let accepted = run(words(&accepted, &snapshot), CACHE);
    assert_eq!(accepted.status.code(), Some(0));
}

#[test]
fn a_cut_file_reaches_every_command() {
    let folder = folder("cut");
    check(&ASKING, &cut(&folder), CUT);
}

#[test]
fn the_manifest_says_what_the_file_lacks() {
    let folder = folder("manifest");
    let snapshot = without_a_processor(&folder);
    let out = folder.join("out");
    let line = format!("run SNAP --tables ps,current -o {}", out.display());
    check(&[&line], &snapshot, NOTE);
    let manifest = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(entry["status"], "partial");
    assert_eq!(entry["why"][0], format!("the file: {NOTE}"));
}

/// One loss, the same exit status: a process that says of itself what cannot be.
#[test]
fn commands_agree_about_one_loss() {
    let folder = folder("agree");
    let lies: [(&str, &[u8]); 2] = [("real_parent", &[0; 8]), ("tgid", &[0xff; 4])];
    let through_processes = [
        "handles SNAP",
        "threads SNAP",
        "maps SNAP",
        "maps SNAP --pid 1",
    ];
    for (member, value) in lies {
        let mut lie = Lie::of("deb12-6.1-amd64-events-a");
        let task = lie.task(100);
        lie.poke(task, ("task_struct", member), value);
        let snapshot = lie.write(&folder.join(format!("{member}.elf")));
        check(&["ps SNAP", "osi-test SNAP"], &snapshot, "incomplete: ");
        for line in through_processes {
            let said = run(words(line, &snapshot), CACHE);
            assert_eq!(said.status.code(), Some(3), "{line}: {}", errors(&said));
        }
        // The bytes of `osi-test` are PANDA's.
        let printed = run(words("osi-test SNAP", &snapshot), CACHE).stdout;
        let text = String::from_utf8(printed).unwrap();
        assert!(text.ends_with(
            "No mapped kernel modules.\n\n-------------------------------------------------\n\n"
        ));
    }
}

/// A distilled snapshot may lack what says whether the kernel stopped: that is said, and is no loss.
#[test]
fn a_panic_that_cannot_be_told_is_said() {
    let golden = osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64.elf");
    let said = run(words("info SNAP --format json", &golden), CACHE);
    let info: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(info["kernel"]["crash"].is_null(), "{info}");
    let absent = &info["kernel"]["absent"]["crash"];
    assert_eq!(absent["cause"], "excluded", "{info}");
    assert_eq!(said.status.code(), Some(0), "{}", errors(&said));
}

/// What is made of a damaged file says that it is, and answers as the file does.
#[test]
fn distilled_and_exported_files_keep_what_was_lost() {
    let folder = folder("kept");
    let of = |name: &str, len: usize| {
        let path = folder.join(name);
        fs::write(&path, &golden()[..len]).unwrap();
        path
    };
    let whole = golden().len();
    // At the last page, inside of it, and at half.
    for (name, len) in [
        ("page.elf", whole - 4096),
        ("within.elf", whole - 1234),
        ("half.elf", whole / 2),
    ] {
        let snapshot = of(name, len);
        let rows = run(words("ps SNAP", &snapshot), CACHE);
        assert_eq!(rows.status.code(), Some(3), "{name}: {}", errors(&rows));
        for (how, made) in [
            ("distill --ask ps,maps,current", "d"),
            ("export --to elf", "x"),
        ] {
            let made = folder.join(format!("{made}-{name}"));
            let line = format!("{how} SNAP -o {}", made.display());
            check(&[&line], &snapshot, CUT);
            let after = run(words("ps SNAP", &made), CACHE);
            let text = errors(&after);
            assert_eq!(after.status.code(), Some(3), "{line}: {text}");
            assert!(
                text.contains("the snapshot that this was made from: the file is cut short"),
                "{text}"
            );
            assert!(after.stdout == rows.stdout, "{line}: other rows");
            // And what is made of that.
            let line = format!(
                "distill SNAP --ask ps -o {}",
                folder.join("again.elf").display()
            );
            check(
                &[&line],
                &made,
                "the snapshot that this was made from: the file is cut short",
            );
        }
    }
}

/// A container without words for it is made all the same, and the command says so.
#[test]
fn raw_memory_cut_at_half_can_be_distilled() {
    let folder = folder("raw");
    let raw = folder.join("whole.raw");
    let source = osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64-events-a.elf");
    let line = format!("export --to raw SNAP -o {}", raw.display());
    assert_eq!(run(words(&line, &source), CACHE).status.code(), Some(3));
    let bytes = fs::read(&raw).unwrap();
    let half = folder.join("half.raw");
    fs::write(&half, &bytes[..(bytes.len() / 2) & !4095]).unwrap();
    let rows = run(words("ps SNAP", &half), CACHE);
    assert_eq!(rows.status.code(), Some(3), "{}", errors(&rows));
    let made = folder.join("d.elf");
    let line = format!("distill SNAP --ask ps -o {}", made.display());
    let said = run(words(&line, &half), CACHE);
    assert_eq!(said.status.code(), Some(3), "{}", errors(&said));
    let after = run(words("ps SNAP", &made), CACHE);
    assert!(after.stdout == rows.stdout);
    fs::remove_file(raw).unwrap();
}

/// What no answer suffers from is told by `info` alone.
#[test]
fn a_harmless_oddity_is_no_loss() {
    let golden = "snapshots/deb12-6.1-amd64-events-a.elf";
    let golden = osier_testkit::data::workspace().join(golden);
    let info = run(words("info --format json SNAP", &golden), CACHE);
    assert_eq!(info.status.code(), Some(0));
    assert_eq!(errors(&info), "");
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["anomalies"].as_array().unwrap().len(), 1);
    assert_eq!(info["anomaly_effects"][0], "harmless");
}
