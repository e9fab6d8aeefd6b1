//! What is read of open files, of the names and inodes that they lead to, and of file systems and mounts.

use osier_profile::{Bits, Embed, Field, Kind, Ptr, Resolver, SInt, UInt, layout};

layout! {
    /// Fields read from `struct file`.
    pub(crate) struct File: "file" through [path] {
        /// Of the file's path.
        dentry: Option<Field<Ptr<()>>> = ["f_path.dentry", "__f_path.dentry", "f_dentry"],
        /// Of the file's path.
        mnt: Option<Field<Ptr<()>>> = ["f_path.mnt", "__f_path.mnt", "f_vfsmnt"],
        /// The inode. Linux commit dd37978c50bc ("cache the value of `file_inode()` in
        /// `struct file`"), v3.9.
        f_inode: Option<Field<Ptr<()>>>,
        /// Marks.
        f_mode: Option<Field<UInt>>,
        /// Since v6.13, one release before the marks moved: no member tells the two apart, so a
        /// 6.13 kernel's overlay files show the path inside their layer.
        f_ref: Option<Field<Embed<()>>>,
        /// Whose pages it has.
        f_mapping: Option<Field<Ptr<()>>>,
        /// References to it. Until v6.12.
        f_count: Option<Field<UInt>>,
        /// How it was opened.
        f_flags: Option<Field<UInt>>,
        /// Position.
        f_pos: Option<Field<UInt>>,
        /// What its driver keeps; of a socket the `struct socket`.
        private_data: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct fs_struct`.
    pub(crate) struct FsStruct: "fs_struct" through [path] {
        /// Of the root directory.
        root: Option<Field<Ptr<()>>> = ["root.dentry"],
        /// Of the root directory.
        root_mnt: Option<Field<Ptr<()>>> = ["root.mnt"],
        /// Tasks that use it.
        users: Option<Field<SInt>>,
        /// Of the working directory.
        pwd: Option<Field<Ptr<()>>> = ["pwd.dentry"],
        /// Of the working directory.
        pwd_mnt: Option<Field<Ptr<()>>> = ["pwd.mnt"],
    }
}

layout! {
    /// Fields read from `struct dentry`.
    pub(crate) struct Dentry: "dentry" through [qstr] {
        /// Its parent; itself at a root.
        d_parent: Option<Field<Ptr<()>>>,
        /// Marks.
        d_flags: Option<Field<UInt>>,
        /// The file system.
        d_sb: Option<Field<Ptr<()>>>,
        /// The inode.
        d_inode: Option<Field<Ptr<()>>>,
        /// The name's bytes.
        name: Option<Field<Ptr<()>>> = ["d_name.name", "__d_name.name"],
        /// Bytes of the name.
        len: Option<Field<UInt>> = ["d_name.len", "__d_name.len"],
        /// The name's hash.
        hash: Option<Field<UInt>> = ["d_name.hash", "__d_name.hash"],
        /// Room for a short name.
        d_iname: Option<Field<Embed<()>>> = ["d_iname", "d_shortname"],
        /// The link in the hash table.
        d_hash: Option<Field<Embed<()>>>,
        /// Operations; `d_dname` among them.
        d_op: Option<Field<Ptr<()>>>,
        /// The head of its children's list, an `hlist_head`. Linux commit da549bdd15c2 ("dentry: switch the lists of children
        /// to hlist"), v6.8.
        d_children: Option<Field<Embed<()>>>,
        /// The link in its parent's.
        d_sib: Option<Field<Embed<()>>>,
        /// The head of its children's list before, a `list_head`.
        d_subdirs: Option<Field<Embed<()>>>,
        /// The link in its parent's. Up to Linux commit 946e51f2bf37 ("move `d_rcu` from overlapping `d_child` to overlapping
        /// `d_alias`"), v3.19, the first of a union.
        d_child: Option<Field<Embed<()>>> = ["d_child", "d_u"],
        /// The link in the inode's list of names. Linux commit 946e51f2bf37 ("move `d_rcu` from overlapping
        /// `d_child` to overlapping `d_alias`"), v3.19, made it the first of a union.
        d_alias: Option<Field<Embed<()>>> = ["d_alias", "d_u"],
    }
}

impl Dentry {
    /// Whether the link in the hash table is a plain `hlist_node`: the kernel is older than v2.6.38, where Linux commit
    /// ceb5bdc2d246 ("fs: dcache per-bucket dcache hash locking") made it an `hlist_bl_node`. So it is taken to be where
    /// the profile does not say.
    pub(crate) fn hash_is_plain(resolver: &Resolver<'_>) -> bool {
        let dentry = resolver.profile().find_type(Self::STRUCTURE);
        let link = dentry.and_then(|ty| ty.member("d_hash"));
        link.is_none_or(
            |member| matches!(&member.kind, Kind::Embedded { name } if name == "hlist_node"),
        )
    }
}

layout! {
    /// Fields read from `struct inode`.
    pub(crate) struct Inode: "inode" {
        /// Inode number.
        i_ino: Option<Field<UInt>>,
        /// What it is, and rights.
        i_mode: Option<Field<UInt>>,
        /// Its file system.
        i_sb: Option<Field<Ptr<()>>>,
        /// What its maker keeps; of a namespace's file the `ns_common`.
        i_private: Option<Field<Ptr<()>>>,
        /// References to it.
        i_count: Option<Field<UInt>>,
        /// The `address_space` of its pages.
        i_mapping: Option<Field<Ptr<()>>>,
        /// The link in the file system's list.
        i_sb_list: Option<Field<Embed<()>>>,
        /// Its names: an `hlist_head`; a `list_head` before Linux commit b3d9b7a3c752 ("vfs: switch `i_dentry`/`d_alias`
        /// to hlist"), v3.6. The first word of either leads to the first.
        i_dentry: Option<Field<Embed<()>>>,
        /// Its own pages.
        i_data: Option<Field<Embed<()>>>,
        /// Length in bytes.
        i_size: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `struct super_block`.
    pub(crate) struct SuperBlock: "super_block" {
        /// The type of file system.
        s_type: Option<Field<Ptr<()>>>,
        /// Its device number.
        s_dev: Option<Field<UInt>>,
        /// The link in the list of all.
        s_list: Option<Field<Embed<()>>>,
        /// The list of its inodes.
        s_inodes: Option<Field<Embed<()>>>,
        /// Marks.
        s_flags: Option<Field<UInt>>,
        /// What a type that serves several is in this case.
        s_subtype: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct page`, the kernel's record of a page frame.
    pub(crate) struct Page: "page" {
        /// Marks.
        flags: Option<Field<UInt>>,
        /// The `address_space` that it is in.
        mapping: Option<Field<Ptr<()>>>,
        /// Where in the file, in pages.
        index: Option<Field<UInt>> = ["index", "__folio_index"],
        /// Of a page behind the first of a large one: that one, and the lowest bit. Linux commit d50569612c29,
        /// v7.1, has it under another name.
        head: Option<Field<UInt>> = ["compound_head", "compound_info"],
        /// What sort of page it is.
        page_type: Option<Field<UInt>>,
        /// The cache that the page is of. Until v5.16.
        slab_cache: Option<Field<Ptr<()>>>,
        /// The first free slot.
        freelist: Option<Field<Ptr<()>>>,
        /// Number of slots.
        objects: Option<Field<Bits>>,
    }
}

layout! {
    /// Fields read from `mnt_namespace`.
    pub(crate) struct MntNamespace: "mnt_namespace" through [ns_common rb_root] {
        /// The list of its mounts. Until v6.7.
        list: Option<Field<Embed<()>>>,
        /// The tree of its mounts. Since v6.8.
        tree: Option<Field<Ptr<()>>> = ["mounts.rb_node"],
        /// How many there are. Linux commit d29216842a85 ("mnt: Add a per mount namespace limit on the
        /// number of mounts"), v4.9.
        count: Option<Field<UInt>> = ["nr_mounts", "mounts"],
        /// Its number.
        inum: Option<Field<UInt>> = ["ns.inum", "proc_inum"],
    }
}

macro_rules! mount {
    ($(#[$meta:meta])* $name:ident, $structure:literal { $($more:tt)* }) => {
        layout! {
            $(#[$meta])*
            pub(crate) struct $name: $structure {
                /// The part that the rest of the kernel sees.
                mnt: Option<Field<Embed<()>>>,
                /// The mount that it stands on; itself at the top.
                mnt_parent: Option<Field<Ptr<()>>>,
                /// The `dentry` that it stands on, in the parent.
                mnt_mountpoint: Option<Field<Ptr<()>>>,
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
                $($more)*
            }
        }
    };
}

mount! {
    /// Fields read from `struct mount`.
    ///
    /// Linux commit 7d6fec45a513 ("vfs: start hiding vfsmount guts series"), v3.3, parted it from
    /// `struct vfsmount`, which had these members itself before.
    Mount, "mount" {}
}

mount! {
    /// Fields read from `struct vfsmount`.
    VfsMount, "vfsmount" {
        /// The `dentry` at the root of the mounted tree.
        mnt_root: Option<Field<Ptr<()>>>,
        /// The file system.
        mnt_sb: Option<Field<Ptr<()>>>,
        /// Marks.
        mnt_flags: Option<Field<UInt>>,
    }
}
