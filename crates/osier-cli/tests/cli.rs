//! What the command does when it is used wrongly or given what is no snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn osier(args: &[&str]) -> Output {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache");
    Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(args)
        .env("XDG_CACHE_HOME", cache)
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap()
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Runs, and holds the exit status and a part of the message.
fn check(args: &[&str], code: i32, message: &str) {
    let output = osier(args);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "osier {args:?}: {errors}");
    assert!(errors.contains(message), "osier {args:?}: {errors}");
    assert!(output.stdout.is_empty(), "osier {args:?} wrote rows");
}

#[test]
fn wrong_usage_is_two() {
    check(&[], 2, "Usage");
    check(&["ps"], 2, "SNAP");
    check(&["ps", "--order", "size", "x"], 2, "possible values");
    check(&["read", "x", "zero", "1"], 2, "is no address");
    check(
        &["distill", "x", "--ask", "all", "-o", "y"],
        2,
        "no question is called `all`",
    );
}

#[test]
fn what_is_no_snapshot_is_one() {
    check(&["ps", "/nonexistent/snapshot"], 1, "/nonexistent/snapshot");
    let empty = file("empty-file", b"");
    check(&["ps", empty.to_str().unwrap()], 1, "empty");
    let packed = file("packed.xz", b"\xfd7zXZ\0\0\0\0\0\0\0");
    check(&["ps", packed.to_str().unwrap()], 1, "packed.xz");
}

#[test]
fn memory_without_a_kernel_is_one() {
    let zeros = file("zeros.raw", &vec![0; 2 << 20]);
    check(&["ps", zeros.to_str().unwrap()], 1, "no Linux kernel found");
    check(
        &["ps", "--os", "plan9", zeros.to_str().unwrap()],
        2,
        "names no operating system",
    );
}

