//! `ps --wide`: what it adds to `ps`, as the guest told it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Tally;
use super::guest::{Truth, TruthProcess};
use super::rows::LEADERLESS;
use super::text::{bytes, lines};

const RAN_ON: &str =
    "what a process used grew: the witness, a busy one, or the kernel's own ran on";
/// Nanoseconds of a tick of `/proc/PID/stat`, and bytes of a page.
const TICK: u64 = 10_000_000;
const PAGE: u64 = 4096;
const POLICIES: [&str; 8] = [
    "other", "fifo", "rr", "batch", "4", "idle", "deadline", "ext",
];
const SECCOMP: [&str; 3] = ["none", "strict", "filter"];

/// The columns of a process, as text; what does not apply is absent.
type Columns = BTreeMap<&'static str, String>;

/// `KEY: VALUE…` of `status`.
fn status(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let all = lines(&folder.join("status"));
    let texts = all
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned());
    let pairs = texts.filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        let words = value.split_whitespace().map(str::to_owned).collect();
        Some((key.to_owned(), words))
    });
    pairs.collect()
}

/// The fields behind the name in `stat`: the first is the state.
fn stat(folder: &Path) -> Vec<String> {
    let text = fs::read(folder.join("stat")).unwrap_or_default();
    let close = text.iter().rposition(|&b| b == b')').unwrap_or_default();
    let rest = String::from_utf8_lossy(&text[close + 1..]).into_owned();
    rest.split_whitespace().map(str::to_owned).collect()
}

/// A link's target, as the truth has it: with a newline behind.
fn link(folder: &Path, name: &str) -> Option<String> {
    let mut text = fs::read(folder.join(name)).unwrap_or_default();
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    (!text.is_empty()).then(|| text.escape_ascii().to_string())
}

/// The namespaces, by the links of `ns`.
fn namespaces(folder: &Path) -> String {
    let mut all = BTreeSet::new();
    for line in lines(&folder.join("ns")) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some((name, target)) = line.split_once(" -> ")
            && !name.ends_with("_for_children")
        {
            all.insert(target.replace(":[", ":").replace(']', ""));
        }
    }
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// What the guest told.
fn told(folder: &Path) -> Columns {
    let status = status(folder);
    let stat = stat(folder);
    let word = |key: &str, at: usize| status.get(key).and_then(|words| words.get(at)).cloned();
    let field = |at: usize| stat.get(at).cloned();
    let number = |at: usize| field(at).and_then(|text| text.parse::<u64>().ok());
    let not = |text: Option<String>, none: &str| text.filter(|text| text != none);
    let indexed = |words: &[&str], at: Option<usize>| {
        at.and_then(|at| words.get(at))
            .map(|word| (*word).to_owned())
    };
    let cgroup = lines(&folder.join("cgroup")).into_iter().find_map(|line| {
        let path = line.strip_prefix(b"0::")?;
        Some(path.escape_ascii().to_string())
    });
    let container = cgroup.as_ref().and_then(|path| {
        let mut parts = path.split('/');
        let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
        parts.find(is_id).map(str::to_owned)
    });
    let policy = number(38).and_then(|policy| usize::try_from(policy).ok());
    let seccomp = word("Seccomp", 0).and_then(|mode| mode.parse().ok());
    let resident = fs::read_to_string(folder.join("statm")).unwrap_or_default();
    let resident = resident
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    let no_memory = !status.contains_key("VmSize");
    let columns = [
        ("euid", word("Uid", 1)),
        ("suid", word("Uid", 2)),
        ("fsuid", word("Uid", 3)),
        ("egid", word("Gid", 1)),
        (
            "groups",
            status.get("Groups").map(|groups| groups.join(" ")),
        ),
        ("caps", word("CapEff", 0)),
        ("seccomp", indexed(&SECCOMP, seccomp)),
        ("tracer", not(word("TracerPid", 0), "0")),
        (
            "ns_pid",
            status.get("NSpid").and_then(|pids| pids.last().cloned()),
        ),
        ("loginuid", not(link(folder, "loginuid"), "4294967295")),
        ("cgroup", cgroup),
        ("container", container),
        ("ns", Some(namespaces(folder))),
        ("pgid", field(2)),
        ("session_id", field(3)),
        ("tty", not(field(4), "0").map(|_| "some".to_owned())),
        ("nice", field(16)),
        ("policy", indexed(&POLICIES, policy)),
        ("utime", field(11)),
        ("stime", field(12)),
        ("vsize", field(20).filter(|_| !no_memory)),
        (
            "rss",
            resident
                .map(|pages| (pages * PAGE).to_string())
                .filter(|_| !no_memory),
        ),
        ("cwd", link(folder, "cwd")),
        ("root", link(folder, "root")),
    ];
    let known = columns
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.collect()
}

