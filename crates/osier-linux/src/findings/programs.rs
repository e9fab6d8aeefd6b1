//! What processes run, and what they hold that most do not.

use std::ops::ControlFlow;

use osier_osi::{Process, ProcessExtra, Seen, SeenExt as _, Severity, Socket};

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use crate::sockets::{self, numbers::AF_PACKET};

/// What the kernel puts behind the path of a file that is unlinked.
const DELETED_MARK: &[u8] = b" (deleted)";
/// Folders that everybody may write to.
const OPEN: [&[u8]; 3] = [b"/tmp/", b"/dev/shm/", b"/var/tmp/"];
/// Names that threads of the kernel alone have, or begin with.
const KERNEL_NAMES: [&[u8]; 8] = [
    b"kworker/",
    b"ksoftirqd/",
    b"migration/",
    b"kthreadd",
    b"kswapd0",
    b"khugepaged",
    b"kcompactd0",
    b"cpuhp/",
];

/// Whether `path` lies in a folder that everybody may write to.
pub(super) fn is_open(path: &[u8]) -> bool {
    OPEN.iter().any(|folder| path.starts_with(folder))
}

/// The executable of a program's process; that it is lost is told.
fn exe<'r>(row: &'r Process, found: &mut Found) -> Option<&'r [u8]> {
    match &row.extra {
        ProcessExtra::Linux(extra) => read(&extra.exe, "the file that a process runs", found),
        _ => None,
    }
}

/// A string that rules look at; that it is lost is told.
pub(super) fn read<'r>(
    value: &'r Seen<Vec<u8>>,
    what: &str,
    found: &mut Found,
) -> Option<&'r [u8]> {
    match value {
        Ok(value) => Some(value),
        Err(absent) => {
            found.absent(what, absent);
            None
        }
    }
}

fn is_memfd(path: &[u8]) -> bool {
    path.starts_with(b"/memfd:")
}

pub(super) fn of(row: &Process, severity: Severity, text: &str, evidence: Evidence) -> Says {
    Says {
        severity,
        subject: process(row),
        text: text.to_owned(),
        evidence,
        address: row.taskd,
    }
}

/// A process whose file is unlinked.
pub(super) static DELETED: Rule = Rule {
    about: About {
        name: "exe.deleted",
        normal: "The file that a process runs is still in its folder.",
        otherwise: "An upgrade of the program while it runs, programs that replace themselves, and layers of containers.",
    },
    look: deleted,
};

fn deleted(context: &Context<'_>, found: &mut Found) {
    for row in context.processes() {
        let path = exe(row, found);
        let path = path.filter(|path| path.ends_with(DELETED_MARK) && !is_memfd(path));
        if let Some(path) = path {
            let evidence = Evidence::default().and("exe of task_struct", row.taskd, path);
            let text = if is_open(path) {
                "The file that the process runs was unlinked, in a folder that everybody may write to."
            } else {
                "The file that the process runs was unlinked."
            };
            found.process(&row.pid, of(row, Severity::Note, text, evidence));
        }
    }
}

/// A process that runs from memory alone.
pub(super) static MEMFD: Rule = Rule {
    about: About {
        name: "exe.memfd",
        normal: "What a process runs is a file.",
        otherwise: "runc runs a copy of itself out of memory (memfd:runc_cloned), which is a note.",
    },
    look: memfd,
};

fn memfd(context: &Context<'_>, found: &mut Found) {
    for row in context.processes() {
        if let Some(path) = exe(row, found).filter(|path| is_memfd(path)) {
            let known = path.starts_with(b"/memfd:runc_cloned");
            let severity = if known {
                Severity::Note
            } else {
                Severity::Medium
            };
            let evidence = Evidence::default().and("exe of task_struct", row.taskd, path);
            let text = "The process runs a program that is in memory alone (memfd).";
            found.process(&row.pid, of(row, severity, text, evidence));
        }
    }
}

/// A program that is called as a thread of the kernel.
pub(super) static DISGUISED: Rule = Rule {
    about: About {
        name: "process.disguised",
        normal: "A process with memory of its own is not called as threads of the kernel are.",
        otherwise: "A program may call itself anything; some show brackets as ps does.",
    },
    look: disguised,
};