#[test]
fn the_file_is_described_even_without_a_kernel() {
    let zeros = file("zeros-info.raw", &vec![0; 2 << 20]);
    let output = osier(&["info", zeros.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let row: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(row["kernel"], serde_json::Value::Null);
    assert_eq!(row["ram"][0]["len"], 2 << 20);
}

#[test]
fn the_shell_gets_its_scripts() {
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let output = osier(args);
        assert_eq!(output.status.code(), Some(0), "osier {args:?}");
        assert!(!output.stdout.is_empty(), "osier {args:?}");
    }
}

fn golden() -> String {
    let path = osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64.elf");
    path.to_str().unwrap().to_owned()
}

fn rows(args: &[&str]) -> Vec<u8> {
    let output = osier(args);
    assert!(output.status.success(), "osier {args:?}");
    assert!(!output.stdout.is_empty(), "osier {args:?}");
    output.stdout
}

/// An address is hexadecimal, however it is written; a length takes letters.
#[test]
fn addresses_and_sizes_are_as_people_paste_them() {
    let snap = golden();
    for at in ["400000", "0X400000"] {
        let maps = |at: &str| rows(&["maps", &snap, "--pid", "1", "--at", at]);
        assert_eq!(maps(at), maps("0x400000"));
    }
    // Whether the kernel stopped by itself cannot be told of a distilled snapshot: status 3.
    let text = osier(&["info", &snap]).stdout;
    let info: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let base = info["kernel"]["text"].as_str().unwrap();
    let bare = base.trim_start_matches("0x");
    assert_eq!(
        rows(&["translate", &snap, bare]),
        rows(&["translate", &snap, base])
    );
    let text = rows(&["handles", &snap]);
    let first = text.split(|&byte| byte == b'\n').next().unwrap();
    let handle: serde_json::Value = serde_json::from_slice(first).unwrap();
    let task = handle["taskd"].as_str().unwrap().trim_start_matches("0x");
    // Its page is among those that the snapshot holds.
    let page = format!("{}000", &task[..13]);
    let read = |len: &str| rows(&["read", &snap, &page, len]);
    assert_eq!(read("4K"), read("4096"));
    assert_eq!(read("0x1000"), read("4096"));
    check(&["read", &snap, "xyz", "1"], 2, "hexadecimal");
    check(&["read", &snap, bare, "1Q"], 2, "is no size");
    let root = info["kernel"]["root"].as_str().unwrap();
    let plain = root.trim_start_matches("0x");
    assert_eq!(rows(&["ps", &snap, "--dtb", plain]), rows(&["ps", &snap]));
}

/// The values of `field` in the rows that this writes.
fn column(args: &[&str], field: &str) -> Vec<String> {
    let text = String::from_utf8(rows(args)).unwrap();
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines()
        .map(|line| row(line)[field].to_string())
        .collect()
}

#[test]
fn lists_are_limited_and_ordered() {
    let snapshot = golden();
    let ps = |more: &[&str], field| column(&[&["ps", &snapshot], more].concat(), field);
    assert_eq!(ps(&["--pid", "1,3-4"], "pid"), ["1", "3", "4"]);
    assert_eq!(ps(&["--name", "kthread?"], "pid"), ["2"]);
    assert_eq!(
        ps(
            &[
                "--where",
                "pid <= 3 and not kernel_thread = no",
                "--sort",
                "pid:desc"
            ],
            "pid"
        ),
        ["3", "2", "0"]
    );
    assert_eq!(
        ps(&["--pid", "0-2", "--order", "pid", "--sort", "name"], "pid"),
        ["2", "1", "0"]
    );
    let args = ["ps", &snapshot, "--pid", "1", "--columns", "name,pid"];
    assert_eq!(rows(&args), b"{\"name\":\"sleep\",\"pid\":1}\n");
    // An absent value comes last in either order, and meets no condition.
    for order in ["asid", "asid:desc"] {
        let asids = ps(&["--pid", "0-3", "--sort", order], "asid");
        assert_eq!(
            asids.iter().position(|asid| asid == "null"),
            Some(1),
            "{asids:?}"
        );
    }
    assert_eq!(ps(&["--pid", "0-3", "--where", "asid != 0"], "pid"), ["1"]);
    let none = ["ps", &snapshot, "--where", "pid = 2 and not asid != 0"];
    check(&none, 0, "");
    assert_eq!(
        ps(&["--pid", "1-3", "--where", "asid is absent"], "pid"),
        ["2", "3"]
    );
    // A process's rows, by its own name where rows have none.
    let threads = column(
        &["threads", &snapshot, "--pid", "1,2", "--sort", "tid:desc"],
        "tid",
    );
    assert_eq!(threads, ["2", "1"]);
    assert_eq!(
        column(
            &["handles", &snapshot, "--name", "sleep", "--pid", "1"],
            "taskd"
        )
        .len(),
        1
    );
    // A column that `ps --wide` alone has asks for it.
    let nice = ps(
        &["--where", "pid = 3 and nice = -20", "--columns", "pid,nice"],
        "nice",
    );
    assert_eq!(nice, ["-20"]);
    let large = column(
        &["maps", &snapshot, "--where", "size > 1M", "--sort", "size"],
        "size",
    );
    let sizes: Vec<u64> = large.iter().map(|size| size.parse().unwrap()).collect();
    assert!(
        sizes.len() > 2 && sizes.is_sorted() && sizes[0] > 1 << 20,
        "{sizes:?}"
    );
    let tree = rows(&[
        "ps",
        &snapshot,
        "--tree",
        "--where",
        "pid <= 3",
        "--columns",
        "pid,name",
    ]);
    let tree = String::from_utf8(tree).unwrap();
    assert_eq!(tree.lines().count(), 5, "{tree}");
    assert!(tree.contains("└─ rcu_gp"), "{tree}");
    let csv = rows(&[
        "ps",
        &snapshot,
        "--pid",
        "0-1",
        "--columns",
        "pid",
        "--sort",
        "pid:desc",
        "--format",
        "csv",
    ]);
    assert_eq!(csv, b"pid,absent,hex\r\n1,,\r\n0,,\r\n");
}

#[test]
fn what_limits_a_list_wrongly_says_why() {
    let snapshot = golden();
    let refused = |args: &[&str], code, message| {
        let args = [&[args[0], &snapshot], &args[1..]].concat();
        check(&args, code, message);
    };
    refused(&["maps", "--pid", "99999"], 1, "no process has pid 99999");
    refused(
        &["ps", "--pid", "1,4000-5000"],
        1,
        "no process has a pid from 4000 to 5000",
    );
    refused(
        &["ps", "--where", "size > 1"],
        2,
        "`ps` has no column `size`; it has pid, ppid",
    );
    refused(&["ps", "--where", "wow64 = yes"], 2, "no column `wow64`");
    refused(
        &["ps", "--columns", "pid,exit"],
        2,
        "`ps` has no column `exit`",
    );
    refused(&["ps", "--sort", "siz"], 2, "`ps` has no column `siz`");
    refused(&["ps", "--sort", "pid:up"], 2, "`up` is no order");
    refused(&["ps", "--tree", "--sort", "pid"], 2, "cannot be used with");
    refused(
        &["ps", "--where", "pid = 1 or"],
        2,
        "a column is missing before the end",
    );
    refused(
        &["modules", "--pid", "1"],
        2,
        "these rows are of no process",
    );
    refused(&["pages"], 2, "name processes with --pid");
}

#[test]
fn what_there_is_not_is_said_in_one_sentence() {
    let snap = golden();
    check(
        &["ps", "-"],
        1,
        "-: standard input, and a snapshot is random access",
    );
    check(
        &["maps", &snap, "--pid", "999999"],
        1,
        "no process has pid 999999",
    );
    check(
        &["read", &snap, "0", "1", "--format", "json"],
        2,
        "read writes bytes",
    );
    let said = osier(&["check", &snap, "--golden", "no/such/folder"]);
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("there is no such folder of golden rows"),
        "{text}"
    );
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_snapshot() {
    let fifo = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-fifo");
    let _ = std::fs::remove_file(&fifo);
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    check(
        &["ps", fifo.to_str().unwrap()],
        1,
        "a pipe or device, and a snapshot is random access",
    );
}

#[test]
fn a_run_without_a_snapshot_is_a_failure() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-run");
    let _ = std::fs::remove_dir_all(&out);
    let said = osier(&["run", "no/such.elf", "-o", out.to_str().unwrap()]);
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("1 snapshot: 1 failed"), "{text}");
    assert_eq!(text.matches("such.elf").count(), 1, "{text}");
    let taken = file("cli-taken.pdf", b"x");
    let said = osier(&["run", &golden(), "-o", taken.to_str().unwrap()]);
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text.contains("nothing was begun"), "{text}");
}

