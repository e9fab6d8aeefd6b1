//! The threads of a process.
//!
//! ```text
//!   leader.thread_group ──► thread.thread_group ──► leader.thread_group               until v6.6
//!   leader.signal ──► thread_head ──► leader.thread_node ──► thread.thread_node       since v3.14
//! ```
//!
//! Linux commit 0c740d0afc3b ("introduce `for_each_thread()` to replace the buggy
//! `while_each_thread()`"), v3.14.
//!
//! A list is believed when it closes in every process, leads to threads of that process alone, each with a
//! number of its own, and when one process at least has several: of lists that are always empty there are
//! many.

use foldhash::HashSet;
use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, all, only};
use super::tasks::Tasks;

/// How far into `signal_struct` the list of threads is looked for.
const SIGNAL: u64 = 0x800;

/// The list of `signal_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// `task_struct.signal`.
    pub(super) signal: u64,
    /// `task_struct.thread_node`.
    pub(super) node: u64,
    /// `signal_struct.thread_head`.
    pub(super) head: u64,
    /// `signal_struct.nr_threads`, or what says the same of every process.
    pub(super) count: Option<u64>,
}

/// Where `thread_group` lies.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn group(ground: &Ground<'_>, tasks: &Tasks) -> Result<u64, Unproven> {
    let offsets = ground.offsets(tasks.room.clone());
    let found = offsets.filter(|offset| {
        if *offset == tasks.link {
            return false;
        }
        let mut proof = Proof::default();
        let sound = all(&tasks.leaders, |leader| {
            let head = leader.plus(*offset);
            let first = ground.pointer(head)?;
            // Until v3.x that of the boot processor's idle task was never made.
            if *leader == tasks.init && first.is_null() {
                return Some(true);
            }
            let nodes = ground.ring(head);
            let threads = nodes.map(|nodes| {
                let others = nodes.iter().map(|node| node.minus(*offset));
                others.chain([*leader]).collect::<Vec<_>>()
            });
            Some(threads.is_some_and(|threads| proof.adds(ground, tasks, *leader, &threads)))
        });
        sound && proof.several
    });
    only(found.collect())
}

/// What was seen of all processes so far.
#[derive(Default)]
struct Proof {
    numbers: HashSet<u64>,
    several: bool,
}

impl Proof {
    /// Whether `threads` are those of the process that `leader` leads, the leader among them.
    fn adds(
        &mut self,
        ground: &Ground<'_>,
        tasks: &Tasks,
        leader: VirtAddr,
        threads: &[VirtAddr],
    ) -> bool {
        let tgid = tasks.tgid(ground, leader);
        self.several |= threads.len() > 1;
        let leads = threads.contains(&leader);
        leads
            && threads.iter().all(|thread| {
                let number = ground.int(thread.plus(tasks.pid));
                ground.guest.can_be_object(*thread)
                    && ground.pointer(thread.plus(tasks.leader)) == Some(leader)
                    && tasks.tgid(ground, *thread) == tgid
                    && ground.comm(thread.plus(tasks.comm)).is_some()
                    && number.is_some_and(|number| self.numbers.insert(number))
            })
    }
}

/// Where the list of `signal_struct` lies.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn shared(ground: &Ground<'_>, tasks: &Tasks) -> Result<Shared, Unproven> {
    let word = ground.word();
    let sample: Vec<VirtAddr> = tasks.leaders.iter().take(3).copied().collect();
    let pointers: Vec<u64> = ground
        .offsets(tasks.room.clone())
        .filter(|offset| {
            all(&sample, |task| {
                Some(ground.object(task.plus(*offset)).is_some())
            })
        })
        .collect();
    let mut found = Vec::new();
    for node in &pointers {
        // The idle task is alone: both its links lead to the head.
        let alone = tasks.init.plus(*node);
        let Some(head_at) = ground.object(alone) else {
            continue;
        };
        if ground.pointer(alone.plus(word)) != Some(head_at)
            || ground.pointer(head_at) != Some(alone)
            || head_at == alone
        {
            continue;
        }
        for signal in &pointers {
            let Some(object) = ground.object(tasks.init.plus(*signal)) else {
                continue;
            };
            let head = head_at.since(object);
            if head < SIGNAL && is_shared(ground, tasks, *signal, *node, head) {
                found.push((*signal, *node, head));
            }
        }
    }
    let (signal, node, head) = only(found)?;
    Ok(Shared {
        signal,
        node,
        head,
        count: count(ground, tasks, signal, head),
    })
}

/// Whether the threads of every process are on the list at `head` of the object that `signal` leads to.
fn is_shared(ground: &Ground<'_>, tasks: &Tasks, signal: u64, node: u64, head: u64) -> bool {
    let mut proof = Proof::default();
    let sound = all(&tasks.leaders, |leader| {
        let object = ground.pointer(leader.plus(signal))?;
        if !ground.guest.can_be_object(object) {
            return Some(false);
        }
        ground.pointer(object.plus(head))?;
        let nodes = ground.ring(object.plus(head));
        let threads = nodes.map(|nodes| {
            let tasks = nodes.iter().map(|at| at.minus(node));
            tasks.collect::<Vec<_>>()
        });
        Some(threads.is_some_and(|threads| {
            let of_it = |thread: &VirtAddr| ground.pointer(thread.plus(signal)) == Some(object);
            threads.iter().all(of_it) && proof.adds(ground, tasks, *leader, &threads)
        }))
    });
    sound && proof.several
}

/// The first integer before the list at `head` that is the number of threads in every process.
fn count(ground: &Ground<'_>, tasks: &Tasks, signal: u64, head: u64) -> Option<u64> {
    (0..head).step_by(4).find(|offset| {
        all(&tasks.leaders, |leader| {
            let object = ground.pointer(leader.plus(signal))?;
            let threads = ground.ring(object.plus(head))?;
            let number = ground.int(object.plus(*offset))?;
            Some(usize::try_from(number) == Ok(threads.len()))
        })
    })
}
