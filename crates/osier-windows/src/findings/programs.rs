//! Programs that are not what their file says, act for somebody else, or run what is no file's.

use std::collections::HashMap;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::code::Width;
use osier_osi::{Mapping, MappingKind, Process, SeenExt as _, Severity};

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use crate::{mappings, peb, root, token, twins};

/// Bytes that are shown.
const SHOWN: usize = 32;

/// A process whose program was exchanged.
pub(super) static REPLACED: Rule = Rule {
    about: About {
        name: "image.replaced",
        normal: "A process's PEB names the image that the kernel mapped when it made the process.",
        otherwise: "Programs that unpack themselves to another place, and loaders of such programs.",
    },
    look: replaced,
};

fn replaced(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let Some(field) = windows.process.fields.section_base else {
        return; // kernels that do not note it
    };
    for row in running(context) {
        let at = row.taskd;
        let block = match peb::native(windows, at) {
            Ok(block) => block,
            Err(absent) => {
                found.absent("the PEB of a process", &absent);
                continue;
            }
        };
        let place = field.place(at);
        let noted = match field.read(&windows.guest.space, at) {
            Ok(noted) => noted,
            Err(fault) => {
                found.lost("SectionBaseAddress", Some(fault));
                continue;
            }
        };
        let (own, own_place) = match block.image_base() {
            Ok(Some(own)) => own,
            Ok(None) => continue,
            Err(fault) => {
                found.lost("ImageBaseAddress of a process", Some(fault));
                continue;
            }
        };
        if noted.is_null() || own.is_null() {
            found.lost("where the program of a process lies, which is zero", None);
            continue;
        }
        if own == noted {
            continue;
        }
        found.process(
            &row.pid,
            Says {
                severity: Severity::High,
                subject: process(row),
                text: format!(
                    "The process's PEB says that its program lies at {own}, the kernel mapped it at {noted}."
                ),
                evidence: Evidence::default()
                    .and("ImageBaseAddress", own_place, own.to_string())
                    .and("SectionBaseAddress", place, noted.to_string()),
                address: at,
            },
        );
    }
}

/// Processes that share a token.
pub(super) static TOKENS: Rule = Rule {
    about: About {
        name: "token.shared",
        normal: "Every process has a token of its own.",
        otherwise: "None is known: what acts for somebody else is a copy.",
    },
    look: tokens,
};

fn tokens(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let mut owners: HashMap<VirtAddr, VirtAddr> = HashMap::new();
    for row in running(context) {
        let token = match token::of_process(windows, row.taskd) {
            Ok(token) => token,
            Err(absent) => {
                found.absent("the token of a process", &absent);
                continue;
            }
        };
        let first = *owners.entry(token.at).or_insert(row.taskd);
        if first == row.taskd {
            continue;
        }
        let of_system = windows.system() == Some(first);
        let severity = if of_system {
            Severity::High
        } else {
            Severity::Medium
        };
        let whose = if of_system {
            "System's"
        } else {
            "another process's"
        };
        found.process(
            &row.pid,
            Says {
                severity,
                subject: process(row),
                text: format!("The process acts by {whose} token."),
                evidence: Evidence::default()
                    .and("_TOKEN", token.at, format!("that of the _EPROCESS {first}"))
                    .and("_EPROCESS", row.taskd, "names it too"),
                address: row.taskd,
            },
        );
    }
}

/// Executable memory of a program that is no image's.
pub(super) static MEMORY: Rule = Rule {
    about: About {
        name: "memory.executable",
        normal: "Executable memory of a program is of an image.",
        otherwise: "Compilers at run time (JavaScript, .NET, Java), security software, and programs that unpack themselves.",
    },
    look: executable,
};

fn executable(context: &Context<'_>, found: &mut Found) {
    for row in running(context) {
        if let Err(absent) = &row.asid {
            found.absent("the page table of a process", absent);
            continue;
        }
        let ends = mappings::mappings(context.windows, row.taskd, &mut |mapping| {
            look(context, found, row, &mapping);
            ControlFlow::Continue(())
        });
        found.ends.join(ends);
    }
}

fn look(context: &Context<'_>, found: &mut Found, row: &Process, mapping: &Mapping) {
    let (perms, base, size, kind) =
        match (&mapping.perms, &mapping.base, &mapping.size, &mapping.kind) {
            (Ok(perms), Ok(base), Ok(size), Ok(kind)) => (perms, base, size, kind),
            (Err(absent), ..)
            | (_, Err(absent), ..)
            | (_, _, Err(absent), _)
            | (.., Err(absent)) => {
                found.absent("what a descriptor says of its memory", absent);
                return;
            }
        };
    if !perms.contains(&b'x') {
        return;
    }
    if matches!(kind, MappingKind::Image | MappingKind::File) {
        return;
    }
    let mut bytes = [0; SHOWN];
    let space = root::address_space(context.windows, row.taskd);
    let read = space.map(|space| space.read(*base, &mut bytes));
    let held = matches!(read, Ok(Ok(())));
    let program = held && bytes.starts_with(b"MZ");
    let severity = if program {
        Severity::Medium
    } else {
        Severity::Note
    };
    let width = width(context, row, *base);
    let head = if program {
        ", and begins as a program does (MZ)"
    } else {
        ""
    };
    found.process(
        &row.pid,
        Says {
            severity,
            subject: process(row),
            text: format!(
                "Memory of {size} bytes at {base} can be executed, and is no image's{head}."
            ),
            evidence: Evidence::default()
                .and("descriptor", mapping.modd, perms)
                .and_code(*base, held.then_some(&bytes[..]), program, width),
            address: *base,
        },
    );
}

/// How wide code at `base` is carried out: what a 32-bit program has on a 64-bit system lies below 4 GiB.
fn width(context: &Context<'_>, row: &Process, base: VirtAddr) -> Option<Width> {
    let windows = context.windows;
    let own = windows.guest.pointer_bytes();
    if own == 4 || base.0 >= 1 << 32 {
        return Some(Width::of(own));
    }
    let narrow = peb::wow64(windows, row.taskd).ok()?.is_some();
    Some(if narrow { Width::Bits32 } else { Width::Bits64 })
}

/// The processes that run, as far as their rows can be read (`ps` says what cannot).
fn running<'c>(context: &'c Context<'_>) -> impl Iterator<Item = &'c Process> {
    let windows = context.windows;
    let rows = context.processes().iter();
    rows.filter(move |row| twins::runs(windows, row.taskd) && row.pid.get().is_some())
}