/// A profile without anything that Osier reads does not take the place of one.
#[test]
fn an_empty_import_is_an_error() {
    let kept = file("cli-kept.osp", b"what was there");
    let out = kept.to_str().unwrap();
    let map = file(
        "cli-other.map",
        b"ffffffff81000000 T nothing_wanted\nffffffff81000010 T nor_this\n",
    );
    let import = ["profile", "import", map.to_str().unwrap(), "-o", out];
    check(&import, 1, "no type and no symbol that Osier reads");
    let isf = br#"{"metadata": {"format": "6.2.0", "linux": {}}, "base_types": {}, "enums": {}, "symbols": {},
        "user_types": {"task_struct": {"kind": "struct", "size": 9000, "fields": {
            "pid": {"offset": -1, "type": {"kind": "base", "name": "int"}}}}}}"#;
    let isf = file("cli-unknown.json", isf);
    let import = ["profile", "import", isf.to_str().unwrap(), "-o", out];
    check(&import, 1, "task_struct.pid is at -1");
    assert_eq!(std::fs::read(&kept).unwrap(), b"what was there");
}

/// PANDA takes any name of a group.
#[test]
fn a_group_may_be_called_anything() {
    let group = |name: &str, init: &str| {
        format!("[{name}]\nname = x\ntask.init_addr = {init}\ntask.size = 9000\n")
    };
    let text = [
        group("debian:5.10.0-46-amd64:64", "18446744071599112000"),
        group("debian:5.10.0-46-amd64:64:rt", "18446744071599112000"),
        group("mine", "3240000000"),
    ];
    let conf = file("cli-kernelinfo.conf", text.concat().as_bytes());
    let conf = conf.to_str().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-group.osp");
    let out = out.to_str().unwrap();
    check(
        &["profile", "import", conf, "-o", out],
        1,
        "3 kernels are described there; name one with --group: debian:5.10.0-46-amd64:64, debian:5.10.0-46-amd64:64:rt, mine",
    );
    for (name, width) in [
        ("debian:5.10.0-46-amd64:64", 64),
        ("debian:5.10.0-46-amd64:64:rt", 64),
        ("mine", 32),
    ] {
        let said = osier(&["profile", "import", conf, "--group", name, "-o", out]);
        assert!(
            said.status.success(),
            "{name}: {}",
            String::from_utf8(said.stderr).unwrap()
        );
        let shown = String::from_utf8(rows(&["profile", "show", out])).unwrap();
        assert!(shown.contains(&format!("{width} bits")), "{name}: {shown}");
    }
    check(
        &["ps", &golden(), "--profile", conf, "--group", "nobody"],
        1,
        "0 kernels of that name are described there",
    );
    check(&["ps", &golden(), "--group", "mine"], 2, "--profile");
}

