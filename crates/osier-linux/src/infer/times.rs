//! When a task started: two clocks side by side, neither of which goes back along the list of tasks but for the time
//! that a fork takes.
//!
//! A task is put at the end of the list when it is made, and reads the monotonic clock (`start_time`) and the
//! one that goes on while the machine sleeps before. Until Linux commit 7b5585136713 ("fork: record `start_time`
//! late"), v5.0, it reads them before it copies its parent's memory: another processor may then put one on the
//! list in between that has read them later. No task has started before its parent. Nearly every task has a start of its
//! own, unless the kernel has no finer clock than its tick (`refined-jiffies`, until a better one is found): then starts
//! lie ticks apart.

use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, only};
use super::tasks::Tasks;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// More nanoseconds than any machine has run: 30 years.
const LONGEST: u64 = 30 * 366 * 86_400 * SECOND;
/// More than a fork takes.
const FORK: u64 = 2 * SECOND;
/// Of so many tasks one may have been overtaken.
const OVERTAKEN: usize = 8;
/// Less than a tick of any kernel (`HZ` is at most 1000), which is corrected by some millionths.
const TICK: u64 = SECOND / 1_100;
/// Of so many tasks one at least starts a tick after the one before.
const AT_ONCE: usize = 8;

/// How the two starts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// 64 bits of nanoseconds. Linux commit ccbf62d8a284 ("sched: Make `task->start_time` nanoseconds
    /// based"), v3.17.
    Nanoseconds,
    /// `timespec`: two words, seconds and nanoseconds.
    Timespec,
}

/// Where the starts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Starts {
    /// The offset of the first.
    pub(super) at: u64,
    /// How they are written.
    pub(super) written: Written,
}

impl Written {
    /// Bytes of one.
    pub(super) fn bytes(self, ground: &Ground<'_>) -> u64 {
        match self {
            Self::Nanoseconds => 8,
            Self::Timespec => ground.word().saturating_mul(2),
        }
    }

    /// The clock at `at`; `Err` when it can be read and is not a clock.
    fn read(self, ground: &Ground<'_>, at: VirtAddr) -> Option<Result<u64, ()>> {
        let value = match self {
            Self::Nanoseconds => ground.long(at)?,
            Self::Timespec => {
                let seconds = ground.pointer(at)?.0;
                let nanoseconds = ground.pointer(at.plus(ground.word()))?.0;
                if nanoseconds >= SECOND || seconds > LONGEST.wrapping_div(SECOND) {
                    return Some(Err(()));
                }
                seconds.wrapping_mul(SECOND).wrapping_add(nanoseconds)
            }
        };
        Some(if value < LONGEST { Ok(value) } else { Err(()) })
    }
}

/// Finds the starts.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn find(
    ground: &Ground<'_>,
    tasks: &Tasks,
    real_parent: Option<u64>,
) -> Result<Starts, Unproven> {
    let mut found = Vec::new();
    for written in [Written::Nanoseconds, Written::Timespec] {
        for at in ground.offsets(tasks.room.clone()) {
            if holds(ground, tasks, at, written, real_parent) {
                found.push(Starts { at, written });
            }
        }
    }
    only(found)
}

/// Whether two clocks stand at `at` of every task: a start is before that of the task before in the list seldom and
/// by less than a fork takes, and never before that of its parent; the second is the first and the time that the
/// machine slept till then, which does not become less.
fn holds(
    ground: &Ground<'_>,
    tasks: &Tasks,
    at: u64,
    written: Written,
    real_parent: Option<u64>,
) -> bool {
    let mut last = (0, 0);
    let mut asleep = 0;
    let mut overtaken = 0_usize;
    let mut values = foldhash::HashSet::default();
    let first_of = |task: VirtAddr| written.read(ground, task.plus(at));
    for task in &tasks.leaders {
        let place = task.plus(at);
        let first = first_of(*task);
        let second = written.read(ground, place.plus(written.bytes(ground)));
        let (first, second) = match (first, second) {
            (Some(Ok(first)), Some(Ok(second))) => (first, second),
            (None, _) | (_, None) => continue,
            _ => return false,
        };
        let is_init = *task == tasks.init;
        if is_init && (first, second) != (0, 0) {
            return false;
        }
        // A parent that has exited leaves its children to its other threads, which may be younger.
        let parent = real_parent.and_then(|member| ground.pointer(task.plus(member)));
        let parent = parent.and_then(|parent| ground.pointer(parent.plus(tasks.leader)));
        let before = parent.and_then(first_of);
        if before.is_some_and(|of| of.is_ok_and(|parent| parent > first)) {
            return false;
        }
        // The clocks are read one after the other.
        let slept = second.wrapping_sub(first);
        if first.saturating_add(FORK) < last.0
            || second.saturating_add(FORK) < last.1
            || second < first
            || slept.saturating_add(SECOND) < asleep
        {
            return false;
        }
        let before = first < last.0 || second < last.1;
        overtaken = overtaken.saturating_add(usize::from(before));
        last = (first.max(last.0), second.max(last.1));
        asleep = slept.max(asleep);
        values.insert(first);
    }
    let all = tasks.leaders.len();
    let mut values: Vec<u64> = values.into_iter().collect();
    values.sort_unstable();
    let apart = values
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if b.wrapping_sub(*a) >= TICK));
    let own = if apart { AT_ONCE } else { 2 };
    values.len() > 3
        && values.len().saturating_mul(own) > all
        && overtaken.saturating_mul(OVERTAKEN) <= all
}
