//! Circular doubly linked lists (`list_head`, `_LIST_ENTRY`), walked from both ends.
//!
//! ```text
//!   head.next ──► A ──► B ──► C ──► head       forwards
//!   head.prev ──► C ──► B ──► A ──► head       backwards, when forwards did not close well
//! ```
//!
//! On a sound list each node costs one read of its two links, and the back links prove that the
//! list reads the same from its other end. A list that does not close, or whose back links
//! disagree, is walked backwards too, and the two walks are joined by address.

use osier_memory::{AddressSpace, Fault, VirtAddr};

use crate::{Guard, WalkEnd};

/// More nodes than any real list has; Linux allows 4 Mi process ids.
const LIMIT: usize = 1 << 23;

/// The nodes of a list, and how the walk ended.
#[derive(Debug)]
pub struct Walked {
    /// Addresses of the nodes' links, the list's own head left out, each once.
    pub nodes: Vec<VirtAddr>,
    /// How the walk ended; [`WalkEnd::Closed`] also means that both directions agree.
    pub end: WalkEnd,
}

/// Where lists lie, and what one of their nodes looks like.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    /// The memory.
    pub space: &'a AddressSpace,
    /// Bytes of a link: those of a WoW64 process differ from its kernel's.
    pub pointer_bytes: u8,
    /// Whether a node can lie at an address; the fault of one that cannot.
    pub plausible: &'a dyn Fn(VirtAddr) -> Result<(), Fault>,
}

/// A node's two links.
struct Links {
    next: VirtAddr,
    prev: VirtAddr,
}

impl Lists<'_> {
    /// Walks the list whose head is at `head`.
    pub fn ring(&self, head: VirtAddr) -> Walked {
        let mut nodes = Vec::new();
        let mut met = Guard::new(LIMIT);
        let end = self.forwards(head, &mut met, &mut nodes);
        if !end.is_closed() {
            let mut from_the_end = self.backwards(head, &met);
            from_the_end.reverse();
            nodes.append(&mut from_the_end);
        }
        Walked { nodes, end }
    }

    /// Follows `next` from `head`. A node is kept before its links are read.
    fn forwards(&self, head: VirtAddr, met: &mut Guard, nodes: &mut Vec<VirtAddr>) -> WalkEnd {
        let first = match self.links(head) {
            Ok(links) => links,
            Err(fault) => return broken(head, None, fault),
        };
        let mut disagreement = None;
        let mut doubts = 0_u32;
        let (mut before, mut at) = (head, first.next);
        while at != head {
            if let Err(fault) = (self.plausible)(at) {
                return broken(before, Some(at), fault);
            }
            if let Err(end) = met.meet(at) {
                return end;
            }
            nodes.push(at);
            let here = match self.links(at) {
                Ok(links) => links,
                Err(fault) => return broken(at, None, fault),
            };
            if here.prev == before {
                doubts = 0;
            } else {
                // One odd node among sound ones is a damaged link; two in a row are no longer a list.
                disagreement.get_or_insert(inconsistent(at, here.prev, before));
                doubts = doubts.saturating_add(1);
                if doubts > 1 {
                    break;
                }
            }
            (before, at) = (at, here.next);
        }
        if let Some(end) = disagreement {
            return end;
        }
        if first.prev == before {
            WalkEnd::Closed
        } else {
            inconsistent(head, first.prev, before)
        }
    }

    /// Follows `prev` from `head` as far as it leads and gives the nodes that `known` does not have.
    fn backwards(&self, head: VirtAddr, known: &Guard) -> Vec<VirtAddr> {
        let mut found = Vec::new();
        let mut met = Guard::new(LIMIT);
        let mut after = head;
        while let Ok(here) = self.links(after) {
            let at = here.prev;
            if at == head || (self.plausible)(at).is_err() || met.meet(at).is_err() {
                break;
            }
            if !known.has_met(at) {
                // A node that does not lead back is no node of this list.
                if self.links(at).is_ok_and(|links| links.next != after) {
                    break;
                }
                found.push(at);
            }
            after = at;
        }
        found
    }

    fn links(&self, node: VirtAddr) -> Result<Links, Fault> {
        let width = usize::from(self.pointer_bytes);
        let word = |at| self.space.read_uint(at, width).map(VirtAddr);
        Ok(Links {
            next: word(node)?,
            prev: word(node.plus(width as u64))?,
        })
    }
}

fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}

fn inconsistent(at: VirtAddr, back_link: VirtAddr, expected: VirtAddr) -> WalkEnd {
    WalkEnd::Inconsistent {
        at,
        back_link,
        expected,
    }
}
