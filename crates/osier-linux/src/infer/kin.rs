//! Parents and children.
//!
//! ```text
//!   parent.children ──► child.sibling ──► child.sibling ──► parent.children
//!                       child.real_parent ──► parent
//! ```
//!
//! `real_parent` stands before `parent`, which is another only of a task that is traced. Who is on
//! whose list of children tells the two apart.

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, all, only};
use super::tasks::Tasks;

/// Where the links between parents and children lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kin {
    /// `real_parent`, with `parent` behind it.
    pub(super) real_parent: u64,
    /// `children` and `sibling`, where the lists name the children of `real_parent` and no others.
    pub(super) lists: Result<(u64, u64), Unproven>,
}

/// Finds `real_parent` and `parent`, and the lists.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn find(ground: &Ground<'_>, tasks: &Tasks) -> Result<Kin, Unproven> {
    let known = tasks.known();
    let word = ground.word();
    let parents: Vec<u64> = ground
        .offsets(tasks.room.clone())
        .filter(|offset| *offset != tasks.leader && is_parent(ground, tasks, &known, *offset))
        .collect();
    let pairs: Vec<u64> = parents
        .iter()
        .copied()
        .filter(|offset| parents.contains(&offset.saturating_add(word)))
        .collect();
    let mut proved = Vec::new();
    for pair in &pairs {
        if let Ok(lists) = lists(ground, tasks, *pair) {
            proved.push((*pair, lists));
        }
    }
    if let Ok((real_parent, lists)) = only(proved) {
        let lists = Ok(lists);
        return Ok(Kin { real_parent, lists });
    }
    // No list tells: where both say the same of every task, it does not matter which is which.
    let pair = only(pairs)?;
    let same = all(&tasks.leaders, |task| {
        let at = task.plus(pair);
        Some(ground.pointer(at)? == ground.pointer(at.plus(word))?)
    });
    if !same {
        return Err(Unproven::Without("the lists of children"));
    }
    Ok(Kin {
        real_parent: pair,
        lists: Err(Unproven::Nowhere),
    })
}

/// Whether a task's parent stands at `offset` of every task: another task, from each of which the way up
/// ends at `init_task`, which is its own parent and that of process 1.
fn is_parent(ground: &Ground<'_>, tasks: &Tasks, known: &HashSet<VirtAddr>, offset: u64) -> bool {
    let parent = |task: VirtAddr| ground.pointer(task.plus(offset));
    let sound = all(&tasks.leaders, |task| {
        let parent = parent(*task)?;
        if *task == tasks.init {
            return Some(parent == *task);
        }
        if tasks.tgid(ground, *task) == Some(1) && parent != tasks.init {
            return Some(false);
        }
        let object = parent != *task && ground.guest.can_be_object(parent);
        Some(object && tasks.is_task(ground, parent, known))
    });
    if !sound {
        return false;
    }
    let leader = |task: VirtAddr| ground.pointer(task.plus(tasks.leader));
    // Who is reached from nobody twice reaches the top.
    let mut ends: HashSet<VirtAddr> = HashSet::from_iter([tasks.init]);
    for task in &tasks.leaders {
        let mut way = HashSet::new();
        let mut at = *task;
        while !ends.contains(&at) {
            if !way.insert(at) {
                return false;
            }
            let Some(next) = parent(at).and_then(leader) else {
                break;
            };
            at = next;
        }
        ends.extend(way);
    }
    true
}

/// Where `children` and `sibling` lie: the list of each parent names the tasks whose parent it is by
/// `real_parent`, and no others.
fn lists(ground: &Ground<'_>, tasks: &Tasks, real_parent: u64) -> Result<(u64, u64), Unproven> {
    let mut children: HashMap<VirtAddr, HashSet<VirtAddr>> = HashMap::new();
    for task in &tasks.leaders {
        children.entry(*task).or_default();
    }
    for task in tasks.leaders.iter().filter(|task| **task != tasks.init) {
        if let Some(parent) = ground.pointer(task.plus(real_parent)) {
            children.entry(parent).or_default().insert(*task);
        }
    }
    let parents: Vec<VirtAddr> = children.keys().copied().collect();
    let of_init = children.get(&tasks.init).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for head in ground.offsets(tasks.room.clone()) {
        let Some(first) = ground.object(tasks.init.plus(head)) else {
            continue;
        };
        for child in &of_init {
            let link = first.since(*child);
            if !tasks.room.contains(&link) || link == head {
                continue;
            }
            let sound = all(&parents, |parent| {
                let head = parent.plus(head);
                ground.pointer(head)?;
                let named = ground.ring(head);
                let named = named.map(|nodes| {
                    let tasks = nodes.iter().map(|node| node.minus(link));
                    tasks.collect::<HashSet<_>>()
                });
                Some(named.as_ref() == children.get(parent))
            });
            if sound {
                found.push((head, link));
            }
        }
    }
    only(found)
}
