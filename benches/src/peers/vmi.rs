//! vmi, the introspection library, through a driver of ours.

use std::process::Command;

use anyhow::Result;

use super::{Peer, Program, command};
use crate::answer::Row;
use crate::guest::Guest;
use crate::workshop::Workshop;

pub(super) const PEER: Peer = Peer {
    name: "vmi 0.13.0",
    given: "the raw dump, an isr profile, CR3 and LSTAR",
    target: |_| Some(10.0),
    install: |workshop| Ok(vec![workshop.driver("peer-vmi")?]),
    list,
    rows: |text| Ok(text.lines().filter_map(row).collect()),
};

/// The profile that vmi reads, made by isr of the kernel's DWARF.
fn list(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let profile = workshop.folder.join(format!("{}.isr", guest.release));
    if !profile.is_file() {
        let mut make = Command::new(workshop.driver("peer-isr")?);
        make.arg(guest.vmlinux(workshop)?)
            .arg(guest.system_map(workshop)?)
            .arg(&profile);
        workshop.step(&format!("isr {}", guest.name), &mut make)?;
    }
    let mut command = command(program);
    command
        .arg(&guest.raw)
        .arg(profile)
        .args([&guest.root, &guest.slide]);
    Ok(command)
}

/// `PID NAME`; vmi's Linux layer does not tell parents.
fn row(line: &str) -> Option<Row> {
    let (pid, name) = line.split_once(' ')?;
    Some(Row {
        pid: pid.parse().ok()?,
        ppid: None,
        name: Some(name.to_owned()),
    })
}
