//! The pid table: every `struct pid` of the initial namespace, to check the task list against.
//!
//! ```text
//!   init_pid_ns.idr ──► radix tree ──► struct pid ─ tasks[TGID].first ──► task_struct   (v4.15 on)
//!   pid_hash[] ──► upid.pid_chain ──► struct pid ─ tasks[PID].first ──► task_struct     (before)
//! ```
//!
//! Linux commit 95846ecf9dac ("pid: replace pid bitmap implementation with IDR API"), v4.15.
//! Linux commit 6883f81aac6f ("pid: Implement `PIDTYPE_TGID`"), v4.19, before which a leader is
//! known by `pid == tgid`.

use foldhash::{HashMap, HashSet, HashSetExt as _};
use osier_memory::{Cause, Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::constants;
use crate::guest::Guest;
use crate::layouts::{Pid, PidNamespace, Tasks, Upid};
use crate::list::plausible;
use crate::radix::{Node, Slot};
use crate::symbols;

/// The walk's name in endings.
const WALK: &str = "pid table";
/// What is compared when a number of the table has no task.
pub(crate) const STRAYS: &str = "numbers and tasks";
/// More than any real table has: Linux allows 4 Mi ids.
const LIMIT: usize = 1 << 23;

layout! {
    /// Fields read from `struct idr`.
    pub(crate) struct Idr: "idr" through [radix_tree_root xarray] {
        /// The tree's root entry. Linux commit f8d5d0cc145c ("xarray: Add definition of struct
        /// xarray"), v4.20.
        head: Option<Field<Ptr<()>>> = ["idr_rt.xa_head", "idr_rt.rnode"],
        /// One past the number that was given last.
        next: Option<Field<UInt>> = ["idr_next"],
    }
}

/// Where the numbers are kept.
#[derive(Clone, Copy, Debug)]
enum Table {
    Tree {
        head: VirtAddr,
        /// The root entry, in any `pid_namespace`.
        root: Field<Ptr<()>>,
        node: Node,
    },
    Hash {
        buckets: VirtAddr,
        shift: Option<VirtAddr>,
        ns: VirtAddr,
        upid_ns: Field<Ptr<()>>,
        chain: Field<Embed<()>>,
        numbers: Field<Embed<()>>,
    },
}

/// A list of tasks in `struct pid`.
#[derive(Clone, Copy, Debug)]
struct List {
    /// Its head, in `struct pid`.
    head: Field<Embed<()>>,
    /// The link, in `task_struct`.
    link: Field<Embed<()>>,
}

/// How to find every process by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PidTable {
    table: Table,
    /// The task whose own number it is.
    own: List,
    /// The leader of the process whose number it is, in kernels that list it.
    leader: Option<List>,
    /// What tells a number that nobody has and nobody is about to get.
    strays: Option<Strays>,
}

/// How to tell a number that a task was taken away from.
#[derive(Clone, Copy, Debug)]
struct Strays {
    /// Where the number after the last one given stands.
    next: VirtAddr,
    number: Number,
    /// Lists of tasks in `struct pid`: also of the members of a group and of a session.
    lists: u64,
}

/// The tasks that have a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tabled {
    /// The thread-group leaders.
    pub(crate) leaders: Vec<VirtAddr>,
    /// Every thread, leaders among them.
    pub(crate) threads: Vec<VirtAddr>,
    /// Numbers in the table that no task has, although somebody should.
    pub(crate) strays: usize,
    /// How the walk ended.
    pub(crate) ends: WalkEnds,
}

/// The threads that the whole table names, by their leaders.
#[derive(Clone)]
pub(crate) struct Numbered {
    pub(crate) by_leader: HashMap<VirtAddr, Vec<VirtAddr>>,
    /// Numbers that some task was taken away from.
    pub(crate) strays: usize,
}

/// How to read a task's number a second time, out of its `struct pid`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    /// The `struct pid`, in `task_struct`.
    pid: Field<Ptr<()>>,
    /// The number in the initial namespace, in `struct pid`.
    nr: Field<UInt>,
}

