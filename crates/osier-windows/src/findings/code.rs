//! Tables of the kernel that lead out of the images they should lead into: system calls, interrupts, drivers.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, SeenExt as _, Severity};

use super::context::{About, Context, Evidence, Found, Owner, Rule, Says, subject};
use crate::symbols;
use crate::windows::Windows;
use crate::{current, drivers};

/// More system calls than any kernel has.
const MOST_CALLS: u64 = 0x1000;

/// A system call that is not the kernel's own code.
pub(super) static SYSTEM_CALLS: Rule = Rule {
    about: About {
        name: "syscall.table",
        normal: "Every entry of KiServiceTable leads into the kernel's image.",
        otherwise: "Security software of 32-bit systems, whose driver is on the list of modules.",
    },
    look: system_calls,
};

fn system_calls(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let guest = &windows.guest;
    let places = (
        guest.symbol(symbols::KiServiceTable),
        guest.symbol(symbols::KiServiceLimit),
    );
    let (Some(table), Some(limit)) = places else {
        found.lost("KiServiceTable and KiServiceLimit in the profile", None);
        return;
    };
    let count = match guest.space.read_uint(limit, 4) {
        Ok(count) if (1..=MOST_CALLS).contains(&count) => count,
        Ok(count) => {
            let missing = format!("KiServiceLimit, which is {count:#x}");
            found.lost(&missing, None);
            return;
        }
        Err(fault) => {
            found.lost(symbols::KiServiceLimit, Some(fault));
            return;
        }
    };
    for nth in 0..count {
        let place = table.plus(nth.saturating_mul(4));
        let to = match call(windows, table, place) {
            Ok(to) => to,
            Err(fault) => {
                found.lost(symbols::KiServiceTable, Some(fault));
                return;
            }
        };
        // Of 64 bits a zero leads to the table, of 32 to nowhere: the kernel writes neither.
        if to == table || to.is_null() {
            found.lost("KiServiceTable, of which an entry is zero", None);
            continue;
        }
        let Some(owner) = context.stranger(to, found) else {
            continue;
        };
        // Before 64 bits, software that guards others did the same.
        let known = matches!(owner, Owner::Module(_)) && guest.pointer_bytes() == 4;
        let severity = if known {
            Severity::Medium
        } else {
            Severity::High
        };
        let subject = format!("KiServiceTable[{nth:#x}]");
        found.kernel(leaves(context, severity, subject, place, to, &owner));
    }
}

/// Where the entry at `place` leads. 32-bit kernels keep addresses; 64-bit ones keep the distance from the table
/// above four bits that count arguments.
fn call(windows: &Windows, table: VirtAddr, place: VirtAddr) -> Result<VirtAddr, Fault> {
    let raw = windows.guest.space.read_uint(place, 4)?;
    if windows.guest.pointer_bytes() == 4 {
        return Ok(VirtAddr(raw));
    }
    let distance = i64::from((raw as u32).cast_signed() >> 4);
    Ok(table.plus(distance.cast_unsigned()))
}

fn leaves(
    context: &Context<'_>,
    severity: Severity,
    subject: String,
    place: VirtAddr,
    to: VirtAddr,
    owner: &Owner,
) -> Says {
    let words = owner.words();
    Says {
        severity,
        text: format!("{subject} leads to {to}, which is not the kernel's own code."),
        subject: subject.into_bytes(),
        evidence: Evidence::default().and("entry", place, to.to_string()).and(
            "code",
            to,
            [context.bytes(to).as_bytes(), b" (", &words, b")"].concat(),
        ),
        address: place,
    }
}

/// An exception that is not taken by the kernel's own code.
pub(super) static INTERRUPTS: Rule = Rule {
    about: About {
        name: "interrupt.table",
        normal: "The gates of exceptions and software interrupts lead into the kernel's image or the HAL's.",
        otherwise: "A debugger that runs in the kernel.",
    },
    look: interrupts,
};

