//! What the kernel said when it stopped the machine: a panic.
//!
//! `panic_cpu` names the processor that panics, and -1 before; Linux commit 1717f2096b54 ("panic, x86: Fix
//! re-entrance problem due to panic on NMI"), v4.5. Before, the log alone tells of it, as it tells of the reason
//! in every kernel.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Absent, Crash, Seen, SeenExt as _, WalkEnd, WalkEnds};

use crate::symbols;
use crate::{Linux, cpus, log};

/// How the line begins that `panic` writes.
const PANIC: &[u8] = b"Kernel panic - not syncing";
/// How lines begin that tell of an error of the kernel's, after which it may stop at once for a dump.
const ERRORS: [&[u8]; 5] = [
    b"BUG: ",
    b"kernel BUG at",
    b"Oops: ",
    b"general protection fault",
    b"Unable to handle kernel",
];

/// The panic of the kernel; not applicable where there was none.
pub(crate) fn crash(linux: &Linux) -> Seen<Crash> {
    let named = match linux.guest.symbol(symbols::panic_cpu) {
        Some(place) => {
            let cpu = linux.guest.space.read_uint(place, 4);
            Some(cpu.map_err(Absent::unreadable).map(|cpu| cpu as u32))
        }
        None => None,
    };
    let none = || Err(Absent::not_applicable("the kernel did not stop by itself"));
    if matches!(named, Some(Ok(u32::MAX))) {
        return none();
    }
    let message = message(linux);
    let cpu = match named {
        Some(Ok(cpu)) if cpu >= cpus::LIMIT => {
            let rule = "the processor that panics (panic_cpu) is one of the machine";
            let place = linux.guest.symbol(symbols::panic_cpu);
            return Err(Absent::implausible(cpu.into(), rule, place));
        }
        Some(Ok(cpu)) => Ok(cpu),
        // Nothing but a line of the log says so.
        other => {
            let cpu = other.unwrap_or_else(|| Err(Absent::not_in_this_kernel()));
            let says = message.get().is_some_and(|line| line.starts_with(PANIC));
            match cpu {
                Err(absent) if !says && absent.is_loss() => return Err(absent),
                _ if !says => return none(),
                cpu => cpu,
            }
        }
    };
    let state = cpu.clone().and_then(|cpu| {
        let none = "the snapshot holds no registers of this processor";
        cpus::registers(linux, cpu).ok_or_else(|| Absent::not_applicable(none))
    });
    let ip = state.clone().map(|state| VirtAddr(state.rip));
    let sp = state.and_then(|state| match state.general {
        Some([_, _, _, _, sp, ..]) => Ok(VirtAddr(sp)),
        None => Err(Absent::not_applicable("the snapshot does not hold it")),
    });
    Ok(Crash {
        message,
        cpu,
        ip,
        sp,
    })
}

/// The log's last line of a panic, or else of an error of the kernel's.
fn message(linux: &Linux) -> Seen<Vec<u8>> {
    let (mut panic, mut error) = (None, None);
    let ends = log::log(&linux.guest, &mut |line| {
        if let Ok(text) = line.text {
            if text.starts_with(PANIC) {
                panic = Some(text);
            } else if ERRORS.iter().any(|start| text.starts_with(start)) {
                error = Some(text);
            }
        }
        ControlFlow::Continue(())
    });
    match (panic.or(error), fault(&ends)) {
        (Some(line), _) => Ok(line),
        (None, Some(fault)) => Err(Absent::unreadable(fault)),
        (None, None) => Err(Absent::not_applicable("no line of the log says why")),
    }
}

/// What stood in the way of the log.
fn fault(ends: &WalkEnds) -> Option<osier_memory::Fault> {
    ends.bad().find_map(|(_, end)| match end {
        WalkEnd::NoStart { fault, .. } => *fault,
        WalkEnd::BrokenLink { fault, .. } => Some(*fault),
        _ => None,
    })
}
