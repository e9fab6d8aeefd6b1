//! mquire, SQL over a dump; like Osier it takes types and symbols out of the dump itself.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Peer, command};
use crate::answer::Row;

pub(super) const PEER: Peer = Peer {
    name: "mquire 1.4.1",
    given: "the raw dump",
    target: |release| release.starts_with("6.12.").then_some(500.0),
    install: |workshop| Ok(vec![workshop.cargo_install("mquire", "1.4.1")?]),
    list: |program, guest, _| {
        let mut command: Command = command(program);
        command.arg("query").arg(&guest.raw).arg(QUERY);
        Ok(command)
    },
    rows,
};

/// Its own classes of tasks, threads left out.
const QUERY: &str = "SELECT pid, ppid, comm FROM tasks WHERE type <> 'thread'";

fn rows(text: &str) -> Result<Vec<Row>> {
    let answer: Value = serde_json::from_str(text)?;
    let rows = answer.get("row_list").context("no rows")?;
    let mut out: Vec<Row> = Vec::new();
    for row in rows.as_array().into_iter().flatten() {
        let cell = |name: &str| {
            let cell = row.get(name)?;
            // A cell names its type: {"String": "init"}.
            let inner = cell.as_object().and_then(|cell| cell.values().next());
            Some(inner.unwrap_or(cell).clone())
        };
        let number = |name: &str| cell(name)?.as_i64();
        let Some(pid) = number("pid") else {
            continue;
        };
        let name = cell("comm");
        let row = Row {
            pid,
            ppid: number("ppid"),
            name: name.and_then(|name| name.as_str().map(str::to_owned)),
        };
        // Each process is told once for every list that it was found in.
        if !out.contains(&row) {
            out.push(row);
        }
    }
    Ok(out)
}