impl Number {
    /// Resolves it; `None` when the profile does not describe it.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let word = u64::from(resolver.profile().identity().pointer_bytes);
        let links = Tasks::resolve(resolver);
        let pid = links.thread_pid.or_else(|| {
            // Before, it stood behind the task's link in the list of its own number.
            let behind = word.checked_mul(2)?;
            let offset = links.pids?.offset.checked_add_unsigned(behind)?;
            Some(Field::at(offset, word, None))
        })?;
        let numbers = Pid::resolve(resolver).numbers?;
        let nr = Upid::resolve(resolver).nr?;
        let offset = numbers.offset.checked_add(nr.offset)?;
        let nr = Field::at(offset, nr.bytes, None);
        Some(Self { pid, nr })
    }

    /// The number that the `struct pid` of `task` holds; `None` when the snapshot does not tell.
    pub(crate) fn of(&self, guest: &Guest, task: VirtAddr) -> Option<u64> {
        let pid = self.pid.read(&guest.space, task).ok()?;
        let pid = Some(pid).filter(|pid| guest.can_be_object(*pid))?;
        self.nr.read(&guest.space, pid).ok()
    }
}

impl PidTable {
    /// Resolves the table's shape; `None` when the profile does not describe it.
    pub(crate) fn resolve(
        resolver: &mut Resolver<'_>,
        symbol: &dyn Fn(&str) -> Option<VirtAddr>,
    ) -> Option<Self> {
        let word = u64::from(resolver.profile().identity().pointer_bytes);
        let pid = Pid::resolve(resolver);
        let links = Tasks::resolve(resolver);
        // In `task_struct`, the place of a link: the first is that of the task's own number.
        let first = links.pid_links.or(links.pids)?;
        let head = pid.tasks?;
        let own = List { head, link: first };
        // `__PIDTYPE_TGID` and other kernels' lack of it: leaders are told from other threads.
        let kind = resolver
            .constant(&[constants::PIDTYPE_TGID])
            .filter(|_| links.pid_links.is_some());
        let leader = match kind {
            Some(kind) => {
                let kind = u64::try_from(kind).ok()?;
                let of = |field: Field<Embed<()>>, bytes: u64| {
                    let by = kind.checked_mul(bytes)?;
                    Some(Field::at(
                        field.offset.checked_add_unsigned(by)?,
                        bytes,
                        None,
                    ))
                };
                let head = of(head, word)?;
                let link = of(first, word.checked_mul(2)?)?;
                Some(List { head, link })
            }
            None => None,
        };
        let ns = symbol(symbols::init_pid_ns)?;
        let idr = PidNamespace::resolve(resolver).idr;
        let tree = Idr::resolve(resolver);
        let lists = resolver
            .profile()
            .find_type(Pid::STRUCTURE)?
            .member("tasks");
        let lists = lists.map_or(0, |member| member.bytes.checked_div(word).unwrap_or(0));
        let strays = idr.zip(tree.next).zip(Number::resolve(resolver));
        let strays = strays.map(|((idr, next), number)| Strays {
            next: next.place(idr.place(ns)),
            number,
            lists: lists.min(8),
        });
        let table = if let Some((idr, head)) = idr.zip(tree.head) {
            let root = Field::at(idr.offset.checked_add(head.offset)?, word, None);
            Table::Tree {
                head: root.place(ns),
                root,
                node: Node::resolve(resolver, word)?,
            }
        } else {
            let upid = Upid::resolve(resolver);
            Table::Hash {
                buckets: symbol(symbols::pid_hash)?,
                shift: symbol(symbols::pidhash_shift),
                ns,
                upid_ns: upid.ns?,
                chain: upid.pid_chain?,
                numbers: pid.numbers?,
            }
        };
        Some(Self {
            table,
            own,
            leader,
            strays,
        })
    }