/// What a row tells, in the same words.
fn shown(row: &Value, names: &[&'static str]) -> Columns {
    let mut all = Columns::new();
    for &name in names {
        let text = match (name, &row[name]) {
            (_, Value::Null) => continue,
            ("utime" | "stime", value) => (value.as_u64().unwrap() / TICK).to_string(),
            ("caps", value) => {
                let text = value.as_str().unwrap().trim_start_matches("0x");
                format!("{text:0>16}")
            }
            ("tty", _) => "some".to_owned(),
            ("ns", value) => {
                let all: BTreeSet<&str> = value.as_str().unwrap().split(' ').collect();
                all.into_iter().collect::<Vec<_>>().join(" ")
            }
            (_, Value::String(_)) => bytes(row, name).escape_ascii().to_string(),
            (_, value) => value.to_string(),
        };
        all.insert(name, text);
    }
    all
}

/// Whether what a process used may have grown since: it ran.
fn runs(process: &TruthProcess) -> bool {
    process.pid == 1 || process.kernel_thread || process.state == 'R'
}

const NAMES: [&str; 24] = [
    "euid",
    "suid",
    "fsuid",
    "egid",
    "groups",
    "caps",
    "seccomp",
    "tracer",
    "ns_pid",
    "loginuid",
    "cgroup",
    "container",
    "ns",
    "pgid",
    "session_id",
    "tty",
    "nice",
    "policy",
    "utime",
    "stime",
    "vsize",
    "rss",
    "cwd",
    "root",
];

/// What a leader that has exited has no more, and its other threads have.
const OF_THREADS: [&str; 5] = ["ns", "vsize", "rss", "cwd", "root"];

pub(super) fn processes(truth: &Truth, rows: &[Value]) -> Tally {
    let mut tally = Tally::default();
    let by_pid: BTreeMap<u64, &Value> = rows
        .iter()
        .map(|row| (row["pid"].as_u64().unwrap(), row))
        .collect();
    // Who is missing, or too many, is told by the comparison of `ps`.
    for (pid, process) in &truth.processes {
        let Some(row) = by_pid.get(pid) else { continue };
        let folder = truth.folder.join("p").join(pid.to_string());
        let (told, shown) = (told(&folder), shown(row, &NAMES));
        let mut wrong = Vec::new();
        let (mut grew, mut leaderless) = (false, false);
        for name in NAMES {
            let (told, shown) = (told.get(name), shown.get(name));
            if told == shown {
                continue;
            }
            if matches!(name, "utime" | "stime" | "rss") && runs(process) {
                grew = true;
            } else if OF_THREADS.contains(&name) && process.leader_exited() {
                leaderless = true;
            } else {
                wrong.push(format!("{name}: truth {told:?}, row {shown:?}"));
            }
        }
        if !wrong.is_empty() {
            tally.wrong.push(format!("pid {pid}: {}", wrong.join("; ")));
        } else if grew {
            tally.excuse(RAN_ON);
        } else if leaderless {
            tally.excuse(LEADERLESS);
        } else {
            tally.equal += 1;
        }
    }
    tally
}