fn disguised(context: &Context<'_>, found: &mut Found) {
    for row in context.programs(found) {
        let ProcessExtra::Linux(extra) = &row.extra else {
            continue;
        };
        let name = read(&row.name, "the name of a process", found).unwrap_or_default();
        let first = read(&extra.cmdline, "the arguments of a process", found)
            .and_then(|line| line.split(|byte| *byte == 0).next());
        let first = first.unwrap_or_default();
        let as_kernel = KERNEL_NAMES.iter().any(|known| name.starts_with(known));
        let brackets = first.starts_with(b"[") && first.ends_with(b"]") && first.len() > 2;
        if !as_kernel && !brackets {
            continue;
        }
        let evidence = Evidence::default()
            .and("comm of task_struct", row.taskd, name)
            .and("its first argument", row.taskd, first);
        let text = "A program is called as a thread of the kernel is.";
        found.process(&row.pid, of(row, Severity::Medium, text, evidence));
    }
}

/// A socket that sees frames as they come.
pub(super) static PACKETS: Rule = Rule {
    about: About {
        name: "socket.packet",
        normal: "Few programs see frames as they come.",
        otherwise: "DHCP clients, network managers, LLDP daemons and packet capture do.",
    },
    look: packets,
};

fn packets(context: &Context<'_>, found: &mut Found) {
    let ends = sockets::sockets(context.linux, &mut |socket| {
        match &socket.family {
            Ok(AF_PACKET) => packet(context, found, &socket),
            Ok(_) => {}
            Err(absent) => found.absent("the family of a socket", absent),
        }
        ControlFlow::Continue(())
    });
    found.ends.join(ends);
}

/// Notes a packet socket.
fn packet(context: &Context<'_>, found: &mut Found, socket: &Socket) {
    let mut rows = context.processes().iter();
    let owner = rows.find(|row| row.pid.is_ok() && row.pid == socket.pid);
    for value in [&socket.pid, &socket.fd] {
        if let Err(absent) = value {
            found.absent("who has a packet socket", absent);
        }
    }
    let program = owner.and_then(|row| exe(row, found));
    let severity = match program {
        Some(path) if path.ends_with(DELETED_MARK) => Severity::Medium,
        _ => Severity::Note,
    };
    let what = match &socket.protocol {
        Ok(protocol) => format!("frames of type {protocol:#06x}"),
        Err(absent) => {
            found.absent("which frames a packet socket takes", absent);
            "frames".to_owned()
        }
    };
    let says = Says {
        severity,
        subject: owner.map_or_else(|| b"packet socket".to_vec(), process),
        text: format!("A packet socket takes {what}."),
        evidence: Evidence::default().and(
            "struct sock",
            socket.address,
            match socket.fd.value() {
                Some(fd) => format!("descriptor {fd}"),
                None => "no descriptor".to_owned(),
            },
        ),
        address: socket.address,
    };
    found.process(&socket.pid, says);
}

/// A process that another traces.
pub(super) static TRACED: Rule = Rule {
    about: About {
        name: "process.traced",
        normal: "Nobody traces processes on a machine in use.",
        otherwise: "Debuggers, strace, crash handlers and sandboxes trace.",
    },
    look: traced,
};

fn traced(context: &Context<'_>, found: &mut Found) {
    let (space, layout) = (&context.linux.guest.space, &context.linux.tasks);
    let Some((ptrace, parent)) = layout.ptrace.zip(layout.parent) else {
        found.lost("task_struct.ptrace in the profile", None);
        return;
    };
    for row in context.processes() {
        let at = ptrace.place(row.taskd);
        match ptrace.read(space, row.taskd) {
            Ok(0) => {}
            Ok(flags) => {
                let tracer = parent.read(space, row.taskd);
                let id = tracer.and_then(|tracer| layout.tgid.read(space, tracer));
                let id = match id {
                    Ok(id) => id.to_string(),
                    Err(fault) => {
                        found.lost("the id of a tracer", Some(fault));
                        "?".to_owned()
                    }
                };
                let evidence = Evidence::default()
                    .and("task_struct.ptrace", at, format!("{flags:#x}"))
                    .and(
                        "task_struct.parent",
                        parent.place(row.taskd),
                        format!("process {id}"),
                    );
                let text = format!("Process {id} traces it.");
                found.process(&row.pid, of(row, Severity::Note, &text, evidence));
            }
            Err(fault) => found.lost("task_struct.ptrace", Some(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_out_of_memory_has_the_path_of_a_memfd() {
        assert!(
            is_memfd(b"/memfd:x (deleted)")
                && is_memfd(b"/memfd:runc_cloned:/proc/self/exe (deleted)")
        );
        assert!(!is_memfd(b"/usr/bin/memfd:x") && !is_memfd(b"/bin/true"));
    }

    #[test]
    fn folders_that_everybody_may_write_to_are_named_whole() {
        assert!(is_open(b"/tmp/x") && is_open(b"/dev/shm/x.so") && is_open(b"/var/tmp/x"));
        assert!(!is_open(b"/tmpfiles/x") && !is_open(b"/usr/tmp/x"));
    }
}
