//! Mounts: from the root of a mounted tree to the place it is mounted on.

use osier_memory::{AddressSpace, Fault, VirtAddr};
use osier_profile::{Embed, Field, Ptr, Resolver};

use crate::layouts::files::{Mount, VfsMount};

/// How to read a mount, in terms of its `vfsmount`. A `struct path` names mounts by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mounts {
    root: Field<Ptr<()>>,
    file_system: Option<Field<Ptr<()>>>,
    parent: Field<Ptr<()>>,
    mountpoint: Field<Ptr<()>>,
    /// Where the `vfsmount` lies in what `parent` points to.
    embedded: Field<Embed<()>>,
}

impl Mounts {
    /// `None` when the profile lacks the members.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let outer = Mount::resolve(resolver);
        let inner = VfsMount::resolve(resolver);
        let root = inner.mnt_root?;
        let before_v3_3 = || {
            Some(Self {
                root,
                file_system: inner.mnt_sb,
                parent: inner.mnt_parent?,
                mountpoint: inner.mnt_mountpoint?,
                embedded: Field::at(0, 0, None),
            })
        };
        let Some(embedded) = outer.mnt else {
            return before_v3_3();
        };
        let from_inner = |field: Field<Ptr<()>>| {
            let offset = field.offset.wrapping_sub(embedded.offset);
            Field::at(offset, field.bytes, None)
        };
        Some(Self {
            root,
            file_system: inner.mnt_sb,
            parent: from_inner(outer.mnt_parent?),
            mountpoint: from_inner(outer.mnt_mountpoint?),
            embedded,
        })
    }

    /// The `dentry` at the root of the tree that `vfsmount` mounts.
    pub(crate) fn root(&self, space: &AddressSpace, vfsmount: VirtAddr) -> Result<VirtAddr, Fault> {
        self.root.read(space, vfsmount)
    }

    /// The `super_block` that `vfsmount` mounts; `None` when the profile does not say.
    pub(crate) fn file_system(
        &self,
        space: &AddressSpace,
        vfsmount: VirtAddr,
    ) -> Result<Option<VirtAddr>, Fault> {
        let field = self.file_system;
        field.map(|field| field.read(space, vfsmount)).transpose()
    }

    /// What `vfsmount` stands on: the parent's `vfsmount` and the `dentry` in it; `None` for the
    /// root of a mount tree, which is its own parent.
    pub(crate) fn below(
        &self,
        space: &AddressSpace,
        vfsmount: VirtAddr,
    ) -> Result<Option<(VirtAddr, VirtAddr)>, Fault> {
        let parent = self.embedded.place(self.parent.read(space, vfsmount)?);
        if parent == vfsmount {
            return Ok(None);
        }
        Ok(Some((parent, self.mountpoint.read(space, vfsmount)?)))
    }
}
