//! What a guest said of itself: the files of a `truth/` folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A process, as its `/proc/PID` showed it.
#[derive(Debug)]
pub(super) struct TruthProcess {
    pub(super) pid: u64,
    pub(super) ppid: u64,
    pub(super) comm: Vec<u8>,
    pub(super) state: char,
    /// `starttime` of `/proc/PID/stat`, in 1/100 s since boot.
    pub(super) start_ticks: u64,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) threads: u64,
    pub(super) exe: Vec<u8>,
    pub(super) cmdline: Vec<u8>,
    pub(super) kernel_thread: bool,
    /// Thread id to name and state.
    pub(super) tasks: BTreeMap<u64, (Vec<u8>, char)>,
    pub(super) maps: Vec<TruthMapping>,
}

impl TruthProcess {
    /// Whether its leader has exited and other threads of it live on.
    pub(super) fn leader_exited(&self) -> bool {
        self.state == 'Z' && self.threads > 1
    }
}

/// A line of `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct TruthMapping {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) perms: Vec<u8>,
    pub(super) offset: u64,
    pub(super) path: Vec<u8>,
}

/// A line of `/proc/modules`.
#[derive(Debug)]
pub(super) struct TruthModule {
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) base: u64,
}

/// All that a guest said.
#[derive(Debug)]
pub struct Truth {
    /// Where its files lie.
    pub(super) folder: PathBuf,
    /// By pid.
    pub(super) processes: BTreeMap<u64, TruthProcess>,
    /// In the order of `/proc/modules`.
    pub(super) modules: Vec<TruthModule>,
}

/// `PF_KTHREAD` in a task's flags.
const PF_KTHREAD: u64 = 0x0020_0000;

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().trim().parse().unwrap()
}

fn hex(bytes: &[u8]) -> u64 {
    u64::from_str_radix(
        std::str::from_utf8(bytes).unwrap().trim_start_matches("0x"),
        16,
    )
    .unwrap()
}

/// The name and the fields after it of a `stat` line; the name may hold anything.
fn split_stat(stat: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let open = stat.iter().position(|&b| b == b'(').unwrap();
    let close = stat.iter().rposition(|&b| b == b')').unwrap();
    let rest = stat[close + 2..]
        .split(|&b| b == b' ')
        .map(<[u8]>::to_vec)
        .collect();
    (stat[open + 1..close].to_vec(), rest)
}

/// `/proc` writes a newline in a path as `\012`.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        if rest.starts_with(b"\\012") {
            out.push(b'\n');
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

fn maps(text: &[u8]) -> Vec<TruthMapping> {
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.splitn(6, |&b| b == b' ');
            let range = fields.next().unwrap();
            let dash = range.iter().position(|&b| b == b'-').unwrap();
            let (start, end) = (hex(&range[..dash]), hex(&range[dash + 1..]));
            let perms = fields.next().unwrap().to_vec();
            let offset = hex(fields.next().unwrap());
            let path = fields.nth(2).unwrap_or_default();
            let blanks = path.iter().take_while(|&&b| b == b' ').count();
            TruthMapping {
                start,
                end,
                perms,
                offset,
                path: unescape(&path[blanks..]),
            }
        })
        .collect()
}

fn status_field(status: &[u8], name: &str) -> Option<u64> {
    let mut lines = status.split(|&b| b == b'\n');
    let line = lines.find(|line| line.starts_with(name.as_bytes()))?;
    let rest = &line[name.len()..];
    let digits: Vec<u8> = rest
        .iter()
        .copied()
        .skip_while(|b| !b.is_ascii_digit())
        .take_while(u8::is_ascii_digit)
        .collect();
    Some(number(&digits))
}

fn process(folder: &Path) -> Option<TruthProcess> {
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
    let stat = read("stat");
    if stat.is_empty() {
        return None; // it was gone before it could be read
    }
    let (comm, fields) = split_stat(&stat);
    let status = read("status");
    let mut tasks = BTreeMap::new();
    if let Ok(entries) = fs::read_dir(folder.join("task")) {
        for entry in entries {
            let path = entry.unwrap().path();
            let tid = number(path.file_name().unwrap().as_encoded_bytes());
            let line = fs::read(path.join("stat")).unwrap_or_default();
            if !line.is_empty() {
                let (name, fields) = split_stat(&line);
                tasks.insert(tid, (name, char::from(fields[0][0])));
            }
        }
    }
    let mut exe = read("exe");
    while exe.last() == Some(&b'\n') {
        exe.pop();
    }
    let maps = maps(&read("maps"));
    Some(TruthProcess {
        pid: number(&stat[..stat.iter().position(|&b| b == b' ').unwrap()]),
        ppid: number(&fields[1]),
        comm,
        state: char::from(fields[0][0]),
        start_ticks: number(&fields[19]),
        uid: status_field(&status, "Uid:")?,
        gid: status_field(&status, "Gid:")?,
        threads: status_field(&status, "Threads:")?,
        exe,
        cmdline: read("cmdline"),
        kernel_thread: number(&fields[6]) & PF_KTHREAD != 0,
        tasks,
        maps,
    })
}

impl Truth {
    /// Reads `truth/`.
    pub fn read(folder: &Path) -> Self {
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir(folder.join("p")).unwrap() {
            if let Some(process) = process(&entry.unwrap().path()) {
                processes.insert(process.pid, process);
            }
        }
        let modules = fs::read(folder.join("modules")).unwrap();
        let modules = modules
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                let fields: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
                TruthModule {
                    name: fields[0].to_vec(),
                    size: number(fields[1]),
                    base: hex(fields[5]),
                }
            })
            .collect();
        Self {
            folder: folder.to_owned(),
            processes,
            modules,
        }
    }
}
