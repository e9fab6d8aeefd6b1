//! Memory of programs that can be executed and is no file's, or can be written as well.

use std::ops::ControlFlow;

use osier_memory::Cause;
use osier_osi::code::Width;
use osier_osi::{Mapping, Process, SeenExt as _, Severity};

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use crate::{carve, mappings, memory};

/// `VM_WRITE` and `VM_EXEC`.
const VM_WRITE: u64 = 0x2;
const VM_EXEC: u64 = 0x4;
/// Bytes that are shown.
const SHOWN: usize = 32;

/// Executable memory of a program that is no file's, or can be written.
pub(super) static MEMORY: Rule = Rule {
    about: About {
        name: "memory.executable",
        normal: "Executable memory of a program is mapped from a file and cannot be written.",
        otherwise: "Compilers at run time (JavaScript, Java, .NET, PCRE, libffi) and programs that want an executable stack.",
    },
    look: executable,
};

fn executable(context: &Context<'_>, found: &mut Found) {
    for row in context.programs(found) {
        let ends = mappings::mappings(context.linux, row.taskd, &mut |mapping| {
            look(context, found, row, &mapping);
            ControlFlow::Continue(())
        });
        found.ends.join(ends);
    }
}

fn look(context: &Context<'_>, found: &mut Found, row: &Process, mapping: &Mapping) {
    if let Err(absent) = &mapping.offset
        && absent.is_loss()
    {
        // What else its structure says is no better: without a file it would be the program's own.
        return found.absent("what a vm_area_struct says of its memory", absent);
    }
    let (flags, base, size) = match (&mapping.flags, &mapping.base, &mapping.size) {
        (Ok(flags), Ok(base), Ok(size)) => (flags, base, size),
        (Err(absent), ..) | (_, Err(absent), _) | (.., Err(absent)) => {
            return found.absent("what a vm_area_struct says of its memory", absent);
        }
    };
    if flags & VM_EXEC == 0 {
        return;
    }
    let written = flags & VM_WRITE != 0;
    let anonymous = match (&mapping.file, &mapping.name) {
        (Ok(_), _) => false,
        // Whether it is the kernel's own, its name says.
        (Err(absent), _) | (_, Err(absent)) if absent.is_loss() => {
            return found.absent("what executable memory is of", absent);
        }
        _ => true,
    };
    let own = matches!(mapping.name.get(), Some(name) if [&b"[vdso]"[..], b"[vsyscall]", b"[uprobes]", b"[sigpage]"].contains(&name.as_slice()));
    if own || !(anonymous || written) {
        return;
    }
    let mut bytes = [0; SHOWN];
    let held = match memory::address_space(context.linux, row.taskd) {
        Ok(space) => match space.read(*base, &mut bytes) {
            Ok(()) => true,
            Err(fault) => {
                // What was never touched, or was swapped out, is not in memory.
                if !matches!(
                    fault.cause,
                    Cause::NotPresent { .. } | Cause::Elsewhere { .. }
                ) {
                    found.lost("the first bytes of executable memory", Some(fault));
                }
                false
            }
        },
        Err(absent) => {
            found.absent("the page table of a process", &absent);
            false
        }
    };
    let program = held && bytes.starts_with(b"\x7fELF");
    let severity = if program && anonymous {
        Severity::Medium
    } else {
        Severity::Note
    };
    let what = match (anonymous, written) {
        (true, true) => "can be written and executed, and is no file's",
        (true, false) => "can be executed, and is no file's",
        _ => "of a file can be written and executed",
    };
    let width = carve::program_width(context.linux, row.taskd).ok();
    let head = if program {
        ", and begins as a program does (ELF)"
    } else {
        ""
    };
    let name = mapping.name.get().cloned().unwrap_or_default();
    found.process(
        &row.pid,
        Says {
            severity,
            subject: process(row),
            text: format!("Memory of {size} bytes at {base} {what}{head}."),
            evidence: Evidence::default()
                .and(
                    "vm_area_struct",
                    mapping.modd,
                    [format!("flags {flags:#x} ").as_bytes(), &name].concat(),
                )
                .and_code(
                    *base,
                    held.then_some(&bytes[..]),
                    program,
                    width.map(Width::of),
                ),
            address: *base,
        },
    );
}
