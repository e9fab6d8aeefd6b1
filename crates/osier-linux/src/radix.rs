//! Trees by number: `xa_node`, and `radix_tree_node` before it.
//!
//! Linux commit 02c02bf12c5d ("xarray: Change definition of sibling entries"), v4.20: an entry that leads to a
//! node has the low bits 2 instead of 1; `xa_node` came with it.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};
use osier_profile::{Embed, Field, Kind, Resolver, UInt, layout};

use crate::guest::Guest;

layout! {
    /// Fields read from `xa_node`.
    pub(crate) struct XaNode: "xa_node" {
        /// Bits below this node's index.
        shift: Option<Field<UInt>>,
        /// Entries.
        slots: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `radix_tree_node`.
    pub(crate) struct RadixNode: "radix_tree_node" {
        /// Bits below this node's index.
        shift: Option<Field<UInt>>,
        /// Entries.
        slots: Option<Field<Embed<()>>>,
    }
}

/// A node of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) shift: Field<UInt>,
    pub(crate) slots: Field<Embed<()>>,
    pub(crate) count: u64,
    /// The low two bits of an entry that leads to a node.
    pub(crate) tag: u64,
}

/// What a tree has at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing.
    Empty,
    /// A number: of a page the kernel keeps where it went.
    Value(u64),
    /// A structure.
    Entry(VirtAddr),
}

/// What a tree has at an index and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) slot: Slot,
    /// For how many indices from the one that was asked for the same slot stands; at least 1.
    pub(crate) count: u64,
}

impl Met {
    fn forever(slot: Slot) -> Self {
        let count = u64::MAX;
        Self { slot, count }
    }
}

