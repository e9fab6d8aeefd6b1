//! memflow, the physical-memory library, through a driver of ours: it has no Linux layer, so it is
//! told where everything is, and walks.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Peer, Program, command, lines};
use crate::guest::Guest;
use crate::workshop::Workshop;

pub(super) const PEER: Peer = Peer {
    name: "memflow 0.2.4",
    given: "the raw dump, CR3, every address and offset",
    target: |_| None,
    install: |workshop| Ok(vec![workshop.driver("peer-memflow")?]),
    list,
    rows: |text| Ok(lines(text)),
};

fn list(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let info = workshop.ask(&["info"], &guest.raw)?;
    let id = info.pointer("/kernel/build_id").and_then(Value::as_str);
    let id = id.context("the kernel has no build id")?;
    // The profile that Osier makes of the dump, and keeps, tells the offsets.
    workshop.ask(&["ps", "--no-shipped"], &guest.raw)?;
    let mut show = workshop.osier();
    let profile = workshop.folder.join(format!("cache/osier/{id}.osp"));
    let output = show
        .args(["profile", "show"])
        .arg(profile)
        .arg("task_struct")
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let offset = |member: &str| -> Result<String> {
        let mut lines = text.lines().map(|line| line.split_whitespace());
        let found = lines.find_map(|mut words| {
            let offset = words.next()?;
            (words.nth(1)? == member).then(|| offset.to_owned())
        });
        let found = found.with_context(|| format!("task_struct has no {member}"))?;
        Ok(format!("{:#x}", found.parse::<u64>()?))
    };
    let mut command = command(program);
    command
        .arg(&guest.raw)
        .args([&guest.root, &guest.init_task]);
    for member in ["tasks", "tgid", "real_parent", "comm"] {
        command.arg(offset(member)?);
    }
    Ok(command)
}
