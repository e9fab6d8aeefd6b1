//! What names the kernel's modules besides their list.
//!
//! - The tree by which the kernel finds the module of an address (`mod_tree`; Linux commit
//!   93c2e105f6bc ("module: Optimize `__module_address()` using a latched RB-tree"), v4.2). It has the
//!   modules of the list, always.
//! - The set of `/sys/module` (`module_kset`). A module enters it after the list and leaves it
//!   before; one that is live is in it.
//! - The memory that modules are loaded into: a `struct module` there leads to itself by `mkobj.mod`.
//!   It is asked where neither of the others can be, as in a snapshot of few pages.

use std::ops::{ControlFlow, Range};

use osier_memory::{Cause, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Guard, ScanSource, WalkEnd, Walked};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use super::extent::Extent;
use crate::guest::Guest;
use crate::layouts::Module;
use crate::layouts::RbNode;
use crate::list;
use crate::symbols;

/// More nodes than any tree of modules has.
const LIMIT: usize = 1 << 16;
/// One past the memory that modules of a 64-bit kernel are loaded into: the fixed mappings follow.
const AREA_END: u64 = 0xffff_ffff_ff00_0000;
/// The same of a 32-bit kernel, which loads them among its other mappings.
const AREA_END_32: u64 = 0xff80_0000;

layout! {
    /// Fields read from `struct module_kobject`.
    pub(crate) struct Entry: "module_kobject" {
        /// The object in the set.
        kobj: Option<Field<Embed<()>>>,
        /// The module; null for one that is built in.
        module: Option<Field<Ptr<()>>> = ["mod"],
    }
}

