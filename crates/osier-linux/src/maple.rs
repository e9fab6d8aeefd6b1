//! Maple trees: ranges of addresses to entries.
//!
//! Linux commit 54a611b60590 ("Maple Tree: add new data structure"), v6.1; described in
//! `Documentation/core-api/maple_tree.rst`. A node takes 256 bytes and starts at a multiple of 256;
//! the low byte of a pointer to it holds its type. Slot *i* of a node covers the indices from
//! the one after pivot *i - 1* to pivot *i*. A slot whose pivot is 0, or beyond the pivots, is the
//! last, and ends where its parent's slot ends.

use std::ops::ControlFlow;

use osier_memory::{Cause, Each, Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd};
use osier_profile::{Field, Kind, Profile, Ptr, Resolver, layout};

use crate::constants;
use crate::guest::Guest;

/// Bytes of a node.
const NODE_BYTES: usize = 256;
/// Most nodes of one tree that are walked.
const NODE_LIMIT: usize = 1 << 20;
/// Most faults of one tree that are told apart.
const TROUBLE_LIMIT: usize = 4096;
/// Entries up to here that are marked internal are marks, not nodes.
const LAST_MARK: u64 = 4096;

layout! {
    /// Fields read from `struct maple_tree`.
    pub(crate) struct Tree: "maple_tree" {
        /// The root: a node, or one entry for index 0.
        ma_root: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct maple_node`.
    pub(crate) struct Node: "maple_node" {
        /// The parent, with the slot and type in its low byte; the tree's address plus 1 at the
        /// root.
        parent: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// A leaf and a node above leaves, in `maple_node`; its arrays are found by their type.
    pub(crate) struct Range: "maple_range_64" {}
}

layout! {
    /// A node of a tree that keeps the widest gap below each.
    pub(crate) struct Arange: "maple_arange_64" {}
}

/// Where a kind of node keeps its pivots and slots: offset in the node, and number.
#[derive(Clone, Copy, Debug)]
struct Shape {
    pivots: (usize, usize),
    slots: (usize, usize),
    leaf: bool,
}

/// How to read maple trees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maple {
    root: Field<Ptr<()>>,
    parent: Option<Field<Ptr<()>>>,
    /// Shapes by the type in a node's pointer.
    dense: (i64, Shape),
    leaf: (i64, Shape),
    range: (i64, Shape),
    arange: (i64, Shape),
}

/// The array member `name` of `structure`: offset and count of elements.
fn array(profile: &Profile, structure: &str, name: &str) -> Option<(usize, usize)> {
    let member = profile.find_type(structure)?.member(name)?;
    let Kind::Array { count, .. } = &member.kind else {
        return None;
    };
    let offset = usize::try_from(member.offset).ok()?;
    let count = usize::try_from(*count).ok()?;
    Some((offset, count.min(NODE_BYTES)))
}

impl Maple {
    /// `None` for a kernel without maple trees.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let root = Tree::resolve(resolver).ma_root?;
        let parent = Node::resolve(resolver).parent;
        let profile = resolver.profile();
        let shape = |structure, leaf| {
            Some(Shape {
                pivots: array(profile, structure, "pivot")?,
                slots: array(profile, structure, "slot")?,
                leaf,
            })
        };
        let dense = Shape {
            pivots: (0, 0),
            slots: array(profile, Node::STRUCTURE, "slot")?,
            leaf: true,
        };
        let number = |name, usual| resolver.constant(&[name]).unwrap_or(usual);
        Some(Self {
            root,
            parent,
            dense: (number(constants::maple_dense, 0), dense),
            leaf: (
                number(constants::maple_leaf_64, 1),
                shape(Range::STRUCTURE, true)?,
            ),
            range: (
                number(constants::maple_range_64, 2),
                shape(Range::STRUCTURE, false)?,
            ),
            arange: (
                number(constants::maple_arange_64, 3),
                shape(Arange::STRUCTURE, false)?,
            ),
        })
    }

    fn shape(&self, kind: i64) -> Option<Shape> {
        let all = [self.dense, self.leaf, self.range, self.arange];
        all.iter()
            .find(|(number, _)| *number == kind)
            .map(|(_, shape)| *shape)
    }
}

/// An entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first index that it stands for.
    pub(crate) first: u64,
    /// The last index that it stands for.
    pub(crate) last: u64,
    /// The entry: a pointer to what the tree keeps.
    pub(crate) value: VirtAddr,
}

/// A node that is still to be visited.
#[derive(Clone, Copy)]
struct Pending {
    node: u64,
    first: u64,
    last: u64,
    /// The parent's address, 0 for the root.
    parent: u64,
}

/// Shows the entries of the tree at `tree` in ascending order. A node that cannot be read or be
/// right is an ending, and the rest of the tree is walked all the same; no endings at all means
/// that the whole tree was walked.
pub(crate) fn walk(
    guest: &Guest,
    maple: &Maple,
    tree: VirtAddr,
    visit: Each<'_, Entry>,
) -> Vec<WalkEnd> {
    let root = match maple.root.read(&guest.space, tree) {
        Ok(root) => root,
        Err(fault) => {
            return vec![WalkEnd::NoStart {
                missing: format!("the root of the tree at {tree}"),
                fault: Some(fault),
            }];
        }
    };
    let mut descent = Descent {
        guest,
        maple,
        tree,
        guard: Guard::new(NODE_LIMIT),
        trouble: Vec::new(),
        pending: Vec::new(),
    };
    if is_internal(root.0) && root.0 > LAST_MARK {
        let last = if guest.pointer_bytes() == 4 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        descent.pending.push(Pending {
            node: root.0,
            first: 0,
            last,
            parent: 0,
        });
    } else if !root.is_null() && !is_internal(root.0) {
        // A tree of one entry, for index 0.
        let entry = Entry {
            first: 0,
            last: 0,
            value: root,
        };
        if visit(entry).is_break() {
            return vec![WalkEnd::Stopped];
        }
    }
    while let Some(next) = descent.pending.pop() {
        match descent.node(next, visit) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                descent.trouble.push(WalkEnd::Stopped);
                break;
            }
            Err(end) => {
                let give_up = matches!(end, WalkEnd::Limit { .. });
                descent.note(end);
                if give_up {
                    break;
                }
            }
        }
    }
    descent.trouble
}

/// `xa_is_internal`.
const fn is_internal(entry: u64) -> bool {
    entry & 3 == 2
}

struct Descent<'a> {
    guest: &'a Guest,
    maple: &'a Maple,
    tree: VirtAddr,
    guard: Guard,
    trouble: Vec<WalkEnd>,
    /// Nodes to visit, the next one last.
    pending: Vec<Pending>,
}

impl Descent<'_> {
    fn note(&mut self, end: WalkEnd) {
        if self.trouble.len() < TROUBLE_LIMIT {
            self.trouble.push(end);
        }
    }

    /// Visits the entries of a leaf, or puts the children of another node up to be visited.
    fn node(&mut self, at: Pending, visit: Each<'_, Entry>) -> Result<ControlFlow<()>, WalkEnd> {
        let node = VirtAddr(at.node & !(NODE_BYTES as u64).wrapping_sub(1));
        let from = if at.parent == 0 {
            self.tree
        } else {
            VirtAddr(at.parent)
        };
        let broken = |fault| WalkEnd::broken(from, VirtAddr(at.node), fault);
        if !self.guest.is_kernel_address(node) {
            return Err(broken(Fault::new(Cause::NonCanonical).with_va(node)));
        }
        let kind = (at.node >> 3 & 0xf).cast_signed();
        let Some(shape) = self.maple.shape(kind) else {
            // No such type of node: the pointer leads to nothing that can be read as one.
            return Err(WalkEnd::Inconsistent {
                at: from,
                back_link: VirtAddr(at.node),
                expected: node,
            });
        };
        self.guard.meet(node)?;
        let mut bytes = [0_u8; NODE_BYTES];
        self.guest.space.read(node, &mut bytes).map_err(broken)?;
        self.check_parent(&bytes, node, at.parent);
        let mut first = at.first;
        let mut children = Vec::new();
        for slot in 0..shape.slots.1 {
            let pivot = match self.word(&bytes, shape.pivots, slot) {
                // A dense node has no pivots: a slot for each index.
                _ if shape.pivots.1 == 0 => first,
                None => at.last,
                Some(0) if slot > 0 => at.last,
                Some(pivot) => pivot,
            };
            let sane = first <= pivot && pivot <= at.last;
            if !sane && shape.pivots.1 != 0 {
                self.note(WalkEnd::Inconsistent {
                    at: node,
                    back_link: VirtAddr(pivot),
                    expected: VirtAddr(at.last),
                });
            }
            let last = if sane { pivot } else { at.last };
            let value = self.word(&bytes, shape.slots, slot).unwrap_or(0);
            if shape.leaf {
                if value != 0 && !is_internal(value) {
                    let value = VirtAddr(value);
                    if visit(Entry { first, last, value }).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            } else if value != 0 {
                children.push(Pending {
                    node: value,
                    first,
                    last,
                    parent: node.0,
                });
            }
            match last.checked_add(1) {
                Some(next) if last < at.last => first = next,
                _ => break,
            }
        }
        self.pending.extend(children.into_iter().rev());
        Ok(ControlFlow::Continue(()))
    }

    /// Element `index` of an array in the node; `None` beyond the array.
    fn word(&self, bytes: &[u8], array: (usize, usize), index: usize) -> Option<u64> {
        if index >= array.1 {
            return None;
        }
        let width = usize::from(self.guest.pointer_bytes());
        let start = array.0.checked_add(index.checked_mul(width)?)?;
        let from = bytes.get(start..start.checked_add(width)?)?;
        let mut raw = [0_u8; 8];
        raw.get_mut(..width)?.copy_from_slice(from);
        Some(u64::from_le_bytes(raw))
    }

    /// A node whose parent is not the one that led to it is told, and walked.
    fn check_parent(&mut self, bytes: &[u8], node: VirtAddr, parent: u64) {
        let Some(field) = self.maple.parent else {
            return;
        };
        let Some(back) = usize::try_from(field.offset)
            .ok()
            .and_then(|offset| self.word(bytes, (offset, 1), 0))
        else {
            return;
        };
        let (found, expected) = if parent == 0 {
            (back, self.tree.0 | 1)
        } else {
            (back & !(NODE_BYTES as u64).wrapping_sub(1), parent)
        };
        if found != expected {
            self.note(WalkEnd::Inconsistent {
                at: node,
                back_link: VirtAddr(back),
                expected: VirtAddr(expected),
            });
        }
    }
}

#[cfg(test)]
mod tests;
