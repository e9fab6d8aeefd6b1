//! Root directories: those of processes, of mounts, and of whoever reads `/proc`.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen};

use super::{Paths, Place, place_at};
use crate::guest::Guest;
use crate::symbols;

impl Paths {
    /// The root of the tree that the `vfsmount` at `mnt` mounts.
    pub(crate) fn mounted_root(&self, guest: &Guest, mnt: VirtAddr) -> Seen<Place> {
        let climb = self.climb.as_ref().ok_or_else(Absent::not_in_this_kernel)?;
        let dentry = climb.mounts.root(&guest.space, mnt)?;
        Ok(Place { mnt, dentry })
    }

    /// The root directory in the `fs_struct` at `fs`.
    pub(crate) fn root_of(&self, guest: &Guest, fs: VirtAddr) -> Seen<Place> {
        let place = place_at(guest, fs, self.fs.mnt, self.fs.dentry)?;
        for (at, field) in [(place.mnt, self.fs.mnt), (place.dentry, self.fs.dentry)] {
            if !guest.can_be_object(at) {
                let rule = "a root directory is a dentry of the kernel in a mount (root)";
                let place = field.map(|field| field.place(fs));
                return Err(Absent::implausible(at.0, rule, place));
            }
        }
        self.lies_in_its_mount(guest, place)?;
        Ok(place)
    }

    /// How many tasks the `fs_struct` at `fs` says that use it.
    pub(crate) fn users(&self, guest: &Guest, fs: VirtAddr) -> Option<u64> {
        let users = self.fs.users?.read(&guest.space, fs).ok()?;
        u64::try_from(users).ok()
    }

    /// That the `dentry` of a place is of the file system that its mount mounts.
    pub(crate) fn lies_in_its_mount(&self, guest: &Guest, place: Place) -> Seen<()> {
        let (Some(d_sb), Some(climb)) = (self.dentry.d_sb, self.climb.as_ref()) else {
            return Ok(());
        };
        if climb.is_mounted(guest, place)? {
            return Ok(());
        }
        let named = d_sb.read(&guest.space, place.dentry)?;
        let rule = "a place is of the file system that its mount mounts (d_sb, mnt_sb)";
        let at = Some(d_sb.place(place.dentry));
        Err(Absent::implausible(named.0, rule, at))
    }

    /// The root directory of process 1: what the reader of `/proc` has. `None` when the profile does
    /// not lead there; paths then end at the root of the mount tree, which is the same place on all
    /// but odd systems.
    pub(super) fn reader_root(&self, guest: &Guest) -> Result<Option<Place>, Fault> {
        *self.reader_root.get_or_init(|| self.find_root(guest))
    }

    fn find_root(&self, guest: &Guest) -> Result<Option<Place>, Fault> {
        let space = &guest.space;
        let reaper = match (
            guest.symbol(symbols::init_pid_ns),
            self.pid_namespace.child_reaper,
        ) {
            (Some(namespace), Some(child_reaper)) => Some(child_reaper.read(space, namespace)?),
            _ => None,
        };
        let task = reaper.filter(|task| !task.is_null());
        let task = task.or_else(|| guest.symbol(symbols::init_task));
        let (Some(task), Some(fs)) = (task, self.task.fs) else {
            return Ok(None);
        };
        let fs = fs.read(space, task)?;
        match (self.fs.mnt, self.fs.dentry) {
            (Some(mnt), Some(dentry)) if !fs.is_null() => Ok(Some(Place {
                mnt: mnt.read(space, fs)?,
                dentry: dentry.read(space, fs)?,
            })),
            _ => Ok(None),
        }
    }
}
