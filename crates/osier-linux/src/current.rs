//! What runs on each processor.
//!
//! ```text
//!   __per_cpu_offset[cpu] + current_task            before v6.2 and since v6.15
//!   __per_cpu_offset[cpu] + pcpu_hot.current_task   v6.2 to v6.14
//! ```
//!
//! Linux commit e57ef2ed97c1 ("x86: Put hot per CPU variables into a struct"), v6.2, and back by
//! 46e8fff6d45f ("x86/preempt: Move preempt count to percpu hot section") and its series, v6.15.
//! No register is needed, so user mode and page-table isolation do not matter; the registers' GS
//! base (FS on 32-bit processors) must name one of the per-CPU areas all the same.

use std::ops::ControlFlow;

use osier_memory::{CpuState, Fault, VirtAddr};
use osier_osi::{Current, FoundBy, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr, layout};

use crate::{Linux, list, process, threads};

/// The walk's name in endings.
const WALK: &str = "processors";
/// More processors than any real kernel is built for.
const LIMIT: u64 = 8192;

layout! {
    /// Fields read from `pcpu_hot`.
    pub(crate) struct PcpuHot: "pcpu_hot" {
        /// The current task.
        current_task: Option<Field<Ptr<()>>>,
    }
}

pub(crate) fn current(linux: &Linux, row: &mut dyn FnMut(Current) -> ControlFlow<()>) -> WalkEnds {
    let Some(variable) = variable(linux) else {
        let missing = "current_task and pcpu_hot in the profile's symbols".to_owned();
        let fault = None;
        return WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault });
    };
    let mut ends = WalkEnds::default();
    let cpus = processors(linux, &mut ends);
    ends.add(WALK, WalkEnd::Closed);
    for cpu in &cpus {
        let task = match task(linux, *cpu, variable) {
            // A processor that the firmware has and the kernel never started.
            Seen::Is(task) if task.is_null() && cpus.len() > 1 => {
                if online(linux, *cpu) != Ok(false) {
                    let missing = format!("the current task of CPU {cpu}");
                    let fault = None;
                    ends.add(WALK, WalkEnd::NoStart { missing, fault });
                }
                continue;
            }
            task => task,
        };
        let leader = task
            .clone()
            .and_then(|task| Seen::from(linux.tasks.group_leader.read(&linux.guest.space, task)));
        let current = Current {
            cpu: *cpu,
            thread: task.map(|task| threads::row(linux, task)),
            process: leader.map(|task| process::row(linux, task, FoundBy::ListUnchecked)),
        };
        if row(current).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    for state in &linux.guest.cpus {
        if let Some(end) = contradiction(linux, state, &cpus) {
            ends.add(WALK, end);
        }
    }
    ends
}

/// The per-CPU variable that holds the current task, as the symbol table names it.
fn variable(linux: &Linux) -> Option<u64> {
    let symbol = |name| linux.guest.profile.symbol(name);
    let hot = symbol("pcpu_hot").or_else(|| symbol("const_pcpu_hot"));
    if let Some((hot, field)) = hot.zip(linux.pcpu_hot.current_task) {
        return Some(hot.wrapping_add_signed(field.offset));
    }
    [
        "current_task",
        "const_current_task",
        "per_cpu__current_task",
    ]
    .into_iter()
    .find_map(symbol)
}

/// The current task of processor `cpu`.
fn task(linux: &Linux, cpu: u32, variable: u64) -> Seen<VirtAddr> {
    let place = match per_cpu(linux, cpu, variable) {
        Ok(place) => place,
        Err(fault) => return Seen::unreadable(fault),
    };
    match linux.guest.space.read_pointer(place) {
        Ok(task) if task.is_null() || list::plausible(&linux.guest, task).is_ok() => Seen::Is(task),
        Ok(other) => {
            let rule = "the current task is a mapped address of the kernel";
            Seen::implausible(other.0, rule, Some(place))
        }
        Err(fault) => Seen::unreadable(fault),
    }
}

