//! Circular lists of `list_head`, walked from both ends.
//!
//! ```text
//!   head.next ──► A ──► B ──► C ──► head       forwards
//!   head.prev ──► C ──► B ──► A ──► head       backwards, when forwards did not close well
//! ```
//!
//! On a sound list each node costs one read of its two links, and the back links prove that the
//! list reads the same from its other end. A list that does not close, or whose back links
//! disagree, is walked backwards too, and the two walks are joined by address.

use osier_memory::{AddressSpace, Cause, Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd};

use crate::guest::Guest;

/// More nodes than any real list has; Linux allows 4 Mi process ids.
const LIMIT: usize = 1 << 23;

/// The nodes of a list, and how the walk ended.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Addresses of the nodes' `list_head`, the list's own head left out, each once.
    pub(crate) nodes: Vec<VirtAddr>,
    /// How the walk ended; [`WalkEnd::Closed`] also means that both directions agree.
    pub(crate) end: WalkEnd,
}

/// A node's two links.
struct Links {
    next: VirtAddr,
    prev: VirtAddr,
}

/// Walks the list whose head is at `head`.
pub(crate) fn ring(guest: &Guest, head: VirtAddr) -> Walked {
    let mut nodes = Vec::new();
    let mut met = Guard::new(LIMIT);
    let end = forwards(guest, head, &mut met, &mut nodes);
    if !end.is_closed() {
        let mut from_the_end = backwards(guest, head, &met);
        from_the_end.reverse();
        nodes.append(&mut from_the_end);
    }
    Walked { nodes, end }
}

/// Follows `next` from `head`. A node is kept before its links are read.
fn forwards(guest: &Guest, head: VirtAddr, met: &mut Guard, nodes: &mut Vec<VirtAddr>) -> WalkEnd {
    let space = &guest.space;
    let first = match links(space, head) {
        Ok(links) => links,
        Err(fault) => return broken(head, None, fault),
    };
    let mut disagreement = None;
    let mut doubts = 0_u32;
    let (mut before, mut at) = (head, first.next);
    while at != head {
        if let Err(fault) = plausible(guest, at) {
            return broken(before, Some(at), fault);
        }
        if let Err(end) = met.meet(at) {
            return end;
        }
        nodes.push(at);
        let here = match links(space, at) {
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
fn backwards(guest: &Guest, head: VirtAddr, known: &Guard) -> Vec<VirtAddr> {
    let mut found = Vec::new();
    let mut met = Guard::new(LIMIT);
    let mut after = head;
    while let Ok(here) = links(&guest.space, after) {
        let at = here.prev;
        if at == head || plausible(guest, at).is_err() || met.meet(at).is_err() {
            break;
        }
        if !known.has_met(at) {
            // A node that does not lead back is no node of this list.
            if links(&guest.space, at).is_ok_and(|links| links.next != after) {
                break;
            }
            found.push(at);
        }
        after = at;
    }
    found
}

fn links(space: &AddressSpace, node: VirtAddr) -> Result<Links, Fault> {
    let width = u64::from(space.mode().pointer_bytes());
    Ok(Links {
        next: space.read_pointer(node)?,
        prev: space.read_pointer(node.plus(width))?,
    })
}

/// Whether a node can lie at `at`: a kernel address that is aligned and mapped. A page that is
/// mapped and cannot be had may well hold a node.
pub(crate) fn plausible(guest: &Guest, at: VirtAddr) -> Result<(), Fault> {
    let nowhere = Fault::new(Cause::NonCanonical).with_va(at);
    if !guest.is_kernel_address(at) || !at.0.is_multiple_of(u64::from(guest.pointer_bytes())) {
        return Err(nowhere);
    }
    match guest.space.translate(at) {
        Err(fault) if matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical) => {
            Err(fault)
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests;
