//! Where a task keeps what every list of processes needs: its name, its place in the list of tasks, its
//! ids, its leader.
//!
//! `init_task` is named "swapper", since v3.3 "swapper/0". The list of all tasks starts in it and closes
//! through every task, each of which has its name as far behind its link. It is its own leader and its own
//! parent.

use std::ops::Range;

use foldhash::{HashSet, HashSetExt as _};
use memchr::memmem;
use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, all, only};
use crate::process::PID_MAX_LIMIT;
use crate::symbols;

/// How far before its name a task starts, at most.
const BEFORE: u64 = 0x4000;
/// How far behind its name members are looked for.
const BEHIND: u64 = 0x800;

/// The tasks of the list, and what is known of every one.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    /// The boot processor's idle task, which heads the list.
    pub(super) init: VirtAddr,
    /// Every leader, `init` first.
    pub(super) leaders: Vec<VirtAddr>,
    /// Where members are looked for.
    pub(super) room: Range<u64>,
    /// Where `comm` lies.
    pub(super) comm: u64,
    /// Where `tasks` lies.
    pub(super) link: u64,
    /// Where `group_leader` lies.
    pub(super) leader: u64,
    /// Where `pid` lies; `tgid` follows it.
    pub(super) pid: u64,
}

impl Tasks {
    /// The id of the process that `task` belongs to.
    pub(super) fn tgid(&self, ground: &Ground<'_>, task: VirtAddr) -> Option<u64> {
        ground.int(task.plus(self.pid).plus(4))
    }

    /// Whether a task lies at `at`: its leader is on the list, and of the same process.
    pub(super) fn is_task(
        &self,
        ground: &Ground<'_>,
        at: VirtAddr,
        known: &HashSet<VirtAddr>,
    ) -> bool {
        if known.contains(&at) {
            return true;
        }
        let leader = ground.object(at.plus(self.leader));
        leader.is_some_and(|leader| {
            known.contains(&leader)
                && ground.comm(at.plus(self.comm)).is_some()
                && self.tgid(ground, at).is_some()
                && self.tgid(ground, at) == self.tgid(ground, leader)
        })
    }

    /// The leaders, to look one up.
    pub(super) fn known(&self) -> HashSet<VirtAddr> {
        self.leaders.iter().copied().collect()
    }
}

/// A name of the idle task, and a list that has a name as far from each of its nodes.
#[derive(Clone, Debug)]
struct Named {
    comm: VirtAddr,
    head: VirtAddr,
    nodes: Vec<VirtAddr>,
}

/// Finds the list of tasks, and what is known of every one of them.
///
/// # Errors
///
/// In words, what could not be proved.
pub(super) fn find(ground: &Ground<'_>) -> Result<Tasks, String> {
    let symbol = ground.guest.symbol(symbols::init_task);
    let names = match symbol {
        Some(init) => swappers(ground, init..init.plus(BEFORE)),
        None => swappers(ground, ground.image.clone()),
    };
    if names.is_empty() {
        return Err("init_task: no task named swapper lies where it should".to_owned());
    }
    let lists: Vec<Named> = names
        .iter()
        .flat_map(|comm| lists_of(ground, *comm))
        .collect();
    if lists.is_empty() {
        return Err("task_struct.tasks: no list closes through tasks with a name each".to_owned());
    }
    let mut found = Vec::new();
    for list in &lists {
        for (init, leader) in leaders(ground, list, symbol) {
            found.push(described(ground, list, init, leader));
        }
    }
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
    let mut good: Vec<Tasks> = good.into_iter().flatten().collect();
    match (good.pop(), good.len()) {
        (Some(tasks), 0) => Ok(tasks),
        (Some(_), others) => Err(format!(
            "init_task: {} places hold",
            others.saturating_add(1)
        )),
        (None, _) => Err(match bad.into_iter().next() {
            Some(Err(why)) => why,
            _ => "task_struct.group_leader: no place holds in every task".to_owned(),
        }),
    }
}