    /// The `task_struct` of every thread that has a number, and how the walk ended.
    pub(crate) fn tasks(&self, guest: &Guest, layout: &Tasks) -> Tabled {
        let mut found = Tabled::default();
        let pids = match self.table {
            Table::Tree { head, node, .. } => tree(guest, head, &node, &mut found.ends),
            Table::Hash { .. } => self.hash(guest, &mut found.ends),
        };
        for pid in pids {
            let own = first(guest, pid, self.own, None, &mut found.ends);
            if own.is_none() && self.is_stray(guest, pid) {
                found.strays = found.strays.saturating_add(1);
            }
            found.threads.extend(own);
            let leader = match self.leader {
                Some(list) => first(guest, pid, list, own, &mut found.ends),
                None => own.filter(|task| is_leader(guest, layout, *task)),
            };
            found.leaders.extend(leader);
        }
        found.ends.add(WALK, WalkEnd::Closed);
        found
    }

    /// Whether the table of the `pid_namespace` at `namespace` has the `struct pid` at `pid` under `number`;
    /// `None` when the snapshot does not tell, as before v4.15, where all namespaces share one hash table.
    pub(crate) fn has(
        &self,
        guest: &Guest,
        namespace: VirtAddr,
        number: u64,
        pid: VirtAddr,
    ) -> Option<bool> {
        match self.table {
            Table::Tree { root, node, .. } => {
                let met = node.find(guest, root.place(namespace), number).ok()?;
                Some(met.slot == Slot::Entry(pid))
            }
            Table::Hash { .. } => None,
        }
    }

    /// Whether the `struct pid` at `pid`, which no task has as its own number, should not be there: a
    /// number leaves the table with its last task, and the last ones given may wait for their first.
    fn is_stray(&self, guest: &Guest, pid: VirtAddr) -> bool {
        /// More processes than are being made at a time.
        const MAKING: u64 = 32;
        /// Numbers below are not given again (`RESERVED_PIDS`).
        const RESERVED: u64 = 300;
        let Some(strays) = self.strays else {
            return false;
        };
        let word = u64::from(guest.pointer_bytes());
        for list in 0..strays.lists {
            let head = self.own.head.place(pid).plus(list.wrapping_mul(word));
            if !matches!(guest.space.read_pointer(head), Ok(first) if first.is_null()) {
                return false; // a group or a session is called by it
            }
        }
        let next = guest.space.read_uint(strays.next, 4).ok();
        let number = strays.number.nr.read(&guest.space, pid).ok();
        next.zip(number).is_some_and(|(next, number)| {
            let before = next.wrapping_sub(number);
            let over_the_end = next < RESERVED.wrapping_add(MAKING) && number >= next;
            before > MAKING && !over_the_end
        })
    }

    /// Every `struct pid` of the hash table that has a number in the initial namespace.
    fn hash(&self, guest: &Guest, ends: &mut WalkEnds) -> Vec<VirtAddr> {
        let mut pids = Vec::new();
        let Table::Hash {
            buckets,
            shift,
            ns,
            upid_ns,
            chain,
            numbers,
        } = self.table
        else {
            return pids;
        };
        let space = &guest.space;
        let word = u64::from(guest.pointer_bytes());
        let table = match space.read_pointer(buckets) {
            Ok(table) => table,
            Err(fault) => {
                ends.add(WALK, no_start(symbols::pid_hash, fault));
                return pids;
            }
        };
        // `pidhash_shift` is 4 until boot has sized the table, and 12 at most.
        let shift = shift.map_or(Ok(4), |at| space.read_uint(at, 4));
        let shift = match shift {
            Ok(shift) => shift.min(16),
            Err(fault) => {
                ends.add(WALK, no_start(symbols::pidhash_shift, fault));
                return pids;
            }
        };
        let mut guard = Guard::new(LIMIT);
        for bucket in 0..1_u64 << shift {
            let mut from = table.plus(bucket.wrapping_mul(word));
            loop {
                let node = match space.read_pointer(from) {
                    Ok(node) if node.is_null() => break,
                    Ok(node) => node,
                    Err(fault) => {
                        ends.add(WALK, broken(from, None, fault));
                        break;
                    }
                };
                if let Err(fault) = plausible(guest, node) {
                    ends.add(WALK, broken(from, Some(node), fault));
                    break;
                }
                if let Err(end) = guard.meet(node) {
                    ends.add(WALK, end);
                    break;
                }
                let upid = chain.container(node);
                match upid_ns.read(space, upid) {
                    Ok(of) if of == ns => pids.push(numbers.container(upid)),
                    Ok(_) => {}
                    Err(fault) => ends.add(WALK, broken(upid, None, fault)),
                }
                from = node;
            }
        }
        pids
    }
}

