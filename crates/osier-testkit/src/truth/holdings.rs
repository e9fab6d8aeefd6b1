//! Mounts, descriptors, variables and the log: as the guest told them, and as rows do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::text::{bytes, lines, processes, unescaped};

/// Pid, place in the list, then every field of a line of mountinfo.
pub(super) type Mount = (u64, usize, Vec<Vec<u8>>);
/// Pid, descriptor, path, then `pos`, `flags` (octal) and `ino` of fdinfo.
pub(super) type File = (u64, u64, Vec<u8>, String, String, Option<String>);
/// Pid, and a text with its NUL.
pub(super) type Variable = (u64, usize, Vec<u8>);
/// `seq`, time in microseconds, level and facility, text.
pub(super) type Line = (u64, u64, u64, Vec<u8>);

/// Options that every type of file system has; the rest are its own code's.
const GENERAL: [&[u8]; 6] = [b"rw", b"ro", b"sync", b"dirsync", b"mand", b"lazytime"];

pub(super) fn mounts_of(truth: &Path) -> BTreeSet<Mount> {
    let mut all = BTreeSet::new();
    for (pid, folder) in processes(truth) {
        for (index, line) in lines(&folder.join("mountinfo")).iter().enumerate() {
            let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
            let dash = words.iter().position(|word| *word == b"-").unwrap();
            let general = words[dash + 3].split(|&b| b == b',');
            let general: Vec<&[u8]> = general.filter(|word| GENERAL.contains(word)).collect();
            let fields = vec![
                words[0].to_vec(),
                words[1].to_vec(),
                words[2].to_vec(),
                unescaped(words[3]),
                unescaped(words[4]),
                words[5].to_vec(),
                words[6..dash].join(&b' '),
                words[dash + 1].to_vec(),
                unescaped(words[dash + 2]),
                general.join(&b','),
            ];
            all.insert((pid, index, fields));
        }
    }
    all
}

/// The rows, but for those of the first task, which `/proc` does not list.
pub(super) fn mounts(rows: &[Value]) -> BTreeSet<Mount> {
    let mut all = BTreeSet::new();
    let (mut before, mut index) = (None, 0);
    for row in rows {
        let pid = row["pid"].as_u64().unwrap();
        if pid == 0 {
            continue;
        }
        index = if before == Some(pid) { index + 1 } else { 0 };
        before = Some(pid);
        let number = |field: &str| row[field].as_u64().unwrap().to_string().into_bytes();
        let mut fields = vec![number("id"), number("parent")];
        let texts = [
            "device",
            "root",
            "point",
            "options",
            "propagation",
            "type",
            "source",
            "super_options",
        ];
        fields.extend(texts.iter().map(|field| bytes(row, field)));
        all.insert((pid, index, fields));
    }
    all
}

/// Descriptors as the links and fdinfo tell them. `ino` stands in fdinfo since v5.19.
pub(super) fn files_of(truth: &Path) -> BTreeSet<File> {
    let mut all = BTreeSet::new();
    for (pid, folder) in processes(truth) {
        let mut told: Vec<(u64, [Option<String>; 3])> = Vec::new();
        for line in lines(&folder.join("fdinfo")) {
            let text = String::from_utf8_lossy(&line).into_owned();
            let mut words = text.split_whitespace();
            let (key, value) = (words.next().unwrap(), words.next().map(str::to_owned));
            match (key, told.last_mut()) {
                ("fd", _) => told.push((value.unwrap().parse().unwrap(), [None, None, None])),
                ("pos:", Some((_, fields))) if fields[0].is_none() => fields[0] = value,
                ("flags:", Some((_, fields))) if fields[1].is_none() => fields[1] = value,
                ("ino:", Some((_, fields))) if fields[2].is_none() => fields[2] = value,
                _ => {}
            }
        }
        let links = fs::read(folder.join("fd")).unwrap_or_default();
        for (fd, [pos, flags, inode]) in told {
            let path = link(&links, fd);
            let flags = flags.unwrap().trim_start_matches('0').to_owned();
            all.insert((pid, fd, path, pos.unwrap(), flags, inode));
        }
    }
    all
}

