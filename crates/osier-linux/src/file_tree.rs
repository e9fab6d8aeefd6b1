//! The tree of a file's mappings, by which the kernel finds all that map a page of it.
//!
//! Each mapping of a file is a node (`vma->shared`) of the interval tree `address_space.i_mmap`: Linux
//! commit 6b2dbba8b6ac ("mm: replace `vma_prio_tree` with an interval tree"), v3.7. A node notes the
//! last page of all mappings from it downwards.

use std::cell::RefCell;

use foldhash::HashMap;
use osier_memory::{Fault, PAGE_BYTES, VirtAddr};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt};

use crate::guest::Guest;
use crate::layouts::files::File;
use crate::layouts::{RbNode, Vma};
use crate::page_cache::AddressSpace;

/// Higher than any tree of mappings.
const DEPTH: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Layout {
    shared: Field<Embed<()>>,
    parent: Field<UInt>,
    left: Field<Ptr<()>>,
    right: Field<Ptr<()>>,
    /// Where `rb_subtree_last` lies behind the node's start.
    last: u64,
    f_mapping: Option<Field<Ptr<()>>>,
    /// Where in a file's `address_space` the pointer to the top of its tree stands.
    top: Option<Field<Embed<()>>>,
    vm_file: Field<Ptr<()>>,
    vm_pgoff: Field<UInt>,
}

impl Layout {
    /// Whether the node above or one below starts on the wrong side of page `first`.
    fn is_out_of_order(&self, guest: &Guest, node: VirtAddr, first: u64) -> bool {
        let space = &guest.space;
        let start = |node: VirtAddr| {
            let start = self.vm_pgoff.read(space, self.shared.container(node));
            start.ok().filter(|_| !node.is_null())
        };
        let child = |field: Field<Ptr<()>>, of| field.read(space, of).ok();
        let left = child(self.left, node).and_then(start);
        let right = child(self.right, node).and_then(start);
        let above = self
            .parent
            .read(space, node)
            .map(|parent| VirtAddr(parent & !3));
        let above = above.ok().filter(|above| !above.is_null());
        let wrong_side = |above: VirtAddr| {
            let start = start(above)?;
            if child(self.left, above)? == node {
                Some(first > start)
            } else {
                Some(first < start)
            }
        };
        left.is_some_and(|left| left > first)
            || right.is_some_and(|right| right < first)
            || above.and_then(wrong_side) == Some(true)
    }
}

/// How to read the trees. Remembers which file each tree is of, where files do not say so themselves.
#[derive(Clone)]
pub(crate) struct FileTrees {
    layout: Option<Layout>,
    files: RefCell<HashMap<VirtAddr, VirtAddr>>,
    tops: RefCell<HashMap<VirtAddr, VirtAddr>>,
}

impl FileTrees {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>, vma: &Vma) -> Self {
        let node = RbNode::resolve(resolver);
        let file = File::resolve(resolver);
        let profile = resolver.profile();
        let word = u64::from(profile.identity().pointer_bytes);
        // The nodes of before have as many bytes. This came with v3.8, and left with the list.
        let ty = profile.find_type(Vma::STRUCTURE);
        let has = |name| ty.is_some_and(|ty| ty.member(name).is_some());
        let interval = has("rb_subtree_gap") || !has("vm_next");
        let whole = node.size.saturating_add(word);
        let mut layout = || {
            Some(Layout {
                shared: vma.shared.filter(|shared| shared.bytes == whole)?,
                parent: node.parent?,
                left: node.left?,
                right: node.right?,
                last: node.size,
                f_mapping: file.f_mapping,
                top: AddressSpace::resolve(resolver).i_mmap,
                vm_file: vma.vm_file,
                vm_pgoff: vma.vm_pgoff?,
            })
        };
        Self {
            layout: layout().filter(|_| interval),
            files: RefCell::default(),
            tops: RefCell::default(),
        }
    }

    /// Whether the mapping at `at` is in a file's tree. Those of no file have nothing there, where that place
    /// is of nothing else. What cannot be read is believed.
    pub(crate) fn holds(&self, guest: &Guest, vma: &Vma, at: VirtAddr) -> bool {
        let elsewhere =
            |name: Field<Ptr<()>>| vma.shared.is_none_or(|shared| name.offset != shared.offset);
        let Some(layout) = self.layout.filter(|_| vma.anon_name.is_none_or(elsewhere)) else {
            return false;
        };
        let parent = layout.parent.read(&guest.space, layout.shared.place(at));
        parent.is_ok_and(|parent| parent != 0)
    }

    /// Whether the mapping at `at`, which starts with page `first` of its file, is noted to end at
    /// another page, or is not in order with its neighbours. What cannot be read is believed.
    pub(crate) fn lies_elsewhere(
        &self,
        guest: &Guest,
        at: VirtAddr,
        first: u64,
        bytes: u64,
    ) -> bool {
        let Some(layout) = self.layout else {
            return false;
        };
        let Some(last) = first.checked_add((bytes / PAGE_BYTES).saturating_sub(1)) else {
            return true;
        };
        let noted = |node: VirtAddr| guest.space.read_pointer(node.plus(layout.last));
        let node = layout.shared.place(at);
        let compare = || -> Result<bool, Fault> {
            let own = noted(node)?.0;
            if own < last {
                return Ok(true);
            }
            let mut expected = last;
            for child in [layout.left, layout.right] {
                let child = child.read(&guest.space, node)?;
                if !child.is_null() {
                    expected = expected.max(noted(child)?.0);
                }
            }
            Ok(own != expected)
        };
        compare().unwrap_or(false) || layout.is_out_of_order(guest, node, first)
    }

    /// Whether the tree that the mapping at `at` is in is one of another file than the file at `file`,
    /// as mappings seen before have it. What cannot be read is believed.
    pub(crate) fn is_of_another(&self, guest: &Guest, at: VirtAddr, file: VirtAddr) -> bool {
        let Some((layout, f_mapping)) = self.layout.and_then(|layout| {
            let f_mapping = layout.f_mapping?;
            Some((layout, f_mapping))
        }) else {
            return false;
        };
        let Ok(mapping) = f_mapping.read(&guest.space, file) else {
            return false;
        };
        let mut node = layout.shared.place(at);
        for _ in 0..DEPTH {
            match layout.parent.read(&guest.space, node) {
                Ok(parent) if parent & !3 == 0 => {
                    // The file itself says which node is its top: a lost one looks like another.
                    let top = |mapping| {
                        let said = layout.top?.place(mapping);
                        let top = guest.space.read_pointer(said).ok();
                        top.filter(|top| !top.is_null()) // a file that is mapped has a top
                    };
                    if let Some(said) = top(mapping) {
                        // A node without one above that is no file's top has lost it; whose those below are is not its to tell.
                        let own = node == layout.shared.place(at);
                        let of_another = || {
                            let file = layout
                                .vm_file
                                .read(&guest.space, layout.shared.container(node));
                            let mapping = f_mapping.read(&guest.space, file.ok()?).ok()?;
                            Some(top(mapping)? == node)
                        };
                        return said != node && (own || of_another() == Some(true));
                    }
                    let known = *self.files.borrow_mut().entry(node).or_insert(mapping);
                    let top = *self.tops.borrow_mut().entry(mapping).or_insert(node);
                    return known != mapping || top != node;
                }
                Ok(parent) => node = VirtAddr(parent & !3),
                Err(_) => return false,
            }
        }
        true
    }
}
