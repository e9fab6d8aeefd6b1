//! crash, the kernel's crash utility.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::{Peer, Program, command};
use crate::answer::Row;
use crate::guest::Guest;
use crate::workshop::Workshop;

/// Debian 13's.
pub(super) const NEW: Peer = Peer {
    name: "crash 8.0.6",
    given: "the ELF core, vmlinux with DWARF",
    target: |_| Some(1000.0),
    install: |workshop| workshop.debian_program("trixie", "crash"),
    list,
    rows: |text| Ok(rows(text)),
};

/// Debian 12's, which is older than some kernels of Debian 12.
pub(super) const OLD: Peer = Peer {
    name: "crash 8.0.2",
    install: |workshop| workshop.debian_program("bookworm", "crash"),
    ..NEW
};

fn list(program: &Program, guest: &Guest, workshop: &Workshop) -> Result<Command> {
    let commands = workshop.folder.join("crash.commands");
    fs::write(&commands, "ps -G\nquit\n")?;
    let mut command = command(program);
    command
        .arg("-s")
        .arg(guest.vmlinux(workshop)?)
        .arg(&guest.elf)
        .stdin(Stdio::from(fs::File::open(commands)?));
    Ok(command)
}

/// `> PID PPID CPU TASK ST %MEM VSZ RSS COMM`; a name with a line end in it goes on in the next
/// line.
fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches('>');
        let mut words = line.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(pid), Some(ppid)) = (number(), number()) else {
            if let Some(Row {
                name: Some(name), ..
            }) = rows.last_mut()
            {
                name.push_str(line);
            }
            continue;
        };
        let name: Vec<&str> = words.skip(6).collect();
        rows.push(Row {
            pid,
            ppid: Some(ppid),
            name: Some(name.join(" ")),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_may_go_on_in_the_next_line() {
        let text = "      PID    PPID  CPU       TASK        ST  %MEM      VSZ      RSS  COMM\n\
                    >     176      94   0  ffff8b08834ec200  RU   0.0     2672      256  spin 0\n\
                          177      94   0  ffff8b08834ec201  IN   0.0     2672      256  new\nline\n";
        let rows = super::rows(text);
        let told: Vec<_> = rows
            .iter()
            .map(|r| (r.pid, r.ppid, r.name.as_deref()))
            .collect();
        let expected = [
            (176, Some(94), Some("spin 0")),
            (177, Some(94), Some("newline")),
        ];
        assert_eq!(told, expected);
    }
}