/// Where the link of a descriptor leads, out of lines as of `ls -la`; a path may have a newline in it.
fn link(links: &[u8], fd: u64) -> Vec<u8> {
    let start = format!(" 00:00 {fd} -> ").into_bytes();
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|part| part == what);
    let at = find(links, &start).unwrap() + start.len();
    let rest = &links[at..];
    let next = find(rest, b"\nl").unwrap_or(rest.len() - 1);
    rest[..next].to_vec()
}

/// The rows; their inodes where the guest tells them.
pub(super) fn files(rows: &[Value], inodes: bool) -> BTreeSet<File> {
    let inode = |row: &Value| row["inode"].as_u64().map(|inode| inode.to_string());
    let with_inode = |row: &Value| inode(row).filter(|_| inodes);
    rows.iter()
        .map(|row| {
            let flags = row["flags"].as_str().unwrap().trim_start_matches("0x");
            let flags = format!("{:o}", u64::from_str_radix(flags, 16).unwrap());
            (
                row["pid"].as_u64().unwrap(),
                row["fd"].as_u64().unwrap(),
                bytes(row, "path"),
                row["pos"].as_u64().unwrap().to_string(),
                flags.trim_start_matches('0').to_owned(),
                with_inode(row),
            )
        })
        .collect()
}

pub(super) fn environment_of(truth: &Path) -> BTreeSet<Variable> {
    let mut all = BTreeSet::new();
    for (pid, folder) in processes(truth) {
        let text = fs::read(folder.join("environ")).unwrap_or_default();
        let texts = text.split(|&b| b == 0).filter(|text| !text.is_empty());
        all.extend(
            texts
                .enumerate()
                .map(|(index, text)| (pid, index, text.to_vec())),
        );
    }
    all
}

pub(super) fn environment(rows: &[Value]) -> BTreeSet<Variable> {
    let mut all = BTreeSet::new();
    let (mut before, mut index) = (None, 0);
    for row in rows {
        let pid = row["pid"].as_u64().unwrap();
        index = if before == Some(pid) { index + 1 } else { 0 };
        before = Some(pid);
        let mut text = bytes(row, "name");
        if !row["name"].is_null() {
            text.push(b'=');
        }
        text.extend(bytes(row, "value"));
        all.insert((pid, index, text));
    }
    all
}

/// Records of `/dev/kmsg`: `PRIORITY,SEQ,MICROSECONDS,…;TEXT`, its lines behind the first with a blank before.
pub(super) fn log_of(truth: &Path) -> BTreeSet<Line> {
    let text = fs::read(truth.join("kmsg")).unwrap();
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let lines = lines.filter(|line| line[0] != b' ');
    lines
        .map(|line| {
            let semicolon = line.iter().position(|&b| b == b';').unwrap();
            let head = String::from_utf8(line[..semicolon].to_vec()).unwrap();
            let mut numbers = head.split(',').map(str::parse::<u64>);
            let mut number = || numbers.next().unwrap().unwrap();
            let (priority, seq, time) = (number(), number(), number());
            (seq, time, priority, escaped(&line[semicolon + 1..]))
        })
        .collect()
}

/// `\x09` and the like as the bytes that they stand for.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(b"\\x") {
            let digits = std::str::from_utf8(&text[at + 2..at + 4]).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
            at += 4;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

pub(super) fn log(rows: &[Value]) -> BTreeSet<Line> {
    let levels = [
        "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
    ];
    let facilities = ["kern", "user", "mail", "daemon"];
    let at = |words: &[&str], row: &Value, field: &str| {
        let word = row[field].as_str().unwrap();
        words.iter().position(|known| *known == word).unwrap() as u64
    };
    rows.iter()
        .map(|row| {
            let priority = at(&facilities, row, "facility") * 8 + at(&levels, row, "level");
            (
                row["seq"].as_u64().unwrap(),
                row["time"].as_u64().unwrap() / 1000,
                priority,
                bytes(row, "text"),
            )
        })
        .collect()
}
