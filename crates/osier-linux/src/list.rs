//! Lists of `list_head` in the kernel's memory.

use osier_memory::{Cause, Fault, VirtAddr};
use osier_osi::{Lists, Walked};

use crate::guest::Guest;

/// Walks the list whose head is at `head`.
pub(crate) fn ring(guest: &Guest, head: VirtAddr) -> Walked {
    let lists = Lists {
        space: &guest.space,
        pointer_bytes: guest.pointer_bytes(),
        plausible: &|at| plausible(guest, at),
    };
    lists.ring(head)
}

/// Whether a node can lie at `at`: a kernel address that is aligned and mapped. A page that is
/// mapped and cannot be read may well hold a node.
pub(crate) fn plausible(guest: &Guest, at: VirtAddr) -> Result<(), Fault> {
    let nowhere = Fault::new(Cause::NonCanonical).with_va(at);
    if !guest.can_be_object(at) {
        return Err(nowhere);
    }
    match guest.space.translate(at) {
        Err(fault) if matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical) => {
            Err(fault)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