layout! {
    /// Fields read from `struct kobject`.
    pub(crate) struct Object: "kobject" {
        /// Its name.
        name: Option<Field<Ptr<()>>>,
        /// The link in its set.
        entry: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct kset`.
    pub(crate) struct Set: "kset" {
        /// The ring of its objects.
        list: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct mod_tree_root`.
    pub(crate) struct Root: "mod_tree_root" {
        /// The tree, twice.
        root: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct latch_tree_root`.
    pub(crate) struct Latch: "latch_tree_root" {
        /// Its low bit tells which of the two trees is whole.
        seq: Option<Field<UInt>>,
        /// The two trees.
        tree: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct latch_tree_node`: a node for each of the two trees.
    pub(crate) struct LatchNode: "latch_tree_node" {}
}

/// What the walk over `mod_tree` takes.
#[derive(Clone, Copy, Debug)]
struct Tree {
    root: Field<Embed<()>>,
    seq: Field<UInt>,
    trees: Field<Embed<()>>,
    parent: Field<UInt>,
    right: Field<Ptr<()>>,
    left: Field<Ptr<()>>,
    /// Bytes of an `rb_node`.
    node_bytes: u64,
}

/// What the walk over `module_kset` takes.
#[derive(Clone, Copy, Debug)]
struct SysModule {
    objects: Field<Embed<()>>,
    entry: Field<Embed<()>>,
    kobj: Field<Embed<()>>,
    module: Field<Ptr<()>>,
    name: Field<Ptr<()>>,
    mkobj: Field<Embed<()>>,
}

/// How to read the other sources; `None` for each that the profile does not describe.
#[derive(Clone, Debug)]
pub(super) struct Twins {
    tree: Option<Tree>,
    set: Option<SysModule>,
    /// Where the nodes of the tree lie in `struct module`.
    nodes: Vec<Field<Embed<()>>>,
}

/// What a source names.
pub(super) struct Source {
    /// What is compared with it, in words.
    pub(super) between: &'static str,
    /// The same as a word of `found_by`.
    pub(super) word: ScanSource,
    /// The modules.
    pub(super) modules: Vec<VirtAddr>,
    /// All of it was read.
    pub(super) whole: bool,
    /// It has modules that are live, and others perhaps.
    pub(super) live: bool,
    /// It is what a search found, of what could be read.
    pub(super) searched: bool,
    /// What stood in the way.
    pub(super) fault: Option<Fault>,
    /// What contradicts itself.
    pub(super) ends: Vec<WalkEnd>,
    /// Of a search: how many pages could not be read, and why the first.
    pub(super) unread: Option<(usize, Fault)>,
}

impl Source {
    fn new(between: &'static str, word: ScanSource) -> Self {
        Self {
            between,
            word,
            modules: Vec::new(),
            whole: true,
            live: false,
            searched: false,
            fault: None,
            ends: Vec::new(),
            unread: None,
        }
    }

    /// Notes that the link of `from` could not be followed: a page that the snapshot does not hold
    /// leaves the source unread, a link that leads nowhere is an ending.
    fn lose(&mut self, from: VirtAddr, to: Option<VirtAddr>, fault: Fault) {
        self.whole = false;
        self.fault.get_or_insert(fault);
        if matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical) {
            self.ends.push(WalkEnd::BrokenLink { from, to, fault });
        }
    }

    fn contradict(&mut self, at: VirtAddr, back_link: VirtAddr, expected: VirtAddr) {
        self.whole = false;
        self.ends.push(WalkEnd::Inconsistent {
            at,
            back_link,
            expected,
        });
    }
}

impl Twins {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, extent: &Extent) -> Self {
        let root = Root::resolve(resolver);
        let latch = Latch::resolve(resolver);
        let latch_node = LatchNode::resolve(resolver);
        let node = RbNode::resolve(resolver);
        let pointer = u64::from(resolver.profile().identity().pointer_bytes);
        // `struct mod_tree_node`: the module, then the node of both trees.
        let expected = pointer.saturating_add(latch_node.size);
        let fits = |field: &Field<Embed<()>>| field.bytes == expected;
        let whole = latch_node.size > 0 && !extent.nodes.is_empty();
        let whole = whole && extent.nodes.iter().all(fits);
        let tree = || {
            Some(Tree {
                root: root.root?,
                seq: latch.seq?,
                trees: latch.tree?,
                parent: node.parent?,
                right: node.right?,
                left: node.left?,
                node_bytes: node.size,
            })
        };
        let members = Module::resolve(resolver);
        let entry = Entry::resolve(resolver);
        let object = Object::resolve(resolver);
        let set = Set::resolve(resolver);
        let set = || {
            Some(SysModule {
                objects: set.list?,
                entry: object.entry?,
                kobj: entry.kobj?,
                module: entry.module?,
                name: object.name?,
                mkobj: members.mkobj?,
            })
        };
        Self {
            tree: tree().filter(|_| whole),
            set: set(),
            nodes: extent.nodes.clone(),
        }
    }

    /// What the module tree names; `None` for a kernel without one.
    pub(super) fn tree(&self, guest: &Guest) -> Option<Source> {
        let layout = self.tree.as_ref()?;
        let mod_tree = guest.symbol(symbols::mod_tree)?;
        let mut source = Source::new("module list and module tree", ScanSource::ModuleTree);
        let root = layout.root.place(mod_tree);
        let which = match layout.seq.read(&guest.space, root) {
            Ok(seq) => seq & 1,
            Err(fault) => {
                source.lose(mod_tree, None, fault);
                return Some(source);
            }
        };
        let word = u64::from(guest.pointer_bytes());
        let top = layout.trees.place(root).plus(which.wrapping_mul(word));
        let mut pending = match guest.space.read_pointer(top) {
            Ok(node) => vec![(top, node, VirtAddr(0))],
            Err(fault) => {
                source.lose(mod_tree, None, fault);
                return Some(source);
            }
        };
        let mut guard = Guard::new(LIMIT);
        while let Some((from, node, parent)) = pending.pop() {
            if node.is_null() {
                continue;
            }
            if let Err(fault) = list::plausible(guest, node) {
                source.lose(from, Some(node), fault);
                continue;
            }
            if let Err(end) = guard.meet(node) {
                source.whole = false;
                source.ends.push(end);
                continue;
            }
            match self.node(guest, layout, node, which, parent, &mut source) {
                Ok((left, right)) => pending.extend([(node, right, node), (node, left, node)]),
                Err(fault) => source.lose(node, None, fault),
            }
        }
        source.modules.sort_unstable();
        source.modules.dedup();
        Some(source)
    }

    /// Notes the module of the tree's node at `node`; gives the nodes below.
    fn node(
        &self,
        guest: &Guest,
        layout: &Tree,
        node: VirtAddr,
        which: u64,
        parent: VirtAddr,
        source: &mut Source,
    ) -> Result<(VirtAddr, VirtAddr), Fault> {
        let space = &guest.space;
        let above = VirtAddr(layout.parent.read(space, node)? & !3);
        if above != parent {
            source.contradict(node, above, parent);
        }
        let word = u64::from(guest.pointer_bytes());
        let before = word.wrapping_add(which.wrapping_mul(layout.node_bytes));
        let tree_node = node.minus(before);
        let module = space.read_pointer(tree_node)?;
        let own = self
            .nodes
            .iter()
            .any(|field| field.place(module) == tree_node);
        if own {
            source.modules.push(module);
        } else {
            let expected = self.nodes.first().map(|field| field.container(tree_node));
            source.contradict(tree_node, module, expected.unwrap_or_default());
        }
        Ok((
            layout.left.read(space, node)?,
            layout.right.read(space, node)?,
        ))
    }

    /// What `/sys/module` names; `None` for a kernel without it.
    pub(super) fn set(&self, guest: &Guest) -> Option<Source> {
        let layout = self.set.as_ref()?;
        let variable = guest.symbol(symbols::module_kset)?;
        let mut source = Source::new("module list and /sys/module", ScanSource::SysModule);
        source.live = true;
        let set = match guest.space.read_pointer(variable) {
            Ok(set) => set,
            Err(fault) => {
                source.lose(variable, None, fault);
                return Some(source);
            }
        };
        if let Err(fault) = list::plausible(guest, set) {
            source.lose(variable, Some(set), fault);
            return Some(source);
        }
        let Walked { nodes, end } = list::ring(guest, layout.objects.place(set));
        match end {
            WalkEnd::Closed => {}
            WalkEnd::BrokenLink { from, to, fault } => source.lose(from, to, fault),
            other => {
                source.whole = false;
                source.ends.push(other);
            }
        }
        for node in nodes {
            let entry = layout.kobj.container(layout.entry.container(node));
            match layout.module.read(&guest.space, entry) {
                Ok(module) if module.is_null() => {}
                Ok(module) if layout.mkobj.place(module) == entry => source.modules.push(module),
                Ok(module) => source.contradict(entry, module, layout.mkobj.container(entry)),
                Err(fault) => source.lose(entry, None, fault),
            }
        }
        Some(source)
    }

    /// What the directory in `/sys/module` of the module at `modd` is called; `None` when it has none
    /// or its name cannot be read.
    pub(super) fn name(&self, guest: &Guest, modd: VirtAddr) -> Option<Vec<u8>> {
        let layout = self.set.as_ref()?;
        let space = &guest.space;
        let object = layout.kobj.place(layout.mkobj.place(modd));
        let name = layout.name.read(space, object).ok()?;
        let name = Some(name).filter(|name| guest.is_kernel_address(*name))?;
        space.read_cstr(name, 256).ok()
    }

    /// Whether the module at `modd`, which is live, does not lead to itself as each does (`mkobj.mod`).
    pub(super) fn leads_elsewhere(&self, guest: &Guest, modd: VirtAddr) -> bool {
        let own = self.set.as_ref().map(|layout| {
            let entry = layout.mkobj.place(modd);
            layout.module.read(&guest.space, entry)
        });
        matches!(own, Some(Ok(own)) if own != modd)
    }

    /// The modules in the memory that they are loaded into, as far as the snapshot holds it: what
    /// leads to itself as a module does and is `one`.
    pub(super) fn area(&self, guest: &Guest, one: &dyn Fn(VirtAddr) -> bool) -> Option<Source> {
        let layout = self.set.as_ref()?;
        let word = usize::from(guest.pointer_bytes());
        let mut start = guest.symbol(symbols::_end)?;
        let end = if word == 8 { AREA_END } else { AREA_END_32 };
        if word == 4
            && let Some(variable) = guest.symbol(symbols::high_memory)
            && let Ok(high) = guest.space.read_pointer(variable)
        {
            start = start.max(high);
        }
        if !guest.is_kernel_address(start) {
            return None;
        }
        let within = layout.mkobj.offset.saturating_add(layout.module.offset);
        let mut source = Source::new(
            "module list and the memory of modules",
            ScanSource::ModuleMemory,
        );
        // Which pages the snapshot holds says nothing of those that it does not.
        source.whole = false;
        source.searched = true;
        source.live = true;
        let _ = guest
            .space
            .sweep(start..VirtAddr(end), 0, &mut |at, bytes| {
                for (index, value) in bytes.chunks_exact(word).enumerate() {
                    let place = at.plus(index.wrapping_mul(word) as u64);
                    let mut raw = [0; 8];
                    if let Some(low) = raw.get_mut(..word) {
                        low.copy_from_slice(value);
                    }
                    let module = VirtAddr(u64::from_le_bytes(raw));
                    if module.plus(within.cast_unsigned()) == place && module.0 != 0 {
                        source.modules.push(module);
                    }
                }
                ControlFlow::Continue(())
            });
        source.unread = unread(guest, start..VirtAddr(end));
        // A search is not recorded; what it finds is read.
        source.modules.retain(|module| {
            let entry = layout.mkobj.place(*module);
            layout.module.read(&guest.space, entry) == Ok(*module) && one(*module)
        });
        Some(source)
    }
}

