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

/// The panic of the kernel; not applicable where there was none. `panic_cpu` and the log say it both, and are held
/// against each other.
pub(crate) fn crash(linux: &Linux) -> Seen<Crash> {
    let place = linux.guest.symbol(symbols::panic_cpu);
    let named = place.map(|place| {
        let cpu = linux.guest.space.read_uint(place, 4);
        cpu.map_err(Absent::unreadable).map(|cpu| cpu as u32)
    });
    let none = || Err(Absent::not_applicable("the kernel did not stop by itself"));
    let wrong = |cpu: u32, rule| Err(Absent::implausible(cpu.into(), rule, place));
    let Said { message, whole } = said(linux);
    let panics = message.get().is_some_and(|line| line.starts_with(PANIC));
    let cpu = match named {
        Some(Ok(u32::MAX)) if panics => {
            let rule = "the log has the line of a panic, and no processor panics (panic_cpu)";
            return wrong(u32::MAX, rule);
        }
        Some(Ok(u32::MAX)) => return none(),
        Some(Ok(cpu)) if !of_the_machine(linux, cpu) => {
            return wrong(
                cpu,
                "the processor that panics (panic_cpu) is one of the machine",
            );
        }
        Some(Ok(cpu)) if whole && message.is_err() => {
            let rule = "a processor panics (panic_cpu), and the whole log has no line of it";
            return wrong(cpu, rule);
        }
        Some(Ok(cpu)) => Ok(cpu),
        // Nothing but a line of the log says so.
        other => {
            let cpu = other.unwrap_or_else(|| Err(Absent::not_in_this_kernel()));
            match cpu {
                Err(absent) if !panics && absent.is_loss() => return Err(absent),
                _ if !panics => return none(),
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

/// Whether `cpu` is a processor that the kernel knows of; of masks that cannot be trusted only whether it may be.
fn of_the_machine(linux: &Linux, cpu: u32) -> bool {
    let mut ends = WalkEnds::default();
    let known = cpus::processors(linux, &mut ends);
    cpu < cpus::LIMIT && (known.contains(&cpu) || !ends.all_closed())
}

/// What the log says of an end.
struct Said {
    /// The last line of a panic, or else of an error of the kernel's.
    message: Seen<Vec<u8>>,
    /// Whether the log was read whole.
    whole: bool,
}

/// Asks the log. Only what the kernel says counts: whoever may write to `/dev/kmsg` speaks as another facility.
fn said(linux: &Linux) -> Said {
    let (mut panic, mut error) = (None, None);
    let ends = log::log(&linux.guest, &mut |line| {
        let user = line.facility.value().is_some_and(|facility| facility != 0);
        if let Ok(text) = line.text
            && !user
        {
            if text.starts_with(PANIC) {
                panic = Some(text);
            } else if is_error(&text) {
                error = Some(text);
            }
        }
        ControlFlow::Continue(())
    });
    let message = match (panic.or(error), fault(&ends)) {
        (Some(line), _) => Ok(line),
        (None, Some(fault)) => Err(Absent::unreadable(fault)),
        (None, None) => Err(Absent::not_applicable("no line of the log says why")),
    };
    let whole = ends.all_closed();
    Said { message, whole }
}

/// Whether a line tells of an error of the kernel's: by its beginning, or by the number of oopses that `die` counts in
/// brackets, as in `divide error: 0000 [#1] SMP`.
fn is_error(line: &[u8]) -> bool {
    ERRORS.iter().any(|start| line.starts_with(start))
        || line.windows(3).any(|three| three == b" [#")
}

/// What stood in the way of the log.
fn fault(ends: &WalkEnds) -> Option<osier_memory::Fault> {
    ends.bad().find_map(|(_, end)| match end {
        WalkEnd::NoStart { fault, .. } => *fault,
        WalkEnd::BrokenLink { fault, .. } => Some(*fault),
        _ => None,
    })
}
