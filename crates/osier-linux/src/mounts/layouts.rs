//! What is read of mounts and of their namespaces.

use osier_profile::{Embed, Field, Ptr, SInt, UInt, layout};

macro_rules! mount {
    ($name:ident, $structure:literal) => {
        layout! {
            /// What is read of a mount besides its place in the tree, which [`crate::mount`] reads.
            pub(crate) struct $name: $structure {
                /// The part that the rest of the kernel sees.
                mnt: Option<Field<Embed<()>>>,
                /// The mount that it stands on; itself at the top.
                mnt_parent: Option<Field<Ptr<()>>>,
                /// The list of the mounts that stand on it.
                mnt_mounts: Option<Field<Embed<()>>>,
                /// The link in the list of the mount that it stands on.
                mnt_child: Option<Field<Embed<()>>>,
                /// The link in the namespace's list.
                mnt_list: Option<Field<Embed<()>>>,
                /// The node in the namespace's tree.
                mnt_node: Option<Field<Embed<()>>>,
                /// The namespace.
                mnt_ns: Option<Field<Ptr<()>>>,
                /// Its number.
                mnt_id: Option<Field<SInt>>,
                /// The number that it shares with its peers.
                mnt_group_id: Option<Field<SInt>>,
                /// Whose mounts it follows.
                mnt_master: Option<Field<Ptr<()>>>,
                /// What was mounted.
                mnt_devname: Option<Field<Ptr<()>>>,
                /// How mounts on it go elsewhere. Until v6.16 `mnt_flags` had that.
                mnt_t_flags: Option<Field<UInt>>,
            }
        }
    };
}

mount!(Outer, "mount");
mount!(Before, "vfsmount");

layout! {
    /// Fields read from `struct vfsmount`.
    pub(crate) struct Inner: "vfsmount" {
        /// The file system.
        mnt_sb: Option<Field<Ptr<()>>>,
        /// Marks.
        mnt_flags: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `mnt_namespace`.
    pub(crate) struct Namespace: "mnt_namespace" through [rb_root] {
        /// The list of its mounts. Until v6.7.
        list: Option<Field<Embed<()>>>,
        /// The tree of its mounts. Since v6.8.
        tree: Option<Field<Ptr<()>>> = ["mounts.rb_node"],
        /// How many there are. Linux commit d29216842a85 ("mnt: Add a per mount namespace limit on the
        /// number of mounts"), v4.9.
        count: Option<Field<UInt>> = ["nr_mounts", "mounts"],
    }
}

layout! {
    /// Fields read from `struct super_block`.
    pub(crate) struct SuperBlock: "super_block" {
        /// Marks.
        s_flags: Option<Field<UInt>>,
        /// What a type that serves several is in this case.
        s_subtype: Option<Field<Ptr<()>>>,
    }
}
