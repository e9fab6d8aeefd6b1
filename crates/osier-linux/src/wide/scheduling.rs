//! How a process is scheduled. Its policy and its priorities say it twice.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

use super::reader::Reader;
use crate::memory;

/// `NICE_TO_PRIO(0)`.
const NICE_ZERO: i64 = 120;
/// `SCHED_FIFO` and `SCHED_RR`.
const OF_REAL_TIME: [u8; 2] = [1, 2];
/// `SCHED_ISO`, which was never built.
const UNUSED: u8 = 4;
/// `SCHED_DEADLINE`.
const OF_A_DEADLINE: u8 = 6;
/// `SCHED_EXT`, the last one.
const LAST: u8 = 7;

/// Its policy.
pub(super) fn policy(reader: &Reader<'_>, task: VirtAddr) -> Seen<u8> {
    let rule = "policies are 0 to 7";
    let policy = reader.small(reader.task.policy, task, LAST, rule)?;
    if policy != UNUSED && has_priority(reader, task, policy)? {
        return Ok(policy);
    }
    let rule = "a policy has priorities of its own (policy, normal_prio)";
    let at = reader.task.policy.map(|field| field.place(task));
    Err(Absent::implausible(policy.into(), rule, at))
}

/// Its nice value.
pub(super) fn nice(reader: &Reader<'_>, task: VirtAddr) -> Seen<i32> {
    let (priority, at) = reader.signed(reader.task.static_prio, task)?;
    let policy = reader.value(reader.task.policy, task)?;
    let policy = u8::try_from(policy).unwrap_or(u8::MAX);
    let nice = priority.wrapping_sub(NICE_ZERO);
    match i32::try_from(nice) {
        Ok(nice) if (-20..=19).contains(&nice) && has_priority(reader, task, policy)? => Ok(nice),
        _ => {
            let rule = "static_prio is 100 to 139, and so is normal_prio but of real time";
            let priority = priority.cast_unsigned();
            Err(Absent::implausible(priority, rule, Some(at)))
        }
    }
}

/// Whether `normal_prio` is what the kernel's `__normal_prio` makes of the rest. The idle tasks have
/// one of their own.
fn has_priority(reader: &Reader<'_>, task: VirtAddr, policy: u8) -> Seen<bool> {
    if reader.task.normal_prio.is_none() || memory::is_idle(reader.linux, task) {
        return Ok(true);
    }
    let (normal, _) = reader.signed(reader.task.normal_prio, task)?;
    let (fixed, _) = reader.signed(reader.task.static_prio, task)?;
    let real = reader.value(reader.task.rt_priority, task)?;
    let of_real_time = OF_REAL_TIME.contains(&policy);
    let expected = match policy {
        OF_A_DEADLINE => -1,
        _ if of_real_time => 99_i64.saturating_sub_unsigned(real),
        _ => fixed,
    };
    Ok(normal == expected && (of_real_time || real == 0))
}