/// Of what it cannot be said where it belongs, that is said.
#[test]
fn rows_in_an_order_that_was_lost_say_so() {
    // What `ps --wide` reads is not in this one whole.
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let narrow = snapshots.join("deb11-5.10-amd64.elf");
    let sorted = |column: &str| {
        let narrow = narrow.to_str().unwrap();
        let output = osier(&["ps", narrow, "--columns", "pid", "--sort", column]);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(sorted("pid"), (Some(0), String::new()));
    let (status, said) = sorted("cgroup");
    assert_eq!(status, Some(3), "{said}");
    assert!(
        said.contains("a value of `cgroup` that could not be read"),
        "{said}"
    );
    let (status, said) = sorted("tracer");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("no row has a value of `tracer`"), "{said}");
}

/// Files of two kernels make no profile.
#[test]
fn files_of_two_kernels_are_refused() {
    let symbols = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../symbols");
    let of = |name: &str| symbols.join(name).to_str().unwrap().to_owned();
    let (one, other) = (
        of("linux-5.10.0-46-amd64.osp"),
        of("linux-6.1.0-50-amd64.osp"),
    );
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-two-kernels.osp");
    let _ = std::fs::remove_file(&out);
    let import = |first: &str, second: &str, message: &str| {
        let words = ["profile", "import", first, second, "-o"];
        let args = [&words[..], &[out.to_str().unwrap()]].concat();
        check(&args, 1, message);
        assert!(!out.exists());
    };
    import(
        &one,
        &other,
        "linux-6.1.0-50-amd64.osp describe different kernels: the build is",
    );
    import(
        &one,
        &of("linux-5.10.0-32-686.osp"),
        "the width of pointers is 64 bits in the first, 32 bits in the other",
    );
    let isf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-one-kernel.json");
    let exported = [
        "profile",
        "export",
        &one,
        "--to",
        "isf",
        "-o",
        isf.to_str().unwrap(),
    ];
    assert!(osier(&exported).status.success());
    let isf = isf.to_str().unwrap();
    import(&other, isf, "the banner is Linux version 6.1");
    let map = |address: &str| {
        let map = format!("{address} T _text\n{address} D init_task\n");
        let map = file(&format!("cli-{address}.map"), map.as_bytes());
        map.to_str().unwrap().to_owned()
    };
    import(isf, &map("ffffffff81000000"), "the address of init_task is");
    // The same kernel twice is one.
    let both = ["profile", "import", &one, isf, "-o", out.to_str().unwrap()];
    let said = osier(&both);
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8(said.stderr).unwrap()
    );
}

/// What went wrong is said as it is, with the way out.
#[test]
fn messages_say_what_is_wrong_and_what_helps() {
    let snapshot = golden();
    check(
        &["maps", &snapshot, "--pid", "-1"],
        2,
        "`-1` is no process id",
    );
    check(
        &["read", &snapshot, "0", "1", "--pid", "-1"],
        2,
        "`-1` is no process id",
    );
    check(
        &["maps", &snapshot, "--pid", "99999"],
        1,
        "osier ps lists those that there are",
    );
    let golden_rows = file("cli-golden-file", b"rows");
    let golden_rows = golden_rows.to_str().unwrap();
    check(
        &["check", &snapshot, "--golden", golden_rows],
        1,
        "this is no folder; name the folder that golden rows are in",
    );
    check(
        &["ps", &snapshot, "--os", "windows"],
        1,
        "name what it is, or leave the name out",
    );
    if cfg!(unix) {
        let run = osier(&["run", &snapshot, "-o", "/dev/null"]);
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(
            said.contains("/dev/null") && said.contains("ot a directory"),
            "{said}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(["ps", &snapshot])
        .env("OSIER_PROFILES", "/nonexistent/profiles")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("OSIER_PROFILES: /nonexistent/profiles: there is no such folder"),
        "{said}"
    );
}
