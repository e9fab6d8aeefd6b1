//! The family tree: the processes that parents list as their children.
//!
//! ```text
//!   parent.children ──► child.sibling ──► child.sibling ──► parent.children
//! ```
//!
//! It names every process but the boot processor's idle task a third time, beside the task list and
//! the pid table. A parent is the thread that forked, so a list may hang on a task that leads no
//! process.

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use osier_memory::{Fault, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds};

use crate::{Linux, list};

/// The walk's name in endings.
const WALK: &str = "children";

/// The children of all parents.
pub(crate) struct Family {
    /// Every child that is a process, each once.
    pub(crate) children: Vec<VirtAddr>,
    /// Whether each parent's list was read to its end.
    pub(crate) whole: bool,
    /// The endings of the lists that are damaged; a list that the snapshot does not hold is not damaged.
    pub(crate) ends: WalkEnds,
    /// How many lists the snapshot does not hold, and why the first.
    pub(crate) unread: Option<(usize, Fault)>,
}

/// Whether the lists of children name the `known` processes and no others; `None` when that takes
/// [`family`] to tell.
///
/// This reads two links for each process, which is most of what it costs to ask twice.
pub(crate) fn is_closed(linux: &Linux, known: &[VirtAddr]) -> Option<bool> {
    let layout = &linux.tasks;
    let (head, link) = layout.children.zip(layout.sibling)?;
    let space = &linux.guest.space;
    let mut parents: HashSet<VirtAddr> = known.iter().copied().collect();
    // By the place of its link: where it leads, and whose child the process says that it is.
    let mut children = HashMap::with_capacity(known.len());
    for child in known.iter().filter(|task| Some(**task) != linux.init_task) {
        let parent = layout.real_parent.read(space, *child).ok()?;
        let at = link.place(*child);
        children.insert(at, (space.read_pointer(at).ok()?, parent));
        parents.insert(parent);
    }
    let mut met = 0_usize;
    for parent in parents {
        let head = head.place(parent);
        let mut at = space.read_pointer(head).ok()?;
        while at != head {
            let (next, of) = *children.get(&at)?;
            if of != parent || met >= children.len() {
                return Some(false);
            }
            met = met.saturating_add(1);
            at = next;
        }
    }
    Some(met == children.len())
}

/// Walks the children of `known` processes, of the threads that forked some of them, and theirs.
/// `None` when the profile does not tell where the lists are.
pub(crate) fn family(linux: &Linux, known: &[VirtAddr]) -> Option<Family> {
    let layout = &linux.tasks;
    let (head, link) = layout.children.zip(layout.sibling)?;
    let mut family = Family {
        children: Vec::new(),
        whole: true,
        ends: WalkEnds::default(),
        unread: None,
    };
    let mut parents: Vec<VirtAddr> = known.to_vec();
    let mut asked: HashSet<VirtAddr> = known.iter().copied().collect();
    for child in known {
        let parent = layout.real_parent.read(&linux.guest.space, *child).ok();
        let parent = parent.filter(|parent| linux.guest.can_be_object(*parent));
        parents.extend(parent.filter(|parent| asked.insert(*parent)));
    }
    let mut met = HashSet::new();
    while let Some(parent) = parents.pop() {
        let walked = list::ring(&linux.guest, head.place(parent));
        match walked.end {
            WalkEnd::Closed => {}
            WalkEnd::BrokenLink {
                to: None, fault, ..
            } => {
                family.whole = false;
                let (lists, first) = family.unread.unwrap_or((0, fault));
                family.unread = Some((lists.saturating_add(1), first));
            }
            end => {
                family.whole = false;
                family.ends.add(WALK, end);
            }
        }
        for child in walked.nodes.iter().map(|node| link.container(*node)) {
            if met.insert(child) && is_child(linux, child, parent) {
                family.children.push(child);
                parents.extend(Some(child).filter(|child| asked.insert(*child)));
            }
        }
    }
    Some(family)
}

/// Whether what is on a list of children says the same of itself.
fn is_child(linux: &Linux, child: VirtAddr, parent: VirtAddr) -> bool {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    layout.group_leader.read(space, child) == Ok(child)
        && layout.real_parent.read(space, child) == Ok(parent)
}