/// The address of the per-CPU variable `symbol` (its value in the symbol table) on `cpu`.
///
/// A 64-bit kernel links them from 0 until Linux commit 9d7de2aa8b41 ("x86/percpu/64: Use relative
/// percpu offsets"), v6.15; since then, and on 32 bits, they are addresses in the image, and
/// slide with it.
pub(crate) fn per_cpu(linux: &Linux, cpu: u32, symbol: u64) -> Result<VirtAddr, Fault> {
    let guest = &linux.guest;
    let in_image = guest.is_kernel_address(VirtAddr(symbol));
    let slid = if in_image {
        symbol.wrapping_add(guest.slide)
    } else {
        symbol
    };
    let offset = offset(linux, cpu)?;
    let mode = guest.space.mode();
    Ok(mode.canonicalise(VirtAddr(slid.wrapping_add(offset))))
}

/// `__per_cpu_offset[cpu]`; 0 on a kernel for one processor, which has no such table.
fn offset(linux: &Linux, cpu: u32) -> Result<u64, Fault> {
    let Some(table) = linux.guest.symbol("__per_cpu_offset") else {
        return Ok(0);
    };
    let word = u64::from(linux.guest.pointer_bytes());
    let place = table.plus(u64::from(cpu).wrapping_mul(word));
    linux.guest.space.read_pointer(place).map(|offset| offset.0)
}

/// The processors that the kernel uses: those of the snapshot's registers, else those of
/// `__cpu_online_mask`, else all up to `nr_cpu_ids`; one when nothing tells, with an ending when
/// that is because it could not be read.
pub(crate) fn processors(linux: &Linux, ends: &mut WalkEnds) -> Vec<u32> {
    let guest = &linux.guest;
    let known = u32::try_from(guest.cpus.len()).unwrap_or(0);
    if known > 0 {
        return (0..known).collect();
    }
    let mut lose = |what: &str, fault| {
        let missing = what.to_owned();
        let fault = Some(fault);
        ends.add(WALK, WalkEnd::NoStart { missing, fault });
    };
    let ids = guest
        .symbol("nr_cpu_ids")
        .map(|at| guest.space.read_uint(at, 4));
    let ids = match ids {
        Some(Ok(ids)) => ids.clamp(1, LIMIT),
        Some(Err(fault)) => {
            lose("nr_cpu_ids", fault);
            1
        }
        None => 1,
    };
    let mut found = Vec::new();
    for cpu in 0..ids as u32 {
        match online(linux, cpu) {
            Ok(false) => {}
            Ok(true) => found.push(cpu),
            Err(fault) => {
                lose("__cpu_online_mask", fault);
                found.push(cpu);
            }
        }
    }
    if found.is_empty() { vec![0] } else { found }
}

/// Whether the kernel runs processor `cpu`; true for each when the profile has no
/// `__cpu_online_mask`.
pub(crate) fn online(linux: &Linux, cpu: u32) -> Result<bool, Fault> {
    let Some(mask) = linux.guest.symbol("__cpu_online_mask") else {
        return Ok(true);
    };
    let byte = linux
        .guest
        .space
        .read_uint(mask.plus(u64::from(cpu >> 3)), 1)?;
    Ok(byte >> (cpu & 7) & 1 != 0)
}

/// Whether a processor's registers name a per-CPU area that the kernel does not have.
fn contradiction(linux: &Linux, state: &CpuState, cpus: &[u32]) -> Option<WalkEnd> {
    let guest = &linux.guest;
    let table = guest.symbol("__per_cpu_offset")?;
    let bases = if guest.pointer_bytes() == 8 {
        [state.segments.gs.base, state.kernel_gs_base]
    } else {
        let base = state.segments.fs.base;
        [base.filter(|_| state.cpl == Some(0)), None]
    };
    let in_kernel = |base: &u64| *base != 0 && guest.is_kernel_address(VirtAddr(*base));
    let named: Vec<u64> = bases.into_iter().flatten().filter(in_kernel).collect();
    let first = *named.first()?;
    let is_area = |base: &u64| cpus.iter().any(|cpu| offset(linux, *cpu) == Ok(*base));
    if named.iter().any(is_area) {
        return None;
    }
    let expected = offset(linux, state.index).ok()?;
    Some(WalkEnd::Inconsistent {
        at: table,
        back_link: VirtAddr(first),
        expected: VirtAddr(expected),
    })
}
