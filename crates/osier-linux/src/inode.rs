//! Inodes, and the file systems that they are of.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Device, Seen};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;
use crate::layouts::files::{Dentry, Inode, SuperBlock};

/// Longest name of a type of file system, or of namespaces, that is believed.
const NAME_LIMIT: usize = 64;

layout! {
    /// Fields read from `struct file_system_type`.
    pub(crate) struct FileSystemType: "file_system_type" {
        /// Its name, such as `tmpfs`.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct ns_common`. Linux commit 435d5f4bb2cc ("common object embedded into
    /// various struct ....ns"), v3.19.
    pub(crate) struct Namespace: "ns_common" {
        /// Operations, the first member of which is the type's name.
        ops: Option<Field<Ptr<()>>>,
        /// Its number, which is its inode's.
        inum: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `struct proc_inode`, which holds an inode of `proc`. Until v3.18 a namespace's file was one, that
    /// followed no name: Linux commit bf056bfa80596 ("proc: Fix the namespace inode permission checks."), v3.9.
    pub(crate) struct ProcInode: "proc_inode" through [proc_ns] {
        /// Operations of the namespace, the first member of which is the type's name.
        ns_ops: Option<Field<Ptr<()>>> = ["ns.ns_ops", "ns_ops"],
        /// The inode.
        vfs_inode: Option<Field<Embed<()>>>,
    }
}

/// How to read inodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inodes {
    inode: Inode,
    super_block: SuperBlock,
    file_system: FileSystemType,
    namespace: Namespace,
    of_proc: ProcInode,
    before_v2_6_38: bool,
}

impl Inodes {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            inode: Inode::resolve(resolver),
            super_block: SuperBlock::resolve(resolver),
            file_system: FileSystemType::resolve(resolver),
            namespace: Namespace::resolve(resolver),
            of_proc: ProcInode::resolve(resolver),
            before_v2_6_38: Dentry::hash_is_plain(resolver),
        }
    }

    /// Its number.
    pub(crate) fn number(&self, guest: &Guest, inode: VirtAddr) -> Seen<u64> {
        let number = value(guest, self.inode.i_ino, inode)?;
        if number == 0 {
            let rule = "an inode has a number (i_ino)";
            let at = self.inode.i_ino.map(|field| field.place(inode));
            return Err(Absent::implausible(number, rule, at));
        }
        Ok(number)
    }

    /// What it is, and rights: `i_mode`.
    pub(crate) fn mode(&self, guest: &Guest, inode: VirtAddr) -> Seen<u64> {
        if let Some(count) = self.inode.i_count
            && count.read(&guest.space, inode) == Ok(0)
        {
            let rule = "an inode that is in use is counted (i_count)";
            return Err(Absent::implausible(0, rule, Some(count.place(inode))));
        }
        value(guest, self.inode.i_mode, inode)
    }

    /// Where `i_mode` stands.
    pub(crate) fn mode_at(&self, inode: VirtAddr) -> Option<VirtAddr> {
        self.inode.i_mode.map(|field| field.place(inode))
    }

    /// Its file system.
    pub(crate) fn super_block(&self, guest: &Guest, inode: VirtAddr) -> Seen<VirtAddr> {
        let field = self.inode.i_sb.ok_or_else(Absent::not_in_this_kernel)?;
        let super_block = field.read(&guest.space, inode);
        let super_block = super_block.map_err(Absent::unreadable)?;
        if guest.can_be_object(super_block) {
            return Ok(super_block);
        }
        let rule = "an inode's file system is an aligned address of the kernel (i_sb)";
        Err(Absent::implausible(
            super_block.0,
            rule,
            Some(field.place(inode)),
        ))
    }

    /// The `address_space` that its pages are read from; of a device's file that of the device.
    pub(crate) fn mapping(&self, guest: &Guest, inode: VirtAddr) -> Seen<VirtAddr> {
        let field = self
            .inode
            .i_mapping
            .ok_or_else(Absent::not_in_this_kernel)?;
        let mapping = field.read(&guest.space, inode)?;
        if guest.can_be_object(mapping) {
            return Ok(mapping);
        }
        let rule = "an inode has pages, an aligned address of the kernel (i_mapping)";
        let at = Some(field.place(inode));
        Err(Absent::implausible(mapping.0, rule, at))
    }

    /// The device of the file system at `super_block`.
    pub(crate) fn device(&self, guest: &Guest, super_block: VirtAddr) -> Seen<Device> {
        let field = self.super_block.s_dev;
        let number = value(guest, field, super_block)?;
        // Of an old kernel the first file system without a device of its own, which is the boot's sysfs, has 0.
        let may_be_zero = number == 0
            && self.before_v2_6_38
            && self.system_name(guest, super_block)?.as_deref() == Some(b"sysfs");
        match u32::try_from(number) {
            // No other that is mounted has no number.
            Ok(number) if number != 0 || may_be_zero => Ok(Device {
                major: number.wrapping_shr(20),
                minor: number & 0xf_ffff,
            }),
            _ => {
                let rule = "a file system has a device number of 32 bits that is not 0 (s_dev)";
                let at = field.map(|field| field.place(super_block));
                Err(Absent::implausible(number, rule, at))
            }
        }
    }

    /// The name of the type of the file system at `super_block`; `None` when the profile does not lead
    /// there.
    pub(crate) fn system_name(
        &self,
        guest: &Guest,
        super_block: VirtAddr,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let Some((s_type, name)) = self.super_block.s_type.zip(self.file_system.name) else {
            return Ok(None);
        };
        let space = &guest.space;
        let kind = s_type.read(space, super_block)?;
        space
            .read_cstr(name.read(space, kind)?, NAME_LIMIT)
            .map(Some)
    }

    /// The type of the namespace whose file the inode is, such as `net`.
    pub(crate) fn namespace(&self, guest: &Guest, inode: VirtAddr) -> Seen<Vec<u8>> {
        let (Some(private), Some(ops), Some(inum)) = (
            self.inode.i_private,
            self.namespace.ops,
            self.namespace.inum,
        ) else {
            return Err(Absent::not_in_this_kernel());
        };
        let space = &guest.space;
        let read = || {
            let namespace = private.read(space, inode)?;
            let number = inum.read(space, namespace)?;
            let name = space.read_pointer(ops.read(space, namespace)?)?;
            Ok((namespace, number, space.read_cstr(name, NAME_LIMIT)?))
        };
        let read: Result<_, Fault> = read();
        let (namespace, number, name) = read.map_err(Absent::unreadable)?;
        if self.number(guest, inode).is_ok_and(|own| own != number) {
            let rule = "a namespace's number is that of its inode (inum)";
            return Err(Absent::implausible(
                number,
                rule,
                Some(inum.place(namespace)),
            ));
        }
        Ok(name)
    }

    /// The same of a file of `proc` that follows no name, which is a namespace's.
    pub(crate) fn namespace_of_proc(&self, guest: &Guest, inode: VirtAddr) -> Seen<Vec<u8>> {
        let fields = self.of_proc.vfs_inode.zip(self.of_proc.ns_ops);
        let (vfs_inode, ns_ops) = fields.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &guest.space;
        let of_proc = vfs_inode.container(inode);
        let operations = ns_ops.read(space, of_proc)?;
        if !guest.is_kernel_address(operations) {
            let rule = "what follows no name in proc is a namespace's file (ns_ops)";
            let at = Some(ns_ops.place(of_proc));
            return Err(Absent::implausible(operations.0, rule, at));
        }
        let name = space.read_pointer(operations)?;
        Ok(space.read_cstr(name, NAME_LIMIT)?)
    }
}

/// The number of a field that the profile may lack.
fn value(guest: &Guest, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    field.read(&guest.space, base).map_err(Absent::unreadable)
}
