//! Tables of entries to the kernel: system calls and interrupts.

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::Severity;

use super::context::{About, Context, Evidence, Found, Rule, Says};
use super::lost;
use crate::symbols;

/// More system calls than any table has.
const MOST: u64 = 1024;
/// System calls that every kernel has from v2.6.32 on.
const LEAST: u64 = 290;
/// Gates of the table of interrupts.
const GATES: u64 = 256;
/// Exceptions that no kernel takes: their gates keep what the boot wrote, which leads into code that was given back.
const RESERVED: std::ops::Range<u64> = 20..32;
/// The machine check, which a kernel without `CONFIG_X86_MCE` (Debian's cloud kernels) does not take either.
const MACHINE_CHECK: u64 = 18;
/// Exceptions that every kernel takes by a gate since v2.6.32; that of a double fault is a task's on 32 bits.
const TAKEN: [std::ops::RangeInclusive<u64>; 3] = [0..=7, 10..=14, 16..=17];
/// A task gate, whose handler is the processor's business.
const TASK_GATE: u16 = 5;

/// An entry of a system-call table that leaves the kernel's code.
pub(super) static SYSTEM_CALLS: Rule = Rule {
    about: About {
        name: "syscall.table",
        normal: "Every entry leads into the kernel's own code, _text to _etext, to a function that a system call is made by.",
        otherwise: "Old security products and kernel live patches that replace entries; their module is named where it is on the list.",
    },
    look: system_calls,
};

fn system_calls(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let tables = [
        symbols::sys_call_table,
        symbols::ia32_sys_call_table,
        symbols::x32_sys_call_table,
    ];
    let guest = &context.linux.guest;
    let mut known = false;
    for name in tables {
        if let Some(table) = guest.symbol(name) {
            known = true;
            system_call_table(context, name, table, found);
        }
    }
    if !known {
        found.lost("sys_call_table in the profile", None);
    }
}

fn system_call_table(context: &Context<'_>, name: &str, table: VirtAddr, found: &mut Found) {
    let guest = &context.linux.guest;
    let word = u64::from(guest.pointer_bytes());
    let (mut own, mut away) = (Vec::new(), Vec::new());
    for number in 0..MOST {
        let at = table.plus(number.wrapping_mul(word));
        let to = match guest.space.read_pointer(at) {
            Ok(to) => to,
            Err(fault) => {
                found.lost(name, Some(fault));
                break;
            }
        };
        if guest.code.contains(&to) {
            own.push((number, at, to));
            continue;
        }
        // Every call that there is not leads to a function that says so.
        if to.is_null() && number < LEAST {
            found.lost(&format!("{name}, of which an entry is zero"), None);
            continue;
        }
        // What follows the table is the linker's, which knows no address outside the image.
        let outside = to.0 >= guest.user_end && !in_image(context, to);
        if number >= LEAST && !(outside && lost::leads_somewhere(context, to)) {
            break;
        }
        away.push((number, at, to));
    }
    let all: Vec<_> = own.iter().chain(&away).map(|(_, at, _)| *at).collect();
    let places: Vec<_> = away.iter().map(|(_, at, _)| *at).collect();
    let lost = lost::pages(&all, &places);
    if !lost.is_empty() {
        found.lost(&format!("{name}, most of whose entries lead nowhere"), None);
    }
    for entries in [&mut own, &mut away] {
        entries.retain(|(_, at, _)| !lost::is_of(&lost, *at));
    }
    for (number, at, to) in away {
        found.kernel(leaves(context, &format!("{name}[{number}]"), at, to));
    }
    others(context, name, &own, found);
}