/// How many pages that are mapped there cannot be read, and why the first.
fn unread(guest: &Guest, within: Range<VirtAddr>) -> Option<(usize, Fault)> {
    let mut pages = 0_usize;
    let mut first = None;
    // Firmware's tables and the like are mapped as memory is, behind the last of it.
    let frames = guest.symbol(symbols::max_pfn);
    let frames = frames.and_then(|at| guest.space.read_pointer(at).ok());
    // No number of frames when the kernel itself lies behind the last.
    let own = guest
        .symbol(symbols::_end)
        .and_then(|end| guest.space.translate(end).ok());
    let own = own.map_or(0, |own| own.0 / PAGE_BYTES);
    let frames = frames.filter(|frames| frames.0 > own);
    let frames = frames.map_or(u64::MAX, |frames| frames.0);
    let memory = guest.space.memory();
    guest.space.mapped(within, &mut |range| {
        match range {
            // What a driver mapped of a device, which a dump does not hold and may not know for no RAM.
            Ok(range) if range.flags.uncached => {}
            Ok(range) => {
                let mut done = 0;
                while done < range.len {
                    // What is no RAM is a device: among them no module lies.
                    let at = range.phys.plus(done);
                    if let Err(fault) = memory.chunk(at)
                        && fault.cause != Cause::NoRam
                        && at.0 / PAGE_BYTES < frames
                    {
                        pages = pages.saturating_add(1);
                        first.get_or_insert(fault.with_va(range.start.plus(done)));
                    }
                    done = done.saturating_add(PAGE_BYTES);
                }
            }
            Err(fault) => {
                pages = pages.saturating_add(1);
                first.get_or_insert(fault);
            }
        }
        ControlFlow::Continue(())
    });
    first.map(|fault| (pages, fault))
}
