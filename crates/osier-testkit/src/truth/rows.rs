//! Processes, threads, modules and mappings: rows against the truth.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::Tally;
use super::guest::{Truth, TruthMapping, TruthProcess};
use super::text::bytes;

/// The programs that wrote the truth; they came and went while they wrote.
const WRITERS: &[&[u8]] = &[b"tar", b"base64", b"cat", b"ls"];
const WRITER: &str = "a program that wrote the truth";
pub(super) const KERNEL_THREAD: &str = "a thread of the kernel born or gone in between";
const KWORKER: &str = "a kworker's name carries a suffix in /proc";
const BUSY: &str = "a spinner or worker of the kernel changed its state";
const WAITING: &str = "process 1 wrote the truth, and went on";
const CLOCKS: &str = "time went by between a task's start_time, which create_time is, and start_boottime, which /proc shows and start is made of";
const LONG_NAME: &str = "/proc shows a kernel thread's full name, comm holds 15 bytes of it";
pub(super) const LEADERLESS: &str = "the leader has exited and other threads have what was its own; /proc/PID asks the leader alone";
const INIT: &str = "process 1 was the shell that wrote the truth, and executed sleep after that";

fn address(row: &Value, field: &str) -> u64 {
    let text = row[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {row}"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// How a row's name stands to the one in `/proc`.
#[derive(Clone, Copy)]
enum Name {
    Equal,
    Excused(&'static str),
    Wrong,
}

fn names(truth: &[u8], row: &[u8], kernel_thread: bool) -> Name {
    const COMM: usize = 15;
    if truth == row {
        return Name::Equal;
    }
    if !kernel_thread || !truth.starts_with(row) {
        return Name::Wrong;
    }
    if row.starts_with(b"kworker/") && matches!(truth.get(row.len()), Some(b'-' | b'+')) {
        return Name::Excused(KWORKER);
    }
    if row.len() == COMM {
        Name::Excused(LONG_NAME)
    } else {
        Name::Wrong
    }
}

/// Whether `row` is what became of the shell that wrote the truth.
fn is_init(pid: u64, name: &[u8]) -> bool {
    pid == 1 && name == b"sleep"
}

fn is_writer(process: &TruthProcess) -> bool {
    WRITERS.contains(&process.comm.as_slice())
        || WRITERS.iter().any(|name| {
            process
                .cmdline
                .split(|&b| b == 0)
                .next()
                .is_some_and(|arg| arg == *name)
        })
}

/// Nanoseconds of a tick of `/proc/PID/stat`, and of a day.
const TICK: u64 = 10_000_000;
const DAY: u64 = 86_400_000_000_000;

/// The nanoseconds since midnight of a row's `start`.
fn time_of_day(row: &Value) -> Option<u64> {
    let (_, time) = row["start"].as_str()?.split_once('T')?;
    let (whole, nanoseconds) = time.strip_suffix('Z')?.split_once('.')?;
    let mut parts = whole.split(':').map(str::parse::<u64>);
    let seconds = parts.try_fold(0, |sum, part| Some(sum * 60 + part.ok()?))?;
    Some(seconds * 1_000_000_000 + nanoseconds.parse::<u64>().ok()?)
}

/// Whether a row field differs, as `name: truth / row`.
fn differs(text: &mut String, name: &str, truth: &str, row: &str) {
    if truth != row {
        let _ = write!(text, " {name}: truth {truth}, row {row};");
    }
}

/// Whether the program and its arguments differ.
fn program(wrong: &mut String, process: &TruthProcess, row: &Value) {
    differs(
        wrong,
        "exe",
        &process.exe.escape_ascii().to_string(),
        &bytes(row, "exe").escape_ascii().to_string(),
    );
    // The row shows the arguments parted by blanks; /proc ends each with a NUL.
    let mut arguments = process.cmdline.clone();
    while arguments.last() == Some(&0) {
        arguments.pop();
    }
    for byte in &mut arguments {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    let mut shown = bytes(row, "cmdline");
    while shown.last() == Some(&0) {
        shown.pop();
    }
    for byte in &mut shown {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    differs(
        wrong,
        "cmdline",
        &arguments.escape_ascii().to_string(),
        &shown.escape_ascii().to_string(),
    );
}

pub(super) fn processes(truth: &Truth, rows: &[Value]) -> Tally {
    let mut tally = Tally::default();
    let mut rest: BTreeMap<u64, &Value> = BTreeMap::new();
    let first = rows.iter().find(|row| row["pid"] == 0);
    let boot = first.and_then(time_of_day);
    for row in rows {
        let pid = row["pid"].as_u64().unwrap();
        if rest.insert(pid, row).is_some() {
            tally.wrong.push(format!("pid {pid} stands twice"));
        }
    }
    for (pid, process) in &truth.processes {
        let Some(row) = rest.remove(pid) else {
            if is_writer(process) {
                tally.excuse(WRITER);
            } else if process.kernel_thread {
                tally.excuse(KERNEL_THREAD);
            } else {
                tally.wrong.push(format!("pid {pid} is missing"));
            }
            continue;
        };
        if is_init(*pid, &bytes(row, "name")) {
            tally.excuse(INIT);
            continue;
        }
        let mut wrong = String::new();
        let mut excuse = None;
        match names(&process.comm, &bytes(row, "name"), process.kernel_thread) {
            Name::Equal => {}
            Name::Excused(reason) => excuse = Some(reason),
            Name::Wrong => differs(
                &mut wrong,
                "name",
                &process.comm.escape_ascii().to_string(),
                &row["name"].to_string(),
            ),
        }
        let state = row["state"].as_str().unwrap_or("null");
        if state != process.state.to_string() {
            let moving = |state: &str| matches!(state, "R" | "S" | "I" | "D");
            if process.kernel_thread && moving(state) {
                excuse = Some(BUSY);
            } else if *pid == 1 && moving(state) {
                excuse = Some(WAITING);
            } else {
                differs(&mut wrong, "state", &process.state.to_string(), state);
            }
        }
        for (name, expected) in [
            ("ppid", process.ppid),
            ("uid", process.uid),
            ("gid", process.gid),
            // A zombie's threads are gone from /proc/PID/status but for the leader itself.
            ("threads", process.threads),
        ] {
            differs(
                &mut wrong,
                name,
                &expected.to_string(),
                &row[name].to_string(),
            );
        }
        let ticks = row["create_time"].as_u64().map(|ns| ns / TICK);
        let since = boot.zip(time_of_day(row)).map(|(boot, start)| {
            // The day may have ended in between.
            (start + DAY - boot) % DAY / TICK
        });
        if ticks < Some(process.start_ticks) && since == Some(process.start_ticks) {
            excuse = excuse.or(Some(CLOCKS));
        } else {
            differs(
                &mut wrong,
                "create_time",
                &format!("{:?}", Some(process.start_ticks)),
                &format!("{ticks:?}"),
            );
        }
        differs(
            &mut wrong,
            "kernel_thread",
            &process.kernel_thread.to_string(),
            &row["kernel_thread"].to_string(),
        );
        if process.leader_exited() {
            // What the threads that live on run.
            excuse = Some(LEADERLESS);
        } else {
            program(&mut wrong, process, row);
        }
        if !wrong.is_empty() {
            tally.wrong.push(format!("pid {pid}:{wrong}"));
        } else if let Some(reason) = excuse {
            tally.excuse(reason);
        } else {
            tally.equal += 1;
        }
    }
    for (pid, row) in rest {
        match pid {
            // The idle task is not in /proc; it is on the list.
            0 if bytes(row, "name").starts_with(b"swapper") => {}
            _ if row["kernel_thread"] == Value::Bool(true) => tally.excuse(KERNEL_THREAD),
            _ if row["ppid"] == 1 && row["state"] != "Z" && is_late_writer(row) => {
                tally.excuse(WRITER);
            }
            _ => tally
                .wrong
                .push(format!("pid {pid} is not in the truth: {row}")),
        }
    }
    tally
}

fn is_late_writer(row: &Value) -> bool {
    WRITERS.contains(&bytes(row, "name").as_slice()) || bytes(row, "exe") == b"/bin/busybox"
}

pub(super) fn threads(truth: &Truth, rows: &[Value]) -> Tally {
    let mut tally = Tally::default();
    let mut rest: BTreeMap<(u64, u64), &Value> = BTreeMap::new();
    for row in rows {
        let (pid, tid) = (row["pid"].as_u64().unwrap(), row["tid"].as_u64().unwrap());
        if pid != 0 && rest.insert((pid, tid), row).is_some() {
            tally
                .wrong
                .push(format!("thread {tid} of {pid} stands twice"));
        }
    }
    for process in truth.processes.values() {
        for (tid, (name, state)) in &process.tasks {
            let Some(row) = rest.remove(&(process.pid, *tid)) else {
                if is_writer(process) {
                    tally.excuse(WRITER);
                } else if process.kernel_thread {
                    tally.excuse(KERNEL_THREAD);
                } else {
                    tally
                        .wrong
                        .push(format!("thread {tid} of {} is missing", process.pid));
                }
                continue;
            };
            let row_state = row["state"].as_str().unwrap_or("null");
            let moving = |state: &str| matches!(state, "R" | "S" | "I" | "D");
            let same_state = row_state == state.to_string();
            let shown = bytes(row, "name");
            match names(name, &shown, process.kernel_thread) {
                _ if is_init(process.pid, &shown) => tally.excuse(INIT),
                Name::Equal if same_state => tally.equal += 1,
                Name::Excused(reason) if same_state => tally.excuse(reason),
                Name::Equal | Name::Excused(_) if process.kernel_thread && moving(row_state) => {
                    tally.excuse(BUSY);
                }
                Name::Equal if process.pid == 1 && moving(row_state) => tally.excuse(WAITING),
                _ => tally.wrong.push(format!(
                    "thread {tid} of {}: truth {} {state}, row {row}",
                    process.pid,
                    name.escape_ascii()
                )),
            }
        }
    }
    for ((pid, tid), row) in rest {
        let parent = truth.processes.get(&pid);
        if parent.is_none_or(|process| process.kernel_thread) {
            tally.excuse(KERNEL_THREAD);
        } else {
            tally
                .wrong
                .push(format!("thread {tid} of {pid} is not in the truth: {row}"));
        }
    }
    tally
}

pub(super) fn modules(truth: &Truth, rows: &[Value]) -> Tally {
    let mut tally = Tally::default();
    let mut rest: BTreeMap<Vec<u8>, &Value> =
        rows.iter().map(|row| (bytes(row, "name"), row)).collect();
    for (at, module) in truth.modules.iter().enumerate() {
        let Some(row) = rest.remove(&module.name) else {
            tally
                .wrong
                .push(format!("{} is missing", module.name.escape_ascii()));
            continue;
        };
        let same = address(row, "base") == module.base
            && row["size"].as_u64() == Some(module.size)
            && bytes(&rows[at], "name") == module.name;
        if same {
            tally.equal += 1;
        } else {
            tally.wrong.push(format!(
                "{}: truth {:#x} {}, row {row}",
                module.name.escape_ascii(),
                module.base,
                module.size
            ));
        }
    }
    tally
        .wrong
        .extend(rest.values().map(|row| format!("not in the truth: {row}")));
    tally
}

/// The mapping that a row shows, as `/proc/PID/maps` would.
fn mapping(row: &Value) -> TruthMapping {
    let start = address(row, "base");
    let mut path = bytes(row, "file");
    if path.is_empty() {
        path = bytes(row, "name");
    }
    let offset = match &row["offset"] {
        Value::Null => 0,
        value => value.as_u64().unwrap(),
    };
    TruthMapping {
        start,
        end: start + row["size"].as_u64().unwrap(),
        perms: bytes(row, "perms"),
        offset,
        path,
    }
}

pub(super) fn maps(truth: &Truth, rows: &[Value]) -> Tally {
    let mut tally = Tally::default();
    let mut by_pid: BTreeMap<u64, Vec<TruthMapping>> = BTreeMap::new();
    for row in rows {
        by_pid
            .entry(row["pid"].as_u64().unwrap())
            .or_default()
            .push(mapping(row));
    }
    for process in truth.processes.values() {
        let shown = by_pid.remove(&process.pid).unwrap_or_default();
        if process.leader_exited() && process.maps.is_empty() {
            for _ in &shown {
                tally.excuse(LEADERLESS);
            }
            continue;
        }
        if shown.is_empty() && is_writer(process) {
            for _ in &process.maps {
                tally.excuse(WRITER);
            }
            continue;
        }
        for at in 0..shown.len().max(process.maps.len()) {
            match (process.maps.get(at), shown.get(at)) {
                (Some(truth), Some(row)) if truth == row => tally.equal += 1,
                _ if process.pid == 1 => tally.excuse(INIT),
                (truth, row) => tally.wrong.push(format!(
                    "pid {} mapping {at}: truth {}, row {}",
                    process.pid,
                    line(truth),
                    line(row)
                )),
            }
        }
    }
    for (pid, shown) in by_pid {
        tally.wrong.push(format!(
            "pid {pid} is not in the truth and has {} rows",
            shown.len()
        ));
    }
    tally
}

fn line(mapping: Option<&TruthMapping>) -> String {
    mapping.map_or("nothing".to_owned(), |m| {
        format!(
            "{:x}-{:x} {} {:x} {}",
            m.start,
            m.end,
            m.perms.escape_ascii(),
            m.offset,
            m.path.escape_ascii()
        )
    })
}