impl Node {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>, word: u64) -> Option<Self> {
        let xa = XaNode::resolve(resolver);
        let (shift, slots, tag, structure) = if let Some((shift, slots)) = xa.shift.zip(xa.slots) {
            (shift, slots, 2, XaNode::STRUCTURE)
        } else {
            let radix = RadixNode::resolve(resolver);
            (radix.shift?, radix.slots?, 1, RadixNode::STRUCTURE)
        };
        let member = resolver.profile().find_type(structure)?.member("slots")?;
        let count = match &member.kind {
            Kind::Array { count, .. } => *count,
            _ => member.bytes.checked_div(word).unwrap_or(0),
        };
        matches!(count, 1..=64).then_some(Self {
            shift,
            slots,
            count,
            tag,
        })
    }

    /// What the tree whose root entry stands at `head` has at `index`.
    pub(crate) fn find(&self, guest: &Guest, head: VirtAddr, index: u64) -> Seen<Met> {
        let space = &guest.space;
        let word = u64::from(guest.pointer_bytes());
        let mut entry = space.read_pointer(head)?;
        if !self.leads_to_node(entry) {
            // A single entry stands in the root itself, and has the index 0.
            let slot = if index == 0 {
                self.leaf(guest, entry, head)?
            } else {
                Slot::Empty
            };
            let alone = index == 0 && slot != Slot::Empty;
            return Ok(if alone {
                Met { slot, count: 1 }
            } else {
                Met::forever(Slot::Empty)
            });
        }
        let mut place = head;
        let mut below = u64::from(u64::BITS);
        loop {
            let at = VirtAddr(entry.0 & !3);
            if !guest.can_be_object(at) {
                let rule = "a node of a tree by number is an aligned address of the kernel";
                return Err(Absent::implausible(at.0, rule, Some(place)));
            }
            let shift = self.shift.read(space, at)?;
            if shift >= below {
                let rule = "a node of a tree by number covers fewer bits than the one above";
                return Err(Absent::implausible(shift, rule, Some(self.shift.place(at))));
            }
            let slot = index.checked_shr(u32::try_from(shift).unwrap_or(u32::MAX));
            let mut slot = slot.unwrap_or(0);
            if slot >= self.count {
                if below < u64::from(u64::BITS) {
                    slot &= self.count.next_power_of_two().wrapping_sub(1);
                } else {
                    // The tree is not that high.
                    return Ok(Met::forever(Slot::Empty));
                }
            }
            let of = |slot: u64| self.slots.place(at).plus(slot.wrapping_mul(word));
            place = of(slot);
            entry = space.read_pointer(place)?;
            if let Some(first) = self.sibling(entry) {
                place = of(first);
                entry = space.read_pointer(place)?;
            }
            if self.leads_to_node(entry) {
                below = shift;
                continue;
            }
            let covered = 1_u64.checked_shl(u32::try_from(shift).unwrap_or(u32::MAX));
            let covered = covered.unwrap_or(u64::MAX);
            let into = index & covered.wrapping_sub(1);
            return Ok(Met {
                slot: self.leaf(guest, entry, place)?,
                count: covered.wrapping_sub(into).max(1),
            });
        }
    }

    /// How many pages the tree has whose root entry stands at `head`; `None` where nodes hold them.
    pub(crate) fn without_nodes(&self, guest: &Guest, head: VirtAddr) -> Seen<Option<u64>> {
        let entry = guest.space.read_pointer(head)?;
        if self.leads_to_node(entry) {
            return Ok(None);
        }
        let leaf = self.leaf(guest, entry, head)?;
        Ok(Some(u64::from(matches!(leaf, Slot::Entry(_)))))
    }

    fn leads_to_node(&self, entry: VirtAddr) -> bool {
        entry.0 & 3 == self.tag && entry.0 > 4096
    }

    /// The slot of the same node that an entry stands for: that of the large page which it is a part of.
    fn sibling(&self, entry: VirtAddr) -> Option<u64> {
        let slot = entry.0 >> 2;
        (self.tag == 2 && entry.0 & 3 == 2 && slot < self.count).then_some(slot)
    }

    fn leaf(&self, guest: &Guest, entry: VirtAddr, place: VirtAddr) -> Seen<Slot> {
        let is_value = match self.tag {
            2 => entry.0 & 1 == 1,
            // `RADIX_TREE_EXCEPTIONAL_ENTRY`.
            _ => entry.0 & 2 == 2,
        };
        if entry.is_null() {
            Ok(Slot::Empty)
        } else if is_value {
            Ok(Slot::Value(entry.0))
        } else if guest.can_be_object(entry) {
            Ok(Slot::Entry(entry))
        } else {
            let rule =
                "an entry of a tree by number is an aligned address of the kernel, or a number";
            Err(Absent::implausible(entry.0, rule, Some(place)))
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]
mod tests {
    use osier_memory::VirtAddr;
    use osier_osi::Why;

    use super::{Met, Node, Slot};
    use crate::toy::{Is, Toy};

    /// A tree of two levels: its toy, its head, the node above and the one below its first slot.
    fn tree(name: &str, tag: u64) -> (Toy, VirtAddr, VirtAddr, VirtAddr) {
        let mut toy = Toy::new();
        let members = [("shift", 0, Is::Int(1)), ("slots", 0x28, Is::Words(64))];
        toy.structure(name, 0x240, &members);
        let (head, above, below) = (toy.page(), toy.page(), toy.page());
        toy.put(head, 0, above.0 | tag);
        toy.put(above, 0, 6);
        toy.put(above, 0x28, below.0 | tag);
        (toy, head, above, below)
    }

    fn find(toy: &Toy, head: VirtAddr, index: u64) -> Result<(Slot, u64), &'static str> {
        let node = toy.resolve(|resolver| Node::resolve(resolver, 8)).unwrap();
        match node.find(&toy.guest(), head, index) {
            Ok(Met { slot, count }) => Ok((slot, count)),
            Err(absent) => match absent.why {
                Why::Implausible { rule, .. } => Err(rule),
                _ => Err("unreadable"),
            },
        }
    }

    #[test]
    fn a_tree_has_entries_values_and_large_pages() {
        let (mut toy, head, above, below) = tree("xa_node", 2);
        let entry = toy.page();
        toy.put(below, 0x28 + 3 * 8, entry.0);
        toy.put(below, 0x28 + 4 * 8, 0x123 << 1 | 1);
        // Slots 8 to 11 are one page, of which the first says what it is.
        toy.put(below, 0x28 + 8 * 8, entry.0);
        for slot in 9..12 {
            toy.put(below, 0x28 + slot * 8, 8 << 2 | 2);
        }
        // A page of 64 stands in the node above.
        toy.put(above, 0x28 + 2 * 8, entry.0);
        let is = Slot::Entry(entry);
        assert_eq!(find(&toy, head, 3), Ok((is, 1)));
        assert_eq!(find(&toy, head, 4), Ok((Slot::Value(0x123 << 1 | 1), 1)));
        assert_eq!(find(&toy, head, 10), Ok((is, 1)));
        assert_eq!(find(&toy, head, 130), Ok((is, 62)));
        // Where a whole node is absent, its indices are empty together; behind the tree all are.
        assert_eq!(find(&toy, head, 65), Ok((Slot::Empty, 63)));
        assert_eq!(find(&toy, head, 5), Ok((Slot::Empty, 1)));
        assert_eq!(find(&toy, head, 64 * 64), Ok((Slot::Empty, u64::MAX)));
    }

    #[test]
    fn a_single_entry_stands_in_the_root() {
        let (mut toy, head, ..) = tree("xa_node", 2);
        let entry = toy.page();
        toy.put(head, 0, entry.0);
        assert_eq!(find(&toy, head, 0), Ok((Slot::Entry(entry), 1)));
        assert_eq!(find(&toy, head, 1), Ok((Slot::Empty, u64::MAX)));
        toy.put(head, 0, 0);
        assert_eq!(find(&toy, head, 0), Ok((Slot::Empty, u64::MAX)));
    }

    #[test]
    fn older_trees_mark_nodes_and_values_otherwise() {
        let (mut toy, head, _, below) = tree("radix_tree_node", 1);
        let entry = toy.page();
        toy.put(below, 0x28, entry.0);
        toy.put(below, 0x30, 0x40 | 2);
        assert_eq!(find(&toy, head, 0), Ok((Slot::Entry(entry), 1)));
        assert_eq!(find(&toy, head, 1), Ok((Slot::Value(0x40 | 2), 1)));
    }

    #[test]
    fn a_tree_that_goes_round_or_astray_ends() {
        let (mut toy, head, above, below) = tree("xa_node", 2);
        // Its own node, and one that is as high.
        toy.put(below, 0x28, above.0 | 2);
        let rule = find(&toy, head, 0).unwrap_err();
        assert!(rule.contains("fewer bits"), "{rule}");
        toy.put(below, 0x28, 0x1234_5670);
        let rule = find(&toy, head, 0).unwrap_err();
        assert!(rule.contains("aligned address"), "{rule}");
        toy.put(above, 0x28, 0x6000_0002);
        let rule = find(&toy, head, 0).unwrap_err();
        assert!(rule.contains("a node of a tree"), "{rule}");
    }
}
