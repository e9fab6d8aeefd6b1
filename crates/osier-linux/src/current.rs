//! What runs on each processor.
//!
//! ```text
//!   __per_cpu_offset[cpu] + current_task            before v6.2 and since v6.15
//!   __per_cpu_offset[cpu] + pcpu_hot.current_task   v6.2 to v6.14
//! ```
//!
//! Linux commit e57ef2ed97c1 ("x86: Put hot per CPU variables into a struct"), v6.2, and back by
//! 46e8fff6d45f ("x86/preempt: Move preempt count to percpu hot section") and its series, v6.15.
//! No register is needed, so user mode and page-table isolation do not matter. Which processors there
//! are, [`cpus`] tells; a task says itself on which it runs (`cpu`, `on_cpu`).

use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, Current, FoundBy, ProcessSource, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, UInt};

use crate::cpus::{self, WALK};
use crate::{Linux, list, process, threads};

pub(crate) fn current(linux: &Linux, row: Each<'_, Current>) -> WalkEnds {
    let Some(variable) = cpus::variable(linux) else {
        return WalkEnds::one(
            WALK,
            WalkEnd::no_start("current_task and pcpu_hot in the profile's symbols", None),
        );
    };
    let mut ends = WalkEnds::default();
    let cpus = cpus::processors(linux, &mut ends);
    ends.add(WALK, WalkEnd::Closed);
    for cpu in &cpus {
        let task = task(linux, *cpu, variable);
        let leader = task.clone().and_then(|task| process::leader(linux, task));
        let current = Current {
            cpu: *cpu,
            thread: task.map(|task| threads::row(linux, task)),
            process: leader
                .map(|task| process::row(linux, task, FoundBy::source(ProcessSource::List))),
        };
        if row(current).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    ends
}

/// The processor that the task runs on; `None` when it runs on none.
pub(crate) fn processor_of(linux: &Linux, task: VirtAddr) -> Option<u32> {
    let variable = cpus::variable(linux)?;
    let on_cpu = linux.tasks.on_cpu;
    if on_cpu.is_some_and(|field| field.read(&linux.guest.space, task) == Ok(0)) {
        return None;
    }
    let cpus = cpus::processors(linux, &mut WalkEnds::default());
    let mut cpus = cpus.into_iter();
    cpus.find(|&cpu| {
        let place = cpus::per_cpu(linux, cpu, variable);
        let running = place.and_then(|place| linux.guest.space.read_pointer(place));
        running == Ok(task)
    })
}

/// The current task of processor `cpu`.
fn task(linux: &Linux, cpu: u32, variable: u64) -> Seen<VirtAddr> {
    let place = match cpus::per_cpu(linux, cpu, variable) {
        Ok(place) => place,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    match linux.guest.space.read_pointer(place) {
        Ok(task) => match not_running(linux, task, cpu) {
            Some(rule) => Err(Absent::implausible(task.0, rule, Some(place))),
            None => Ok(task),
        },
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// The rule that `task` breaks as the current task of processor `cpu`. What cannot be read is
/// believed.
fn not_running(linux: &Linux, task: VirtAddr, cpu: u32) -> Option<&'static str> {
    let read = |field: Option<Field<UInt>>| field?.read(&linux.guest.space, task).ok();
    if list::plausible(&linux.guest, task).is_err() {
        Some("the current task is a mapped address of the kernel")
    } else if read(linux.tasks.cpu).is_some_and(|own| own != u64::from(cpu)) {
        Some("the current task is on its processor (cpu)")
    } else if read(linux.tasks.on_cpu) == Some(0) {
        Some("the current task runs (on_cpu)")
    } else {
        None
    }
}