fn interrupts(context: &Context<'_>, found: &mut Found) {
    /// Vectors that are the processor's own or the kernel's; above them devices have theirs.
    const VECTORS: u64 = 0x30;
    // Exceptions that every Windows takes by a gate; those between may have a task's.
    let always = |vector: u64| matches!(vector, 0 | 1 | 3..=7 | 0xa..=0xe);
    let windows = context.windows;
    let guest = &windows.guest;
    let (Some(inside), Some(table)) = (windows.current.inside, windows.current.idt) else {
        found.lost("members of _KPCR in the profile", None);
        return;
    };
    let blocks = match current::blocks(windows) {
        Ok(blocks) => blocks,
        Err(absent) => {
            found.lost(&format!("the processors' blocks: {absent}"), None);
            return;
        }
    };
    let promised = windows.processors.unwrap_or(1).max(1);
    if (blocks.len() as u64) < u64::from(promised) {
        found.lost("a processor's block in KiProcessorBlock", None);
    }
    for (cpu, block) in blocks.iter().enumerate() {
        let pcr = inside.container(*block);
        let at = match table.read(&guest.space, pcr) {
            Ok(at) => at,
            Err(fault) => {
                found.lost("the table of interrupts", Some(fault));
                continue;
            }
        };
        for vector in 0..VECTORS {
            let bytes = u64::from(guest.pointer_bytes()).saturating_mul(2);
            let place = at.plus(vector.saturating_mul(bytes));
            let to = match gate(windows, place) {
                Ok(Some(to)) => to,
                Ok(None) if always(vector) => {
                    found.lost("the table of interrupts, which lacks an exception", None);
                    continue;
                }
                Ok(None) => continue,
                Err(fault) => {
                    found.lost("the table of interrupts", Some(fault));
                    break;
                }
            };
            let owner = context.stranger(to, found);
            let hal = |name: &[u8]| name.eq_ignore_ascii_case(b"hal.dll");
            match owner {
                None => {}
                Some(Owner::Module(name)) if hal(&name) => {}
                Some(owner) => {
                    let subject = format!("IDT of processor {cpu}, vector {vector:#x}");
                    let says = leaves(context, Severity::High, subject, place, to, &owner);
                    found.kernel(says);
                }
            }
        }
    }
}

/// Where the gate at `place` leads; `None` for one that is not present, or of another sort.
fn gate(windows: &Windows, place: VirtAddr) -> Result<Option<VirtAddr>, Fault> {
    const PRESENT: u64 = 1 << 47;
    let space = &windows.guest.space;
    let low = space.read_uint(place, 8)?;
    // Interrupt and trap gates of 32 and 64 bits; task gates lead to no code.
    if low & PRESENT == 0 || !matches!(low >> 40 & 0xf, 0xe | 0xf) {
        return Ok(None);
    }
    let to = low & 0xffff | low >> 32 & 0xffff_0000;
    if windows.guest.pointer_bytes() == 4 {
        return Ok(Some(VirtAddr(to)));
    }
    let high = space.read_uint(place.plus(8), 4)?;
    Ok(Some(VirtAddr(to | high << 32)))
}

/// A driver whose requests go to nobody's code.
pub(super) static DRIVERS: Rule = Rule {
    about: About {
        name: "driver.function",
        normal: "A driver's functions lie in images of the list of modules.",
        otherwise: "A driver that is being loaded or unloaded as the machine stops.",
    },
    look: functions,
};

fn functions(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let (all, ends) = drivers::in_directories(windows);
    found.ends.join(ends);
    for at in all {
        let functions = match drivers::functions(windows, at) {
            Ok(functions) => functions,
            Err(absent) => {
                let fault = match absent.why {
                    osier_osi::Why::Unreadable(fault) => Some(fault),
                    _ => None,
                };
                found.lost("the functions of a driver", fault);
                continue;
            }
        };
        let driver = drivers::driver(windows, at);
        for (number, (place, to)) in functions.into_iter().enumerate() {
            // The kernel itself puts a function there that refuses.
            if to.is_null() {
                found.lost("the functions of a driver, of which one is zero", None);
                continue;
            }
            // The functions of other modules, of a class or a port, are normal.
            if context.stranger(to, found) != Some(Owner::Nobody) {
                continue;
            }
            // That its whole image is on no list is another finding.
            let start = driver.start.value();
            let unlisted = start.is_some_and(|at| context.owner(at) == Owner::Nobody);
            if unlisted && driver.holds(to) {
                continue;
            }
            let none = Err(Absent::not_in_this_kernel());
            let subject = subject("driver", &none, &driver.name);
            found.kernel(Says {
                severity: Severity::High,
                text: format!("MajorFunction[{number}] of a driver leads to {to}, which is in no image of the list of modules."),
                subject,
                evidence: Evidence::default()
                    .and("entry", place, to.to_string())
                    .and("code", to, context.bytes(to)),
                address: at,
            });
        }
    }
}
