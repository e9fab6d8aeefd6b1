//! Osier itself, in the same run.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Program};
use crate::answer::Row;
use crate::guest::Guest;
use crate::workshop::Workshop;

/// A snapshot that was asked before.
pub(super) const AGAIN: Peer = Peer {
    name: "**Osier**, `osier ps`, again",
    given: "the raw dump",
    target: |_| None,
    install: |_| Ok(Vec::new()),
    list: |_, guest, workshop| Ok(again(guest, workshop)),
    rows,
};

/// A kernel never met before: types and symbols are read out of the dump.
pub(super) const FIRST: Peer = Peer {
    name: "**Osier**, `osier ps --no-shipped`, nothing cached",
    given: "the raw dump",
    target: |_| None,
    install: |_| Ok(Vec::new()),
    list: first,
    rows,
};

fn again(guest: &Guest, workshop: &Workshop) -> Command {
    let mut command = workshop.osier();
    command.args(["ps", "--format", "jsonl"]).arg(&guest.raw);
    command
}

fn first(_: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let cache = workshop.folder.join("cold");
    if cache.is_dir() {
        fs::remove_dir_all(&cache)?;
    }
    let mut command = again(guest, workshop);
    command.env("XDG_CACHE_HOME", cache).arg("--no-shipped");
    Ok(command)
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| row.get(name).and_then(serde_json::Value::as_i64);
        let name = row.get("name").and_then(serde_json::Value::as_str);
        if let Some(pid) = number("pid") {
            rows.push(Row {
                pid,
                ppid: number("ppid"),
                name: name.map(str::to_owned),
            });
        }
    }
    Ok(rows)
}
