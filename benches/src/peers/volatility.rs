//! Volatility 3. It wants a symbol table in a format of its own, which its project makes with
//! dwarf2json; here Osier makes it of the same vmlinux.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Peer, Program, command};
use crate::answer::Row;
use crate::guest::Guest;
use crate::workshop::Workshop;

pub(super) const PEER: Peer = Peer {
    name: "Volatility 3 2.28.2",
    given: "the ELF core, an ISF made by `osier profile export`",
    target: |_| Some(1000.0),
    install,
    list,
    rows,
};

pub(crate) fn install(workshop: &Workshop) -> Result<Program> {
    let python = workshop.python("volatility3==2.28.2")?;
    Ok(vec![python.with_file_name("vol")])
}

fn list(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let mut command = given(program, guest, workshop)?;
    command.arg("linux.pslist");
    Ok(command)
}

/// The program with all that it is given but the plugin.
pub(crate) fn given(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let symbols = workshop.folder.join("isf").join(guest.name);
    let isf = symbols
        .join("linux")
        .join(format!("{}.json", guest.release));
    if !isf.is_file() {
        fs::create_dir_all(symbols.join("linux"))?;
        let vmlinux = guest.vmlinux(workshop)?;
        let mut export = workshop.osier();
        export.args(["profile", "export"]).arg(vmlinux);
        export.args(["--to", "isf", "-o"]).arg(&isf);
        workshop.step(&format!("isf {}", guest.name), &mut export)?;
    }
    let cache = workshop.folder.join("volatility-cache");
    fs::create_dir_all(&cache)?;
    let mut command = command(program);
    command
        .args(["-q", "-r", "json", "--cache-path"])
        .arg(cache)
        .arg("-s")
        .arg(symbols)
        .arg("-f")
        .arg(&guest.elf);
    Ok(command)
}

fn rows(text: &str) -> Result<Vec<Row>> {
    // A line of the program's own stands before the answer.
    let start = text.find('[').context("no rows")?;
    let answer: Value = serde_json::from_str(text.get(start..).unwrap_or_default())?;
    let mut rows = Vec::new();
    for row in answer.as_array().into_iter().flatten() {
        let number = |name: &str| row.get(name).and_then(Value::as_i64);
        let name = row.get("COMM").and_then(Value::as_str);
        rows.push(Row {
            pid: number("PID").context("a row without PID")?,
            ppid: number("PPID"),
            name: name.map(str::to_owned),
        });
    }
    Ok(rows)
}
