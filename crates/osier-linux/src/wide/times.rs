//! The times that a process ran.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

use super::reader::Reader;
use crate::{Linux, cpus, threads};

/// How long all processors together ran at most, and a minute each, for the clock is as of the last tick; `None` where
/// the clocks do not say how long the machine runs.
pub(super) fn most(linux: &Linux) -> Option<u64> {
    const MINUTE: u64 = 60_000_000_000;
    let now = linux.offsets().now?;
    let cpus = cpus::ids(linux).ok()??;
    let one = u64::try_from(now).ok()?.checked_add(MINUTE)?;
    one.checked_mul(cpus.into())
}

/// The times of the process, which ran no longer than `most`.
pub(super) fn times(
    reader: &Reader<'_>,
    most: Option<u64>,
    task: VirtAddr,
    signal: &Seen<VirtAddr>,
) -> Seen<(u64, u64)> {
    let (user, kernel) = told(reader, task, signal)?;
    let sum = user.saturating_add(kernel);
    if most.is_some_and(|most| sum > most) {
        let rule = "a process ran no longer than all processors since they started";
        let at = reader.task.runtime.map(|field| field.place(task));
        return Err(Absent::implausible(sum, rule, at));
    }
    Ok((user, kernel))
}

/// The times of the process, as the kernel's `cputime_adjust` tells them: in the proportion of the
/// ticks, of what the threads ran to the letter, and never less than was told before.
fn told(reader: &Reader<'_>, task: VirtAddr, signal: &Seen<VirtAddr>) -> Seen<(u64, u64)> {
    let signal = signal.clone()?;
    if reader.task.thread_pid.is_none() {
        // They are not surely nanoseconds.
        return Err(Absent::not_applicable(
            "times of kernels before v4.19 are not read",
        ));
    }
    let mut user = reader.value(reader.group.utime, signal)?;
    let mut kernel = reader.value(reader.group.stime, signal)?;
    let mut ran = reader.value(reader.group.runtime, signal)?;
    let mut fault = None;
    let ends = threads::threads(reader.linux, task, &mut |thread| {
        if reader.linux.init_task == Some(task) && thread.task != task {
            return ControlFlow::Continue(());
        }
        let mut read = || -> Seen<()> {
            let at = thread.task;
            user = user.wrapping_add(reader.value(reader.task.utime, at)?);
            kernel = kernel.wrapping_add(reader.value(reader.task.stime, at)?);
            ran = ran.wrapping_add(reader.value(reader.task.runtime, at)?);
            Ok(())
        };
        match read() {
            Ok(()) => ControlFlow::Continue(()),
            Err(absent) => {
                fault = Some(absent);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(absent) = fault {
        return Err(absent);
    }
    if !ends.is_complete() {
        let rule = "the times of a process are those of all its threads, which are not known";
        return Err(Absent::implausible(user, rule, None));
    }
    let told_user = reader.value(reader.group.told_utime, signal)?;
    let told_kernel = reader.value(reader.group.told_stime, signal)?;
    if told_user.saturating_add(told_kernel) >= ran {
        return Ok((told_user, told_kernel));
    }
    let (mut user, mut kernel) = match (user, kernel) {
        (_, 0) => (ran, 0),
        (0, _) => (0, ran),
        (user, kernel) => {
            let sum = u128::from(user).saturating_add(u128::from(kernel));
            let part = u128::from(kernel).saturating_mul(u128::from(ran));
            let kernel = part.checked_div(sum).unwrap_or(0);
            let kernel = u64::try_from(kernel).unwrap_or(ran).min(ran);
            (ran.saturating_sub(kernel), kernel)
        }
    };
    if kernel < told_kernel {
        kernel = told_kernel;
        user = ran.saturating_sub(kernel);
    }
    if user < told_user {
        user = told_user;
        kernel = ran.saturating_sub(user);
    }
    Ok((user, kernel))
}
