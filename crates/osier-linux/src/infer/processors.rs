//! What each processor has of its own: the task that it runs, where a symbol does not name that by itself,
//! and its idle task.

use osier_memory::VirtAddr;
use osier_osi::WalkEnds;

use super::ground::{Ground, Unproven, all};
use super::tasks::Tasks;
use crate::symbols;
use crate::{Linux, cpus};

/// How far into `struct rq` the idle task is looked for.
const QUEUE: u64 = 0x1400;

/// Whether the current task stands first in `pcpu_hot` of every processor (Linux commit e57ef2ed97c1 ("x86:
/// Put hot per CPU variables into a struct"), v6.2); `None` where the kernel has no such symbol.
pub(super) fn is_first_of_hot(ground: &Ground<'_>, tasks: &Tasks, linux: &Linux) -> Option<bool> {
    let symbol = |name| ground.guest.profile.symbol(name);
    let hot = symbol(symbols::pcpu_hot).or_else(|| symbol(symbols::const_pcpu_hot))?;
    let known = tasks.known();
    let processors = cpus::processors(linux, &mut WalkEnds::default());
    Some(all(&processors, |cpu| {
        let at = cpus::per_cpu(linux, *cpu, hot).ok()?;
        let task = ground.pointer(at)?;
        let object = ground.guest.can_be_object(task);
        Some(object && (tasks.is_task(ground, task, &known) || is_idle(ground, tasks, task, *cpu)))
    }))
}

/// Where `struct rq` has the idle task: the boot processor's is `init_task`, and every other is named after
/// its processor.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn idle(ground: &Ground<'_>, tasks: &Tasks, linux: &Linux) -> Result<u64, Unproven> {
    let symbol = ground.guest.profile.symbol(symbols::runqueues);
    let queues = symbol.ok_or(Unproven::Without("the symbol runqueues"))?;
    let processors = cpus::processors(linux, &mut WalkEnds::default());
    let places: Vec<(u32, VirtAddr)> = processors
        .iter()
        .filter_map(|cpu| Some((*cpu, cpus::per_cpu(linux, *cpu, queues).ok()?)))
        .collect();
    let found: Vec<u64> = ground
        .offsets(0..QUEUE)
        .filter(|offset| {
            all(&places, |(cpu, queue)| {
                let task = ground.pointer(queue.plus(*offset))?;
                Some(is_idle(ground, tasks, task, *cpu))
            })
        })
        .collect();
    // A processor that is idle names the same task as the one that it runs: either will do.
    found.first().copied().ok_or(Unproven::Nowhere)
}

/// Whether the idle task of processor `cpu` lies at `at`.
fn is_idle(ground: &Ground<'_>, tasks: &Tasks, at: VirtAddr, cpu: u32) -> bool {
    if cpu == 0 {
        return at == tasks.init;
    }
    ground.guest.can_be_object(at)
        && ground.int(at.plus(tasks.pid)) == Some(0)
        && ground.pointer(at.plus(tasks.leader)) == Some(at)
        && ground.comm(at.plus(tasks.comm)).is_some_and(|name| {
            // Until v3.2 all are called alike.
            name == b"swapper" || name == format!("swapper/{cpu}").as_bytes()
        })
}