/// Entries that lead to functions of the kernel which are no system calls.
fn others(
    context: &Context<'_>,
    table: &str,
    own: &[(u64, VirtAddr, VirtAddr)],
    found: &mut Found,
) {
    let Some((symbols, calls)) = context.calls(found) else {
        return;
    };
    // Behind the calls that every kernel has, the first that is none may be what follows the table.
    let of_table =
        |(number, _, to): &&(u64, VirtAddr, VirtAddr)| *number < LEAST || calls.contains(to);
    let own = own.iter().take_while(of_table);
    for (number, at, to) in own.filter(|(_, _, to)| !calls.contains(to)) {
        let starts = symbols.starts();
        let before = starts.partition_point(|start| start <= to).checked_sub(1);
        let Some(function) = before.and_then(|before| starts.get(before).copied()) else {
            continue;
        };
        let name = symbols.name(function).unwrap_or_default();
        let name = name.escape_ascii();
        let what = match to.since(function) {
            0 => format!("{name}, a function of the kernel that is no system call"),
            into => format!("the middle of a function of the kernel, {into} bytes into {name}"),
        };
        let entry = format!("{table}[{number}]");
        found.kernel(Says {
            severity: Severity::Medium,
            subject: entry.clone().into_bytes(),
            text: format!("{entry} leads to {what}."),
            evidence: Evidence::default().and(&entry, *at, to.to_string()).and(
                "bytes",
                *to,
                context.bytes(*to).into_bytes(),
            ),
            address: *at,
        });
    }
}

/// The entries of the table of system calls at `table`, up to the next table, and where each leads, when all up to the
/// last that leads to a system call do.
pub(super) fn own_calls(
    context: &Context<'_>,
    table: VirtAddr,
    calls: &HashSet<VirtAddr>,
) -> Option<Vec<(VirtAddr, VirtAddr)>> {
    let guest = &context.linux.guest;
    let word = u64::from(guest.pointer_bytes());
    let others = [symbols::ia32_sys_call_table, symbols::x32_sys_call_table];
    let others = others.into_iter().filter_map(|name| guest.symbol(name));
    let next = others.filter(|other| *other > table).min();
    let places = (0..MOST).map(|number| table.plus(number.wrapping_mul(word)));
    let places = places.take_while(|at| next.is_none_or(|next| *at < next));
    let read = places.map_while(|at| Some((at, guest.space.read_pointer(at).ok()?)));
    let mut own: Vec<_> = read.collect();
    let last = own.iter().rposition(|(_, to)| calls.contains(to))?;
    own.truncate(last.saturating_add(1));
    let whole = own.iter().all(|(_, to)| calls.contains(to));
    (whole && own.len() as u64 >= LEAST).then_some(own)
}

/// Whether `at` lies in the kernel's image.
pub(super) fn in_image(context: &Context<'_>, at: VirtAddr) -> bool {
    let guest = &context.linux.guest;
    let end = guest.symbol(symbols::_end).unwrap_or(guest.code.end);
    at >= guest.code.start && at < end
}

/// Whether `at` lies where the image has the code of the boot, which is given back when that is done.
pub(super) fn in_boot(context: &Context<'_>, at: VirtAddr) -> bool {
    let start = context.linux.guest.symbol(symbols::_sinittext);
    start.is_some_and(|start| at >= start) && in_image(context, at)
}

/// Whether what lies at `to` can be carried out, and is no code that the boot gave back.
pub(super) fn can_run(context: &Context<'_>, to: VirtAddr) -> bool {
    let mut runs = false;
    let page = to..VirtAddr(to.0.saturating_add(1));
    context.linux.guest.space.mapped_rights(page, &mut |range| {
        runs = range.is_ok_and(|range| !range.flags.no_execute);
        ControlFlow::Break(())
    });
    runs && !in_boot(context, to)
}

/// An entry that leads out of the kernel's code.
pub(super) fn leaves(context: &Context<'_>, entry: &str, at: VirtAddr, to: VirtAddr) -> Says {
    Says {
        severity: Severity::High,
        subject: entry.to_owned().into_bytes(),
        text: format!("{entry} leads to {to}, which is not the kernel's own code."),
        evidence: Evidence::default().and(entry, at, to.to_string()).and(
            "bytes",
            to,
            context.target(to),
        ),
        address: at,
    }
}

