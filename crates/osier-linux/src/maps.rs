//! How to read mappings, once a kernel: the tree that they are in, and where their names come from.

use std::cell::OnceCell;

use osier_memory::VirtAddr;
use osier_profile::{Embed, Field, Ptr, Resolver, layout};

use crate::file_tree::FileTrees;
use crate::guest::Guest;
use crate::layouts::Vma;
use crate::maple::Maple;
use crate::path::Paths;
use crate::symbols;

layout! {
    /// Fields read from `struct vm_operations_struct`.
    pub(crate) struct VmOperations: "vm_operations_struct" {
        /// Names a mapping. Linux commit 78d683e838a6 ("mm, fs: Add vm_ops->name as an alternative
        /// to arch_vma_name"), v3.16.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct vm_special_mapping`.
    pub(crate) struct SpecialMapping: "vm_special_mapping" {
        /// Such as `[vdso]`.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct anon_vma_name`.
    pub(crate) struct AnonVmaName: "anon_vma_name" {
        /// The text, NUL at its end.
        name: Option<Field<Embed<()>>>,
    }
}

/// How to name mappings without a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming {
    pub(crate) operations: VmOperations,
    /// The profile describes operations, so that one without a name has none.
    pub(crate) tells_of_operations: bool,
    pub(crate) special: SpecialMapping,
    pub(crate) anon: AnonVmaName,
    /// A mapping of a file may have a name as well. Linux commit d09e8ca6cb93 ("mm: anonymous
    /// shared memory naming"), v6.2, moved the name out of a union.
    pub(crate) files_named: bool,
}

impl Naming {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>, vma: &Vma) -> Self {
        let files_named = match (vma.anon_name, vma.shared) {
            (Some(name), Some(shared)) => {
                let end = shared.offset.saturating_add_unsigned(shared.bytes.max(1));
                !(shared.offset..end).contains(&name.offset)
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        let operations = resolver.profile().find_type(VmOperations::STRUCTURE);
        Self {
            tells_of_operations: operations.is_some(),
            operations: VmOperations::resolve(resolver),
            special: SpecialMapping::resolve(resolver),
            anon: AnonVmaName::resolve(resolver),
            files_named,
        }
    }
}

/// How to read mappings.
#[derive(Clone)]
pub(crate) struct Maps {
    pub(crate) maple: Option<Maple>,
    pub(crate) vma: Vma,
    pub(crate) naming: Naming,
    pub(crate) paths: Paths,
    pub(crate) trees: FileTrees,
    /// `Process::is_heap` leaves out mappings that only touch the heap.
    pub(crate) strict_heap: bool,
    /// `special_mapping_vmops`; looked up once.
    special_operations: OnceCell<Option<VirtAddr>>,
    /// Whether the kernel forbids its own data to be executed; read once.
    forbids_execution: OnceCell<Option<bool>>,
}

impl Maps {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let vma = Vma::resolve(resolver);
        let paths = Paths::resolve(resolver);
        Self {
            maple: Maple::resolve(resolver),
            vma,
            naming: Naming::resolve(resolver, &vma),
            // Linux commit d3bb89ea9c13 ("mm: fix VMA heap bounds checking"), v6.7, tightened the
            // test. Nothing in it left a trace in a type, but this came in the same release.
            strict_heap: paths.has_user_path(),
            paths,
            trees: FileTrees::resolve(resolver, &vma),
            special_operations: OnceCell::new(),
            forbids_execution: OnceCell::new(),
        }
    }

    /// The operations of `[vdso]` and its like.
    pub(crate) fn special_operations(&self, guest: &Guest) -> Option<VirtAddr> {
        let look = || guest.symbol(symbols::special_mapping_vmops);
        *self.special_operations.get_or_init(look)
    }

    /// Whether pages can be forbidden to execute, as the kernel's own data tells; `None` where that
    /// cannot be read.
    pub(crate) fn forbids_execution(&self, guest: &Guest) -> Option<bool> {
        const NX: u64 = 1 << 63;
        *self.forbids_execution.get_or_init(|| {
            let data = guest.symbol(symbols::init_task)?;
            Some(guest.space.lookup(data).ok()?.rights & NX != 0)
        })
    }
}