/// Every place in `range` where a name of the boot processor's idle task stands, with zeros behind it.
fn swappers(ground: &Ground<'_>, range: Range<VirtAddr>) -> Vec<VirtAddr> {
    const NAME: &[u8] = b"swapper";
    const NAMES: [&[u8; 16]; 2] = [b"swapper\0\0\0\0\0\0\0\0\0", b"swapper/0\0\0\0\0\0\0\0"];
    const MOST: usize = 4096;
    let finder = memmem::Finder::new(NAME);
    let space = &ground.guest.space;
    let mut found = Vec::new();
    let join = NAME.len().saturating_sub(1);
    let _ = space.sweep(range, join, &mut |va, bytes| {
        for at in finder.find_iter(bytes) {
            let at = va.plus(at as u64);
            let mut whole = [0; 16];
            let is_name = space.read(at, &mut whole).is_ok() && NAMES.contains(&&whole);
            if is_name && found.last() != Some(&at) && found.len() < MOST {
                found.push(at);
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// The lists with a head near `comm` whose nodes all have a name as far behind them as the head has.
fn lists_of(ground: &Ground<'_>, comm: VirtAddr) -> Vec<Named> {
    let align = ground.word();
    let start = VirtAddr(comm.minus(BEFORE).0.next_multiple_of(align));
    let offsets = ground.offsets(0..BEFORE.saturating_add(BEHIND));
    let heads = offsets.map(|offset| start.plus(offset));
    let named = heads.filter_map(|head| {
        let name = |node: VirtAddr| ground.comm(comm.plus(node.since(head)));
        let first = ground.object(head).filter(|first| *first != head)?;
        let back = ground.pointer(first.plus(ground.word()));
        let first_name = name(first)?;
        if back != Some(head) || !is_word(&first_name) {
            return None;
        }
        let nodes = ground.ring(head)?;
        // A program may call itself anything; most are called something.
        let names: Vec<_> = nodes.iter().map(|node| name(*node)).collect();
        let words = names.iter().flatten().filter(|name| is_word(name)).count();
        let all_named = names.iter().all(Option::is_some);
        let most = words.saturating_mul(4) >= names.len().saturating_mul(3);
        (all_named && most).then_some(Named { comm, head, nodes })
    });
    named.collect()
}

/// Whether a name is what most are: characters.
fn is_word(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// Where `init_task` may start, and where `group_leader` then lies: a word of every task that is its own
/// address.
fn leaders(ground: &Ground<'_>, list: &Named, symbol: Option<VirtAddr>) -> Vec<(VirtAddr, u64)> {
    let first = list.comm.min(list.head);
    let start = VirtAddr(list.comm.minus(BEFORE).0.next_multiple_of(ground.word()));
    let places = ground.offsets(0..BEFORE.saturating_add(BEHIND));
    let words: Vec<_> = places
        .map(|offset| start.plus(offset))
        .filter_map(|at| Some((at, ground.object(at)?)))
        .collect();
    let found = words.iter().filter_map(|(at, init)| {
        let init = *init;
        let starts = match symbol {
            Some(symbol) => init == symbol,
            // It is also its own parent, twice.
            None => {
                (start..=first).contains(&init)
                    && words.iter().filter(|(_, to)| *to == init).count() >= 3
            }
        };
        // A list that is empty, or a node that is on none, leads to itself from its first word.
        let offset = at.since(init);
        if !starts || *at < init || offset <= ground.word() {
            return None;
        }
        let link = list.head.since(init);
        let own = all(&list.nodes, |node| {
            let task = node.minus(link);
            Some(ground.pointer(task.plus(offset))? == task)
        });
        own.then_some((init, offset))
    });
    found.collect()
}

/// The tasks, when their ids can be told.
fn described(
    ground: &Ground<'_>,
    list: &Named,
    init: VirtAddr,
    leader: u64,
) -> Result<Tasks, String> {
    let link = list.head.since(init);
    let comm = list.comm.since(init);
    let nodes = list.nodes.iter().map(|node| node.minus(link));
    let leaders: Vec<_> = std::iter::once(init).chain(nodes).collect();
    let room = 0..comm.max(link).saturating_add(BEHIND);
    let pid = ids(ground, &leaders, room.clone());
    let pid = pid.map_err(|why| format!("task_struct.pid and .tgid: {why}"))?;
    Ok(Tasks {
        init,
        leaders,
        room,
        comm,
        link,
        leader,
        pid,
    })
}

/// Where `pid` lies, with `tgid` behind it: two numbers that are one in every leader, below the most that
/// Linux gives, no two alike, 0 of the idle task, and 1 of one.
fn ids(ground: &Ground<'_>, leaders: &[VirtAddr], room: Range<u64>) -> Result<u64, Unproven> {
    let found = room.step_by(4).filter(|offset| {
        let mut met = HashSet::new();
        let mut first = None;
        let sound = all(leaders, |task| {
            let at = task.plus(*offset);
            let (pid, tgid) = (ground.int(at)?, ground.int(at.plus(4))?);
            first.get_or_insert(pid);
            Some(pid == tgid && pid < u64::from(PID_MAX_LIMIT) && met.insert(pid))
        });
        sound && first == Some(0) && met.contains(&1)
    });
    only(found.collect())
}