/// A gate as the processor reads it: Intel's manual, volume 3, "IDT Descriptors" and "64-Bit Mode IDT".
struct Gate {
    /// Where its handler is.
    handler: VirtAddr,
    /// Bits 32 to 47: whether it is present, and of which type.
    marks: u16,
}

impl Gate {
    /// The gate whose bytes these are, 8 of them on 32 bits and 16 on 64.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let [l0, l1, _, _, m0, m1, h0, h1] = *first;
        let upper = rest.first_chunk::<4>().copied().unwrap_or_default();
        let lower = u32::from_le_bytes([l0, l1, h0, h1]);
        Some(Self {
            handler: VirtAddr(u64::from(u32::from_le_bytes(upper)) << 32 | u64::from(lower)),
            marks: u16::from_le_bytes([m0, m1]),
        })
    }

    fn is_present(&self) -> bool {
        self.marks >> 15 == 1
    }

    fn kind(&self) -> u16 {
        self.marks >> 8 & 0x1f
    }
}

/// A gate of the interrupt table that leaves the kernel's code.
pub(super) static INTERRUPTS: Rule = Rule {
    about: About {
        name: "interrupt.table",
        normal: "Every gate that is present leads into the kernel's own code, _text to _etext.",
        otherwise: "A Xen paravirtual guest, whose table the hypervisor keeps.",
    },
    look: interrupts,
};

fn interrupts(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let Some(table) = guest.symbol(symbols::idt_table) else {
        found.lost("idt_table in the profile", None);
        return;
    };
    let mut bytes = vec![0; if guest.pointer_bytes() == 8 { 16 } else { 8 }];
    let gate_bytes = bytes.len() as u64;
    let (mut all, mut away) = (Vec::new(), Vec::new());
    for vector in 0..GATES {
        let at = table.plus(vector.wrapping_mul(gate_bytes));
        if let Err(fault) = guest.space.read(at, &mut bytes) {
            found.lost("idt_table", Some(fault));
            return;
        }
        let Some(gate) = Gate::of(&bytes) else {
            return;
        };
        if !gate.is_present() && TAKEN.iter().any(|taken| taken.contains(&vector)) {
            found.lost("idt_table, which lacks an exception", None);
        }
        let to = gate.handler;
        let untaken = RESERVED.contains(&vector) || vector == MACHINE_CHECK;
        let of_boot = untaken && in_boot(context, to);
        all.push(at);
        let leads = gate.is_present() && gate.kind() != TASK_GATE;
        if !leads || guest.code.contains(&to) || of_boot {
            continue;
        }
        // No kernel of 64 bits is reached without the upper half of an address.
        if guest.pointer_bytes() == 8 && to.0 >> 32 == 0 {
            found.lost("idt_table, half an address", None);
        } else {
            away.push((vector, at, to));
        }
    }
    let places: Vec<_> = away.iter().map(|(_, at, _)| *at).collect();
    if !lost::pages(&all, &places).is_empty() {
        return found.lost("idt_table, most of whose gates lead nowhere", None);
    }
    for (vector, at, to) in away {
        found.kernel(leaves(context, &format!("idt_table[{vector}]"), at, to));
    }
}

#[cfg(test)]
mod tests {
    use osier_memory::VirtAddr;

    use super::Gate;

    #[test]
    fn a_gate_has_its_handler_in_parts() {
        let long = [
            0x78, 0x56, 0x10, 0, 0, 0x8e, 0x34, 0x12, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
        ];
        let gate = Gate::of(&long).unwrap();
        assert_eq!(gate.handler, VirtAddr(0xffff_ffff_1234_5678));
        assert!(gate.is_present() && gate.kind() == 0xe);
        let task = Gate::of(&[0, 0, 0xf8, 0, 0, 0x85, 0, 0]).unwrap();
        assert_eq!((task.handler, task.kind()), (VirtAddr(0), super::TASK_GATE));
        assert!(Gate::of(&long[..7]).is_none());
    }
}
