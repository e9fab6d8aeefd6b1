//! What files are called that are in no directory: their file system makes a name (`d_dname`).

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen};
use osier_profile::{Field, Ptr, Resolver, layout};

use super::climb::{Climb, Place};
use super::hashed::Hashed;
use crate::guest::Guest;
use crate::inode::Inodes;
use crate::layouts::files::Dentry;

/// What the kernel adds to the path of an unlinked file.
const DELETED: &[u8] = b" (deleted)";

layout! {
    /// Fields read from `struct dentry_operations`.
    pub(crate) struct DentryOperations: "dentry_operations" {
        /// Makes the name of a file that is in no directory.
        d_dname: Option<Field<Ptr<()>>>,
    }
}

/// What a file is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// The whole path, with ` (deleted)` where the kernel says so.
    pub(crate) path: Vec<u8>,
    /// Its last component, without ` (deleted)`.
    pub(crate) name: Vec<u8>,
}

impl Called {
    /// A path and its last component, and ` (deleted)` behind the path when asked for.
    pub(super) fn of(mut path: Vec<u8>, deleted: bool) -> Self {
        let start = path.iter().rposition(|&byte| byte == b'/');
        let start = start.map_or(0, |slash| slash.wrapping_add(1));
        let name = path.get(start..).unwrap_or_default().to_vec();
        if deleted {
            path.extend_from_slice(DELETED);
        }
        Self { path, name }
    }

    /// A file that the kernel made for a descriptor, by the name that it has in `anon_inodefs`.
    fn anonymous(name: &[u8]) -> Self {
        Self::of([b"anon_inode:", name].concat(), false)
    }
}

/// How to tell what such files are called.
#[derive(Clone, Debug)]
pub(super) struct Makers {
    dentry: Dentry,
    operations: DentryOperations,
    pub(super) inodes: Inodes,
    pub(super) hashed: Hashed,
}

