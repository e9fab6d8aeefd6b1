//! Names of files that are in no directory, which their file systems make.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen};

use super::names::Names;
use super::{Called, Climb, Paths, Place, with_suffix};
use crate::guest::Guest;

impl Paths {
    /// The name of a file that is in no directory, made by its file system's `d_dname`; `None` for
    /// every other file. Which way it is made follows from the type of file system.
    pub(super) fn made_name(
        &self,
        guest: &Guest,
        climb: &Climb,
        names: &Names,
        place: Place,
    ) -> Result<Option<Seen<Called>>, Fault> {
        let space = &guest.space;
        let (Some(d_op), Some(d_dname)) = (self.dentry.d_op, self.operations.d_dname) else {
            return Ok(None);
        };
        let operations = d_op.read(space, place.dentry)?;
        if operations.is_null() {
            return Ok(None);
        }
        let maker = d_dname.read(space, operations)?;
        if maker.is_null() {
            return Ok(None);
        }
        if !guest.is_kernel_address(maker) {
            let rule = "names are made by a function of the kernel (d_dname)";
            let at = Some(d_dname.place(operations));
            return Ok(Some(Err(Absent::implausible(maker.0, rule, at))));
        }
        let parent = climb.parent.read(space, place.dentry)?;
        if parent == place.dentry && climb.mounts.root(space, place.mnt)? == place.dentry {
            return Ok(None);
        }
        let file_system = self.file_system_name(guest, place.dentry)?;
        let numbered = |kind: &str| {
            let number = self.inode_number(guest, place.dentry);
            number.map(|number| with_suffix(format!("{kind}:[{number}]").into_bytes(), false))
        };
        Ok(Some(match file_system.as_deref() {
            Some(b"pipefs") => numbered("pipe"),
            Some(b"sockfs") => numbered("socket"),
            Some(b"anon_inodefs") => names
                .of(guest, place.dentry, parent)
                .map(|name| with_suffix([b"anon_inode:", name.as_slice()].concat(), false)),
            Some(b"nsfs") => self.namespace_name(guest, place.dentry),
            // Linux commit cb12fd8e0dab ("pidfd: add pidfs"), v6.9.
            Some(b"pidfs") => Ok(with_suffix(b"anon_inode:[pidfd]".to_vec(), false)),
            Some(b"dmabuf") => Err(Absent::implausible(
                operations.0,
                "the file system makes the name in a way of its own",
                Some(place.dentry),
            )),
            // `simple_dname`: shared memory (`/memfd:NAME`, `/dev/zero`, `/SYSV…`), `/[aio]`,
            // `/anon_hugepage`. The kernel always calls these deleted.
            _ => names
                .of(guest, place.dentry, parent)
                .map(|name| with_suffix([b"/", name.as_slice()].concat(), true)),
        }))
    }

    fn inode_number(&self, guest: &Guest, dentry: VirtAddr) -> Seen<u64> {
        let Some(d_inode) = self.dentry.d_inode else {
            return Err(Absent::not_in_this_kernel());
        };
        let inode = d_inode.read(&guest.space, dentry);
        inode
            .map_err(Absent::unreadable)
            .and_then(|inode| self.inodes.number(guest, inode))
    }

    /// `TYPE:[NUMBER]` of a namespace's file.
    pub(super) fn namespace_name(&self, guest: &Guest, dentry: VirtAddr) -> Seen<Called> {
        let Some(d_inode) = self.dentry.d_inode else {
            return Err(Absent::not_in_this_kernel());
        };
        let inode = d_inode.read(&guest.space, dentry);
        let inode = inode.map_err(Absent::unreadable)?;
        let kind = self.inodes.namespace(guest, inode)?;
        let number = self.inodes.number(guest, inode)?;
        let name = [&kind, &b":["[..], number.to_string().as_bytes(), b"]"].concat();
        Ok(with_suffix(name, false))
    }
}