/// Every entry of the radix tree whose root entry is at `head`.
fn tree(guest: &Guest, head: VirtAddr, node: &Node, ends: &mut WalkEnds) -> Vec<VirtAddr> {
    let mut entries = Vec::new();
    let root = match guest.space.read_pointer(head) {
        Ok(root) => root,
        Err(fault) => {
            ends.add(WALK, no_start("init_pid_ns.idr", fault));
            return entries;
        }
    };
    let mut met = Guard::new(LIMIT);
    // A node to visit: the entry that leads to it, its parent, and the shift it must stay below.
    let mut waiting = vec![(root, head, u64::from(u64::BITS))];
    while let Some((entry, parent, below)) = waiting.pop() {
        let tag = entry.0 & 3;
        if tag == 0 {
            if !entry.is_null() {
                match plausible(guest, entry) {
                    Ok(()) => entries.push(entry),
                    Err(fault) => ends.add(WALK, broken(parent, Some(entry), fault)),
                }
            }
            continue;
        }
        let at = VirtAddr(entry.0 & !3);
        if tag != node.tag || at.0 < 4096 {
            continue; // a value, or a mark such as "reserved": no structure
        }
        if let Err(fault) = plausible(guest, at) {
            ends.add(WALK, broken(parent, Some(at), fault));
            continue;
        }
        if let Err(end) = met.meet(at) {
            ends.add(WALK, end);
            continue;
        }
        let shift = match node.shift.read(&guest.space, at) {
            Ok(shift) if shift < below => shift,
            Ok(_) => {
                // A child covers fewer bits than its parent.
                let fault = Fault::new(Cause::NonCanonical).with_va(at);
                ends.add(WALK, broken(parent, Some(at), fault));
                continue;
            }
            Err(fault) => {
                ends.add(WALK, broken(parent, Some(at), fault));
                continue;
            }
        };
        let word = u64::from(guest.pointer_bytes());
        for slot in (0..node.count).rev() {
            let place = node.slots.place(at).plus(slot.wrapping_mul(word));
            match guest.space.read_pointer(place) {
                Ok(entry) if entry.is_null() => {}
                Ok(entry) => waiting.push((entry, at, shift)),
                Err(fault) => {
                    ends.add(WALK, broken(at, None, fault));
                    break;
                }
            }
        }
    }
    // Two entries may share one structure only when the tree is damaged; once is enough.
    let mut once = HashSet::new();
    entries.retain(|entry| once.insert(*entry));
    entries
}

/// The first task of `list` in the `struct pid` at `pid`; `known` is a task that was met before.
fn first(
    guest: &Guest,
    pid: VirtAddr,
    list: List,
    known: Option<VirtAddr>,
    ends: &mut WalkEnds,
) -> Option<VirtAddr> {
    let link = match guest.space.read_pointer(list.head.place(pid)) {
        Ok(link) if link.is_null() => return None,
        Ok(link) if known == Some(list.link.container(link)) => return known,
        Ok(link) => link,
        Err(fault) => {
            ends.add(WALK, broken(pid, None, fault));
            return None;
        }
    };
    match plausible(guest, link) {
        Ok(()) => Some(list.link.container(link)),
        Err(fault) => {
            ends.add(WALK, broken(pid, Some(link), fault));
            None
        }
    }
}

/// Whether the task is a thread-group leader; one that cannot be read counts as one, so that it is
/// not lost.
fn is_leader(guest: &Guest, layout: &Tasks, task: VirtAddr) -> bool {
    let leader = layout.group_leader.read(&guest.space, task);
    leader.map_or(true, |leader| leader == task)
}

fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}

fn no_start(missing: &str, fault: Fault) -> WalkEnd {
    WalkEnd::no_start(missing, fault)
}

#[cfg(test)]
mod tests;