impl Makers {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, dentry: &Dentry) -> Self {
        Self {
            dentry: *dentry,
            operations: DentryOperations::resolve(resolver),
            inodes: Inodes::resolve(resolver),
            hashed: Hashed::resolve(resolver, dentry),
        }
    }

    /// The name of a file that is in no directory, made by its file system's `d_dname`; `None` for
    /// every other file. Which way it is made follows from the type of file system.
    pub(super) fn made(
        &self,
        guest: &Guest,
        climb: &Climb,
        place: Place,
    ) -> Result<Option<Seen<Called>>, Fault> {
        let space = &guest.space;
        let (Some(d_op), Some(d_dname)) = (self.dentry.d_op, self.operations.d_dname) else {
            return Ok(None);
        };
        let operations = d_op.read(space, place.dentry)?;
        if operations.is_null() {
            return self.of_root(guest, climb, place);
        }
        let maker = d_dname.read(space, operations)?;
        if maker.is_null() {
            return self.of_root(guest, climb, place);
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
        // Where a flag tells, the kernel takes it off pipes and sockets, so that they are not called deleted.
        let told = !self.hashed.is_told_by_flag();
        if parent != place.dentry && told && self.hashed.is(guest, place.dentry)? == Some(true) {
            let rule =
                "what stands in a directory has no name that its file system makes (d_dname)";
            let at = Some(d_dname.place(operations));
            return Ok(Some(Err(Absent::implausible(maker.0, rule, at))));
        }
        let file_system = self.system(guest, place.dentry)?;
        let numbered = |kind: &str| {
            let number = self.number(guest, place.dentry);
            number.map(|number| Called::of(format!("{kind}:[{number}]").into_bytes(), false))
        };
        Ok(Some(match file_system.as_deref() {
            Some(b"pipefs") => numbered("pipe"),
            Some(b"sockfs") => numbered("socket"),
            Some(b"anon_inodefs") => climb
                .names
                .of(guest, place.dentry, parent)
                .map(|name| Called::anonymous(&name)),
            Some(b"nsfs") => self.namespace(guest, place.dentry, Inodes::namespace),
            // Until Linux commit e149ed2b805f ("take the targets of /proc/*/ns/* symlinks to separate fs"), v3.19.
            Some(b"proc") => self.namespace(guest, place.dentry, Inodes::namespace_of_proc),
            // Linux commit cb12fd8e0dab ("pidfd: add pidfs"), v6.9.
            Some(b"pidfs") => Ok(Called::anonymous(b"[pidfd]")),
            Some(b"dmabuf") => Err(Absent::implausible(
                operations.0,
                "the file system makes the name in a way of its own",
                Some(place.dentry),
            )),
            // `simple_dname`: shared memory (`/memfd:NAME`, `/dev/zero`, `/SYSV…`), `/[aio]`,
            // `/anon_hugepage`. The kernel always calls these deleted.
            _ => climb
                .names
                .of(guest, place.dentry, parent)
                .map(|name| Called::of([b"/", name.as_slice()].concat(), true)),
        }))
    }

    /// The same of a kernel older than v2.6.38, where few file systems make names: a file without a directory is below
    /// the root of a file system that is mounted nowhere. The root's own name stands before that of an anonymous
    /// inode, and the name of shared memory may have a slash (`dev/zero`).
    fn of_root(
        &self,
        guest: &Guest,
        climb: &Climb,
        place: Place,
    ) -> Result<Option<Seen<Called>>, Fault> {
        if !self.hashed.is_told_by_flag() {
            return Ok(None);
        }
        let space = &guest.space;
        let root = climb.mounts.root(space, place.mnt)?;
        let is_below = climb.parent.read(space, place.dentry)? == root && root != place.dentry;
        if !is_below || climb.mounts.below(space, place.mnt)?.is_some() {
            return Ok(None);
        }
        // As of a root, whose name may be anything.
        let name = || climb.names.of(guest, place.dentry, place.dentry);
        Ok(match self.system(guest, place.dentry)?.as_deref() {
            Some(b"anon_inodefs") => Some(name().map(|name| Called::anonymous(&name))),
            Some(b"tmpfs") if self.hashed.is(guest, place.dentry)? == Some(false) => {
                Some(name().map(|name| Called::of([b"/", name.as_slice()].concat(), true)))
            }
            _ => None,
        })
    }

    /// The name of the type of the file system that the `dentry` belongs to.
    pub(super) fn system(&self, guest: &Guest, dentry: VirtAddr) -> Result<Option<Vec<u8>>, Fault> {
        let Some(d_sb) = self.dentry.d_sb else {
            return Ok(None);
        };
        let super_block = d_sb.read(&guest.space, dentry)?;
        self.inodes.system_name(guest, super_block)
    }

    fn number(&self, guest: &Guest, dentry: VirtAddr) -> Seen<u64> {
        let Some(d_inode) = self.dentry.d_inode else {
            return Err(Absent::not_in_this_kernel());
        };
        let inode = d_inode.read(&guest.space, dentry);
        inode
            .map_err(Absent::unreadable)
            .and_then(|inode| self.inodes.number(guest, inode))
    }

    /// `TYPE:[NUMBER]` of a namespace's file, whose type `kind` reads.
    fn namespace(
        &self,
        guest: &Guest,
        dentry: VirtAddr,
        kind: impl Fn(&Inodes, &Guest, VirtAddr) -> Seen<Vec<u8>>,
    ) -> Seen<Called> {
        let Some(d_inode) = self.dentry.d_inode else {
            return Err(Absent::not_in_this_kernel());
        };
        let inode = d_inode.read(&guest.space, dentry);
        let inode = inode.map_err(Absent::unreadable)?;
        let kind = kind(&self.inodes, guest, inode)?;
        let number = self.inodes.number(guest, inode)?;
        let name = [&kind, &b":["[..], number.to_string().as_bytes(), b"]"].concat();
        Ok(Called::of(name, false))
    }

    /// The name of a namespace's file at `dentry`, of the file system `nsfs`.
    pub(super) fn of_nsfs(&self, guest: &Guest, dentry: VirtAddr) -> Seen<Called> {
        self.namespace(guest, dentry, Inodes::namespace)
    }
}
