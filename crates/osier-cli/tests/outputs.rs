//! `-o` does what `cp` would, and leaves nothing else behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod command;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use command::run;

const CACHE: &str = "outputs";

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("output-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn golden() -> PathBuf {
    osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64-events-a.elf")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `osier WORDS SNAPSHOT -o OUT`.
fn write(words: &str, out: &Path) -> Output {
    let golden = golden();
    let words: Vec<&str> = words.split(' ').collect();
    let paths = [golden.to_str().unwrap(), "-o", out.to_str().unwrap()];
    run(words.into_iter().chain(paths), CACHE)
}

/// Whether all was written; raw memory shows as zeros what the golden snapshot left out, which is told by the status.
fn done(output: &Output) -> bool {
    let told = errors(output).contains("left out stand as zeros");
    output.status.code() == Some(if told { 3 } else { 0 })
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const HOW: [&str; 4] = [
    "export --to elf",
    "export --to raw",
    "export --to lime",
    "distill --ask ps",
];

#[test]
fn pipes_links_and_devices_take_what_a_file_does() {
    let folder = folder("kinds");
    for how in HOW {
        let plain = folder.join("plain");
        assert!(done(&write(how, &plain)));
        let expected = fs::read(&plain).unwrap();

        assert!(done(&write(how, Path::new("/dev/null"))), "{how}");
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
        let full = write(how, Path::new("/dev/full"));
        assert_eq!(full.status.code(), Some(1), "{how}");
        let text = errors(&full);
        assert!(
            text.starts_with("osier: /dev/full: No space left on device"),
            "{text}"
        );

        let stdout = write(how, Path::new("/dev/stdout"));
        assert!(done(&stdout) && stdout.stdout == expected, "{how}");

        symlink("target", folder.join("link")).unwrap();
        assert!(done(&write(how, &folder.join("link"))));
        assert!(folder.join("link").is_symlink());
        assert!(
            fs::read(folder.join("target")).unwrap() == expected,
            "{how}"
        );

        fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(done(&write(how, &plain)));
        let mode = fs::metadata(&plain).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{how}");
        assert_eq!(names(&folder), ["link", "plain", "target"]);
        for name in names(&folder) {
            fs::remove_file(folder.join(name)).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_written_says_why_once() {
    let folder = folder("refused");
    for how in HOW {
        for (out, why) in [
            ("no/file", "No such file or directory"),
            ("", "is a directory"),
        ] {
            let out = folder.join(out);
            let said = write(how, &out);
            assert_eq!(said.status.code(), Some(1));
            let text = errors(&said);
            let begins = format!("osier: {}: ", out.display());
            assert!(text.starts_with(&begins), "{text}");
            assert!(text.to_lowercase().contains(&why.to_lowercase()), "{text}");
            assert_eq!(text.matches(out.to_str().unwrap()).count(), 1, "{text}");
        }
    }
    // A verdict that cannot be written is no empty file for whoever collects them.
    let golden = osier_testkit::data::workspace().join("snapshots");
    let check = ["check", "--ask", "ps", "--golden"].map(std::ffi::OsStr::new);
    let junit = folder.join("no/j.xml");
    let paths = [golden.as_os_str(), self::golden().leak().as_os_str()];
    let said = run(
        check
            .into_iter()
            .chain(paths)
            .chain(["--junit".as_ref(), junit.as_os_str()]),
        CACHE,
    );
    assert_eq!(said.status.code(), Some(1));
    let text = errors(&said);
    assert!(text.contains("j.xml: No such file or directory"), "{text}");
    assert_eq!(names(&folder), [""; 0]);
}

/// By none of its names.
#[test]
fn a_snapshot_is_not_written_over_itself() {
    let folder = folder("same");
    let snapshot = folder.join("a.elf");
    fs::copy(golden(), &snapshot).unwrap();
    fs::hard_link(&snapshot, folder.join("hard.elf")).unwrap();
    symlink("a.elf", folder.join("soft.elf")).unwrap();
    let bytes = fs::read(&snapshot).unwrap();
    for how in HOW {
        for out in ["a.elf", "hard.elf", "soft.elf"] {
            let words: Vec<&str> = how.split(' ').collect();
            let out = folder.join(out);
            let paths = [snapshot.to_str().unwrap(), "-o", out.to_str().unwrap()];
            let said = run(words.into_iter().chain(paths), CACHE);
            assert_eq!(said.status.code(), Some(1));
            assert!(
                errors(&said).contains("this is the snapshot itself"),
                "{how}"
            );
        }
    }
    assert!(fs::read(&snapshot).unwrap() == bytes);
}

/// Ended by a signal, a command leaves neither a partial file nor half of one under its name.
#[test]
fn a_signal_leaves_nothing() {
    let folder = folder("signal");
    let fifo = folder.join("in");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for signal in ["-INT", "-TERM", "-KILL"] {
        // A large sparse memory takes a while to be written.
        let raw = folder.join("large.raw");
        let file = fs::File::create(&raw).unwrap();
        file.set_len(40 << 30).unwrap();
        let out = folder.join("out.lime");
        // Who runs the tests in the background may have them ignore signals, and the command would, too.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_osier")])
            .args(["export", "--to", "lime"])
            .args([&raw, Path::new("-o"), &out])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while names(&folder).len() < 3 && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(names(&folder).len(), 3, "a partial file beside the others");
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(!child.wait().unwrap().success());
        if signal == "-KILL" {
            // Whoever writes the same file next cleans up.
            assert!(done(&write("export --to lime", &out)));
            fs::remove_file(&out).unwrap();
        }
        assert_eq!(names(&folder), ["in", "large.raw"], "{signal}");
    }
    fs::remove_file(folder.join("large.raw")).unwrap();
}

/// What is read is never written over, by whatever name it is called and whichever output it is.
#[test]
fn no_output_goes_over_what_is_read() {
    let folder = folder("over");
    let put = |name: &str, from: &Path| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(from, &file).unwrap();
    };
    let symbols = osier_testkit::data::workspace().join("symbols");
    let profile = fs::read_dir(symbols).unwrap();
    let mut profiles = profile.map(|entry| entry.unwrap().path());
    let profile = profiles.find(|file| file.extension().is_some_and(|end| end == "osp"));
    put("a.elf", &golden());
    put("v/w.vmss", &golden());
    put("v/w.vmem", &golden());
    put("runs/ps.jsonl", &golden());
    put("p.osp", &profile.unwrap());
    fs::write(folder.join("System.map"), "ffffffff81000000 T _text\n").unwrap();
    fs::write(folder.join("r.txt"), "CPU#0\nRAX=0000000000000000\n").unwrap();
    symlink("a.elf", folder.join("link.elf")).unwrap();
    let asked = [
        ("distill a.elf --ask ps -o a.elf", "a.elf"),
        ("distill a.elf --ask ps -o link.elf", "a.elf"),
        ("distill a.elf --ask ps --registers r.txt -o r.txt", "r.txt"),
        ("distill a.elf --ask ps --profile p.osp -o p.osp", "p.osp"),
        ("distill v/w.vmem --ask ps -o v/w.vmss", "v/w.vmss"),
        ("export a.elf --to raw -o link.elf", "a.elf"),
        ("export a.elf --to raw --profile p.osp -o p.osp", "p.osp"),
        (
            "check a.elf --golden gg --update --ask ps --junit a.elf",
            "a.elf",
        ),
        ("timeline a.elf --svg link.elf", "a.elf"),
        ("profile export p.osp --to isf -o p.osp", "p.osp"),
        ("profile import System.map -o System.map", "System.map"),
        ("run runs -o runs --tables ps", "runs/ps.jsonl"),
    ];
    for (words, kept) in asked {
        let before = fs::read(folder.join(kept)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
        command.args(words.split(' ')).current_dir(&folder);
        let told = command.env("XDG_CACHE_HOME", folder.join("cache")).output();
        let told = told.unwrap();
        assert_eq!(told.status.code(), Some(1), "{words}");
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(said.contains("another"), "{words}: {said}");
        assert!(fs::read(folder.join(kept)).unwrap() == before, "{words}");
    }
    // Golden rows are not the report's place either.
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    let words = "check a.elf --golden gg --update --ask ps";
    command.args(words.split(' ')).current_dir(&folder);
    assert!(command.output().unwrap().status.success());
    let rows = fs::read(folder.join("gg/a/ps.jsonl")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    let words = "check a.elf --golden gg --ask ps --junit gg/a/ps.jsonl";
    command.args(words.split(' ')).current_dir(&folder);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert!(fs::read(folder.join("gg/a/ps.jsonl")).unwrap() == rows);
}

/// A run into `out`, of one snapshot and one table.
fn run_into(out: &Path, more: &[&str]) -> Output {
    let golden = golden();
    let words = ["run", golden.to_str().unwrap(), "--tables", "ps", "-o"];
    run([&words[..], &[out.to_str().unwrap()], more].concat(), CACHE)
}

#[test]
fn tables_go_where_links_lead() {
    let out = folder("table-links");
    let (tables, elsewhere) = (out.join("tables"), out.join("elsewhere"));
    fs::create_dir_all(&tables).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    let (link, real) = (tables.join("ps.jsonl"), elsewhere.join("real.jsonl"));
    symlink(&real, &link).unwrap();
    let ran = run_into(&tables, &[]);
    assert!(ran.status.success(), "{}", errors(&ran));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("event-doomed"));

    // A link to a folder that is not there, and a folder of that name, before anything is read.
    for broken in [true, false] {
        fs::remove_file(&link).unwrap();
        if broken {
            symlink(out.join("nowhere/ps.jsonl"), &link).unwrap();
        } else {
            fs::create_dir(&link).unwrap();
        }
        let ran = run_into(&tables, &[]);
        assert_eq!(ran.status.code(), Some(1));
        let said = errors(&ran);
        assert!(
            said.contains("ps.jsonl: ") && said.contains("nothing was begun"),
            "{said}"
        );
    }
}

#[test]
fn what_others_left_in_the_work_folder_stays() {
    let out = folder("foreign");
    let work = out.join(".osier-run");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("journal"), "of another run").unwrap();
    fs::write(work.join("my-notes"), "keep").unwrap();
    let ran = run_into(&out, &["--fresh"]);
    assert!(ran.status.success(), "{}", errors(&ran));
    assert_eq!(names(&work), ["my-notes"]);
}

#[test]
fn a_pipe_is_told_its_bytes_and_a_full_disk_its_help() {
    let golden = golden();
    let words = [
        "export",
        "--to",
        "lime",
        golden.to_str().unwrap(),
        "-o",
        "/dev/stdout",
    ];
    let exported = run(words, CACHE);
    let bytes = format!(" in {} bytes", exported.stdout.len());
    assert!(errors(&exported).contains(&bytes), "{}", errors(&exported));
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        let mut help = Command::new(env!("CARGO_BIN_EXE_osier"));
        let help = help.arg("--help").stdout(full).output().unwrap();
        assert_eq!(help.status.code(), Some(1), "{}", errors(&help));
    }
}

#[test]
fn a_snapshot_is_no_list_of_paths() {
    let golden = golden();
    let out = folder("no-list");
    let words = ["run", "--inputs-from", golden.to_str().unwrap(), "-o"];
    let refused = run(words.into_iter().chain([out.to_str().unwrap()]), CACHE);
    assert_eq!(refused.status.code(), Some(1));
    let said = errors(&refused);
    assert!(
        said.contains("this is no list of paths") && said.lines().count() == 1,
        "{said}"
    );
}
