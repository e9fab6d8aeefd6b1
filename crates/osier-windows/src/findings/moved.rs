//! Tables of system calls that are not the kernel's own: whoever changes one that is write-protected, or does not want
//! to be seen, makes a copy and lets the kernel go by that.

use osier_memory::VirtAddr;
use osier_osi::Severity;

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use crate::{symbols, threads, twins};

/// The kernel's descriptions of its tables. The first table of each is that of the kernel's own calls.
const DESCRIPTORS: [&str; 2] = [
    symbols::KeServiceDescriptorTable,
    symbols::KeServiceDescriptorTableShadow,
];

/// A table of system calls that was put elsewhere.
pub(super) static MOVED: Rule = Rule {
    about: About {
        name: "syscall.moved",
        normal: "KeServiceDescriptorTable and its shadow lead to KiServiceTable, and on 32-bit kernels every thread to one of them.",
        otherwise: "Security software of 32-bit systems that goes by a table of its own.",
    },
    look: moved,
};

fn moved(context: &Context<'_>, found: &mut Found) {
    let guest = &context.windows.guest;
    // Whoever looks at the table itself says that it is not there.
    let Some(table) = guest.symbol(symbols::KiServiceTable) else {
        return;
    };
    let limit = guest.symbol(symbols::KiServiceLimit);
    let limit = limit.and_then(|at| guest.space.read_uint(at, 4).ok());
    let mut known = Vec::new();
    for name in DESCRIPTORS {
        let Some(at) = guest.symbol(name) else {
            continue;
        };
        known.push(at);
        // `Base`, `Count`, `Limit`, `Number`, a word each.
        let count = at.plus(u64::from(guest.pointer_bytes()).wrapping_mul(2));
        let read = guest.space.read_pointer(at);
        let read = read.and_then(|base| Ok((base, guest.space.read_uint(count, 4)?)));
        let (base, own) = match read {
            Ok(read) => read,
            Err(fault) => {
                found.lost(name, Some(fault));
                continue;
            }
        };
        if base.is_null() {
            found.lost(&format!("{name}, which is zero"), None);
            continue;
        }
        // A half of it is lost: nobody puts a table where programs are.
        if !guest.is_kernel_address(base) {
            found.lost(&format!("{name}, which is no address of the kernel"), None);
            continue;
        }
        if base == table && limit.is_none_or(|limit| limit == own) {
            continue;
        }
        let what = if base == table {
            format!("{name} says that there are {own} system calls, the kernel has others.")
        } else {
            format!("{name} says that system calls are at {base}, the kernel has them at {table}.")
        };
        found.kernel(Says {
            severity: Severity::High,
            subject: name.as_bytes().to_vec(),
            text: what,
            evidence: Evidence::default()
                .and("Base", at, base.to_string())
                .and("Limit", count, own.to_string())
                .and("KiServiceTable", table, "the kernel's own"),
            address: at,
        });
    }
    if guest.pointer_bytes() == 4 && !known.is_empty() {
        of_threads(context, &known, found);
    }
}

/// Threads that go by another description than the kernel's own (`known`).
fn of_threads(context: &Context<'_>, known: &[VirtAddr], found: &mut Found) {
    let windows = context.windows;
    let Some(field) = windows.trap.stack.services else {
        return;
    };
    let rows = context.processes().iter();
    for row in rows.filter(|row| twins::runs(windows, row.taskd)) {
        // How the walk ended `threads` says.
        let (all, _) = threads::listed(windows, row.taskd);
        for thread in all {
            let to = match field.read(&windows.guest.space, thread) {
                Ok(to) => to,
                Err(fault) => {
                    found.lost("ServiceTable of a thread", Some(fault));
                    continue;
                }
            };
            // One that is being made, or has ended, has none.
            if to.is_null() || known.contains(&to) {
                continue;
            }
            found.process(
                &row.pid,
                Says {
                    severity: Severity::High,
                    subject: process(row),
                    text: format!("A thread of the process goes by system calls described at {to}, which is not the kernel's own description."),
                    evidence: Evidence::default()
                        .and("ServiceTable", field.place(thread), to.to_string())
                        .and("code", to, context.bytes(to)),
                    address: thread,
                },
            );
        }
    }
}
