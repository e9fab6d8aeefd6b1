//! drgn, the programmable debugger.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Program, command, lines};
use crate::guest::Guest;
use crate::workshop::Workshop;

pub(super) const PEER: Peer = Peer {
    name: "drgn 0.3.0",
    given: "the ELF core, vmlinux with DWARF",
    target: |_| Some(100.0),
    install: |workshop| Ok(vec![python(workshop)?]),
    list,
    rows: |text| Ok(lines(text)),
};

/// The interpreter that has it.
pub(crate) fn python(workshop: &Workshop) -> Result<PathBuf> {
    workshop.python("drgn==0.3.0")
}

const SCRIPT: &str = "\
import sys
import drgn
from drgn.helpers.linux.pid import for_each_task

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])
for task in for_each_task(prog):
    if task.pid == task.tgid:
        name = task.comm.string_().decode('latin-1').replace('\\n', ' ')
        print(task.tgid.value_(), task.real_parent.tgid.value_(), name)
";

fn list(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let script = workshop.folder.join("ps.py");
    fs::write(&script, SCRIPT)?;
    let mut command = command(program);
    command
        .arg(script)
        .arg(&guest.elf)
        .arg(guest.vmlinux(workshop)?);
    Ok(command)
}
