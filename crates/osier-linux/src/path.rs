//! Paths: a `struct path` to the text that `/proc` shows.
//!
//! The kernel's `d_path` climbs from a `dentry` to the root of its mount, goes on at the mount's
//! mountpoint, and ends at the root directory of the *reader* of `/proc`, or at the root of the
//! mount tree. Rows are what a reader in the initial namespaces, at the root directory of process
//! 1, sees: a process in a chroot shows the whole path from outside its root; a process in a mount
//! namespace of its own shows the path in that namespace.
//!
//! A path is held against what the kernel says of it a second time: a name against its length, its
//! place and its hash ([`names`]), a `dentry` against the file system of the mount that it was
//! reached by, a file's `dentry` against the file's inode.

pub(crate) mod below;
mod climb;
pub(crate) mod hashed;
pub(crate) mod made;
pub(crate) mod names;

use std::cell::{OnceCell, RefCell};

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen, WalkEnds};
use osier_profile::{Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;
use crate::inode::Inodes;
use crate::layouts::files::{Dentry, File, FsStruct};
use crate::layouts::{PidNamespace, Tasks};
use crate::mount::Mounts;
use crate::symbols;
pub(crate) use below::Below;
use climb::Climb;
pub(crate) use climb::Place;
pub(crate) use made::Called;
use made::Makers;
use names::Names;

/// `FMODE_BACKING`. Linux commit 62d53c4a1dfe ("fs: use `backing_file` container for internal
/// files with \"fake\" `f_path`"), v6.5.
const FMODE_BACKING: u64 = 1 << 25;
/// The same since v6.14, where bit 25 became `FMODE_NONOTIFY`. Seen in a 7.2 kernel: files of an
/// overlay's layers have bit 24, memfds have bit 25. Before it moved nothing had bit 24. It moved in stable
/// releases, too: Debian's 6.12.94 has bit 25, its 6.12.105 bit 24.
const FMODE_BACKING_MOVED: u64 = 1 << 24;
/// `DCACHE_OP_REAL`: a `dentry` of overlayfs, from v4.2 on.
const DCACHE_OP_REAL: u64 = 1 << 26;

layout! {
    /// Fields read from `struct backing_file`, which holds the file of a lower layer of overlayfs.
    ///
    /// Linux commit def3ae83da02 ("fs: store real path instead of fake path in backing file
    /// `f_path`"), v6.7: the path that the user opened moved here. Before, it stood in `f_path`.
    pub(crate) struct BackingFile: "backing_file" through [path] {
        /// Of the path that the user opened.
        dentry: Option<Field<Ptr<()>>> = ["user_path.dentry"],
        /// Of the path that the user opened.
        mnt: Option<Field<Ptr<()>>> = ["user_path.mnt"],
    }
}

/// Reads paths. Remembers those it has read: many processes map the same files.
#[derive(Clone)]
pub(crate) struct Paths {
    climb: Option<Climb>,
    dentry: Dentry,
    makers: Makers,
    file: File,
    backing: BackingFile,
    fs: FsStruct,
    task_fs: Option<Field<Ptr<()>>>,
    pid_namespace: PidNamespace,
    reader_root: OnceCell<Result<Option<Place>, Fault>>,
    known: RefCell<HashMap<Place, Seen<Called>>>,
}

impl Paths {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let dentry = Dentry::resolve(resolver);
        let mounts = Mounts::resolve(resolver);
        let names = Names::resolve(resolver, &dentry);
        let climb = || {
            Some(Climb {
                parent: dentry.d_parent?,
                file_system: dentry.d_sb,
                mounts: mounts?,
                names: names?,
            })
        };
        Self {
            climb: climb(),
            dentry,
            makers: Makers::resolve(resolver, &dentry),
            file: File::resolve(resolver),
            backing: BackingFile::resolve(resolver),
            fs: FsStruct::resolve(resolver),
            task_fs: Tasks::resolve(resolver).fs,
            pid_namespace: PidNamespace::resolve(resolver),
            reader_root: OnceCell::new(),
            known: RefCell::new(HashMap::new()),
        }
    }

    /// Whether files of a lower layer keep the path that the user opened beside their own (v6.7).
    pub(crate) fn has_user_path(&self) -> bool {
        self.backing.dentry.is_some()
    }
}

impl Paths {
    /// What the climb needs.
    fn climb(&self) -> Seen<&Climb> {
        self.climb.as_ref().ok_or_else(Absent::not_in_this_kernel)
    }

    /// The path of the executable `exe_file`, as `/proc/PID/exe` shows it.
    pub(crate) fn exe(&self, guest: &Guest, exe_file: Result<VirtAddr, Fault>) -> Seen<Vec<u8>> {
        match exe_file {
            Ok(file) if file.is_null() => {
                Err(Absent::not_applicable("the process has no executable file"))
            }
            Ok(file) => self
                .own_place(guest, file)
                .and_then(|place| self.called(guest, place))
                .map(|called| called.path),
            Err(fault) => Err(Absent::unreadable(fault)),
        }
    }

    /// The path of the open `struct file` at `file`, as the link in `/proc/PID/fd` shows it.
    pub(crate) fn opened(&self, guest: &Guest, file: VirtAddr) -> Seen<Vec<u8>> {
        self.own_place(guest, file)
            .and_then(|place| self.called(guest, place))
            .map(|called| called.path)
    }

    /// The path of a `struct path`.
    pub(crate) fn at(&self, guest: &Guest, place: Place) -> Seen<Vec<u8>> {
        self.called(guest, place).map(|called| called.path)
    }

    /// Where a task names its root and working directory.
    pub(crate) fn task_fs(&self) -> Option<Field<Ptr<()>>> {
        self.task_fs
    }

    /// How inodes and their file systems are read.
    pub(crate) fn inodes(&self) -> &Inodes {
        &self.makers.inodes
    }

    /// The inode of the `struct file` at `file`.
    pub(crate) fn inode(&self, guest: &Guest, file: VirtAddr) -> Seen<VirtAddr> {
        let space = &guest.space;
        let read = || match (self.file.f_inode, self.file.dentry, self.dentry.d_inode) {
            (Some(f_inode), ..) => Some(f_inode.read(space, file)),
            (None, Some(dentry), Some(d_inode)) => Some(
                dentry
                    .read(space, file)
                    .and_then(|dentry| d_inode.read(space, dentry)),
            ),
            _ => None,
        };
        let inode = read().ok_or_else(Absent::not_in_this_kernel)?;
        let inode = inode.map_err(Absent::unreadable)?;
        if guest.can_be_object(inode) {
            return Ok(inode);
        }
        let rule = "a file's inode is an aligned address of the kernel (f_inode)";
        let at = self.file.f_inode.map(|field| field.place(file));
        Err(Absent::implausible(inode.0, rule, at))
    }

    /// Whether the inode is of another file system than the file's `dentry`. One that stands above others names a
    /// file in its own way and opens that of the other below.
    pub(crate) fn is_of_another_system(
        &self,
        guest: &Guest,
        file: VirtAddr,
        inode: VirtAddr,
    ) -> bool {
        let space = &guest.space;
        let named = || {
            let dentry = self.file.dentry?.read(space, file).ok()?;
            self.dentry.d_sb?.read(space, dentry).ok()
        };
        let (Some(named), Ok(opened)) = (named(), self.makers.inodes.super_block(guest, inode))
        else {
            return false;
        };
        if named == opened {
            return false;
        }
        let stacked =
            |name: &Vec<u8>| [&b"overlay"[..], b"overlayfs", b"aufs"].contains(&name.as_slice());
        let system = self.makers.inodes.system_name(guest, named);
        !matches!(system, Ok(Some(name)) if stacked(&name))
    }

    /// Whether the `dentry` of the file is in no directory and no mount's root: the kernel made it for
    /// the file alone.
    pub(crate) fn is_nameless(&self, guest: &Guest, file: VirtAddr) -> Seen<bool> {
        let climb = self.climb()?;
        let place = place_at(guest, file, self.file.mnt, self.file.dentry)?;
        let parent = climb.parent.read(&guest.space, place.dentry)?;
        let root = climb.mounts.root(&guest.space, place.mnt)?;
        Ok(parent == place.dentry && root != place.dentry)
    }

    /// The kind of file that the marks of the file's `dentry` say (`DCACHE_ENTRY_TYPE`, three bits since
    /// v3.13): 2 and 3 are directories, 4 regular files, 5 devices, pipes and sockets, 6 links. `None` when it
    /// cannot be told. The bits have moved once; a root directory shows where they are.
    pub(crate) fn entry_type(&self, guest: &Guest, file: VirtAddr) -> Option<u64> {
        let field = self.dentry.d_flags?;
        let flags = |dentry| field.read(&guest.space, dentry).ok();
        let root = self.reader_root(guest).ok()??.dentry;
        let root = flags(root)?;
        let kind = |flags: u64, shift: u32| flags.wrapping_shr(shift) & 7;
        let shift = [20, 19].into_iter().find(|&shift| kind(root, shift) == 2)?;
        let dentry = self.file.dentry?.read(&guest.space, file).ok()?;
        Some(kind(flags(dentry)?, shift))
    }

    /// What the `struct file` at `file` is called to the process that mapped it.
    pub(crate) fn of_file(&self, guest: &Guest, file: VirtAddr) -> Seen<Called> {
        self.user_place(guest, file)
            .and_then(|place| self.called(guest, place))
    }

    /// The path of `file` inside its own file system, mounts and ` (deleted)` left out: what PANDA
    /// calls the file of a mapping.
    pub(crate) fn inside_file_system(&self, guest: &Guest, file: VirtAddr) -> Seen<Vec<u8>> {
        let climb = self.climb()?;
        self.own_place(guest, file)
            .and_then(|place| climb.inside(guest, place))
    }

    /// The path of the `dentry` of `place` inside its own file system, as the fourth field of
    /// `/proc/PID/mountinfo` shows the root of a mount: with `//deleted` behind what was unlinked, and a
    /// namespace's file by its name.
    pub(crate) fn of_mount(&self, guest: &Guest, place: Place) -> Seen<Vec<u8>> {
        let climb = self.climb()?;
        if self.makers.system(guest, place.dentry)?.as_deref() == Some(b"nsfs") {
            let namespace = self.makers.of_nsfs(guest, place.dentry);
            return namespace.map(|called| called.path);
        }
        let mut path = climb.inside(guest, place)?;
        if path.is_empty() {
            path.push(b'/');
        }
        if self.unlinked(guest, climb, place.dentry)? {
            path.extend_from_slice(b"//deleted");
        }
        Ok(path)
    }

    /// The path of `place` to a process whose root directory is `root`; `None` where that does not lead
    /// to it: the kernel's `__d_path`.
    pub(crate) fn seen_from(
        &self,
        guest: &Guest,
        place: Place,
        root: Place,
    ) -> Seen<Option<Vec<u8>>> {
        let climb = self.climb()?;
        climb
            .to_root(guest, place, Some(root))
            .map(|climbed| climbed.root.then_some(climbed.path))
    }

    /// The root of the tree that the `vfsmount` at `mnt` mounts.
    pub(crate) fn mounted_root(&self, guest: &Guest, mnt: VirtAddr) -> Seen<Place> {
        let climb = self.climb()?;
        let dentry = climb.mounts.root(&guest.space, mnt)?;
        Ok(Place { mnt, dentry })
    }

    /// The `super_block` that the `vfsmount` at `mnt` mounts; `None` when the profile does not say.
    pub(crate) fn mounted_system(&self, guest: &Guest, mnt: VirtAddr) -> Seen<Option<VirtAddr>> {
        let climb = self.climb()?;
        Ok(climb.mounts.file_system(&guest.space, mnt)?)
    }

    /// What the `dentry` at `folder` has under `name`, of what the kernel remembers. What is mounted over either is not
    /// looked at.
    pub(crate) fn below(
        &self,
        guest: &Guest,
        folder: VirtAddr,
        name: &[u8],
        ends: &mut WalkEnds,
    ) -> Seen<Below> {
        let names = &self.climb()?.names;
        below::below(&self.dentry, guest, names, folder, name, ends)
    }

    /// The root directory in the `fs_struct` at `fs`.
    pub(crate) fn root_of(&self, guest: &Guest, fs: VirtAddr) -> Seen<Place> {
        let place = place_at(guest, fs, self.fs.root_mnt, self.fs.root)?;
        for (at, field) in [(place.mnt, self.fs.root_mnt), (place.dentry, self.fs.root)] {
            if !guest.can_be_object(at) {
                let rule = "a root directory is a dentry of the kernel in a mount (root)";
                let place = field.map(|field| field.place(fs));
                return Err(Absent::implausible(at.0, rule, place));
            }
        }
        self.lies_in_its_mount(guest, place)?;
        Ok(place)
    }

    /// How many tasks the `fs_struct` at `fs` says that use it: one at least.
    pub(crate) fn users(&self, guest: &Guest, fs: VirtAddr) -> Seen<u64> {
        let field = self.fs.users.ok_or_else(Absent::not_in_this_kernel)?;
        let users = field.read(&guest.space, fs)?;
        if let Ok(users @ 1..) = u64::try_from(users) {
            return Ok(users);
        }
        let rule = "places that are in use are counted (users)";
        let at = Some(field.place(fs));
        Err(Absent::implausible(users.cast_unsigned(), rule, at))
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

    /// `file->f_path`. Its `dentry` and the file name one inode, but for overlayfs before v4.19 and,
    /// in files of its layers, before v6.7.
    fn own_place(&self, guest: &Guest, file: VirtAddr) -> Seen<Place> {
        place_at(guest, file, self.file.mnt, self.file.dentry).and_then(|place| {
            let (Some(f_inode), Some(d_inode)) = (self.file.f_inode, self.dentry.d_inode) else {
                return Ok(place);
            };
            let space = &guest.space;
            let opened = f_inode.read(space, file);
            let (Ok(opened), Ok(named)) = (opened, d_inode.read(space, place.dentry)) else {
                return Ok(place);
            };
            if opened == named || self.is_of_layers(guest, file, place.dentry) {
                return Ok(place);
            }
            let rule = "a file and its dentry have one inode";
            Err(Absent::implausible(
                named.0,
                rule,
                Some(d_inode.place(place.dentry)),
            ))
        })
    }

    /// Whether the file may be one of overlayfs or of its layers.
    fn is_of_layers(&self, guest: &Guest, file: VirtAddr, dentry: VirtAddr) -> bool {
        if let Ok(Some(name)) = self.makers.system(guest, dentry) {
            return name == b"overlay";
        }
        let marks = |field: Option<Field<UInt>>, at, marks| {
            let read = field.map(|field| field.read(&guest.space, at));
            read.is_none_or(|read| read.is_ok_and(|found| found & marks != 0))
        };
        marks(self.dentry.d_flags, dentry, DCACHE_OP_REAL)
            || (self.backing.dentry.is_some()
                && marks(self.file.f_mode, file, FMODE_BACKING | FMODE_BACKING_MOVED))
    }

    /// The path that the user opened: overlayfs maps a file of a lower layer in its stead.
    fn user_place(&self, guest: &Guest, file: VirtAddr) -> Seen<Place> {
        // `f_ref` came a release before it moved; where it moved in stable releases, `backing_file` has
        // a member behind the path (`security`).
        let has_more = self.backing.dentry.is_some_and(|dentry| {
            let pointer = i64::from(guest.pointer_bytes());
            let end = u64::try_from(dentry.offset.saturating_add(pointer));
            end.is_ok_and(|end| self.backing.size > end)
        });
        let backing = if self.file.f_ref.is_some() || has_more {
            FMODE_BACKING_MOVED
        } else {
            FMODE_BACKING | FMODE_BACKING_MOVED
        };
        if let (Some(f_mode), Some(_)) = (self.file.f_mode, self.backing.dentry) {
            match f_mode.read(&guest.space, file) {
                Ok(mode) if mode & backing != 0 => {
                    return place_at(guest, file, self.backing.mnt, self.backing.dentry);
                }
                Ok(_) => {}
                Err(fault) => return Err(Absent::unreadable(fault)),
            }
        }
        self.own_place(guest, file)
    }

    /// The root directory of process 1: what the reader of `/proc` has. `None` when the profile does
    /// not lead there; paths then end at the root of the mount tree, which is the same place on all
    /// but odd systems.
    fn reader_root(&self, guest: &Guest) -> Result<Option<Place>, Fault> {
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
        let (Some(task), Some(fs)) = (task, self.task_fs) else {
            return Ok(None);
        };
        let fs = fs.read(space, task)?;
        match (self.fs.root_mnt, self.fs.root) {
            (Some(mnt), Some(dentry)) if !fs.is_null() => Ok(Some(Place {
                mnt: mnt.read(space, fs)?,
                dentry: dentry.read(space, fs)?,
            })),
            _ => Ok(None),
        }
    }

    /// The kernel's `d_path` of `place`, remembered.
    fn called(&self, guest: &Guest, place: Place) -> Seen<Called> {
        if let Some(known) = self.known.borrow().get(&place) {
            return known.clone();
        }
        let fresh = self.d_path(guest, place);
        let mut known = self.known.borrow_mut();
        known.insert(place, fresh.clone());
        fresh
    }

    fn d_path(&self, guest: &Guest, place: Place) -> Seen<Called> {
        let climb = self.climb()?;
        let parent = climb.parent.read(&guest.space, place.dentry);
        let parent = parent.map_err(Absent::unreadable)?;
        if !guest.can_be_object(parent) {
            let rule = "a dentry's parent is an aligned address of the kernel (d_parent)";
            let at = Some(climb.parent.place(place.dentry));
            return Err(Absent::implausible(parent.0, rule, at));
        }
        match self.makers.made(guest, climb, place) {
            Ok(Some(made)) => return made,
            Ok(None) => {}
            Err(fault) => return Err(Absent::unreadable(fault)),
        }
        let deleted = match self.unlinked(guest, climb, place.dentry) {
            Ok(deleted) => deleted,
            Err(fault) => return Err(Absent::unreadable(fault)),
        };
        let root = self.reader_root(guest).map_err(Absent::unreadable)?;
        climb
            .to_root(guest, place, root)
            .map(|climbed| Called::of(climbed.path, deleted))
    }

    /// Whether the `dentry` was taken out of its directory: the kernel's `d_unlinked`.
    fn unlinked(&self, guest: &Guest, climb: &Climb, dentry: VirtAddr) -> Result<bool, Fault> {
        let is_root = climb.parent.read(&guest.space, dentry)? == dentry;
        Ok(!is_root && self.makers.hashed.is(guest, dentry)? == Some(false))
    }
}

fn place_at(
    guest: &Guest,
    base: VirtAddr,
    mnt: Option<Field<Ptr<()>>>,
    dentry: Option<Field<Ptr<()>>>,
) -> Seen<Place> {
    let (Some(mnt), Some(dentry)) = (mnt, dentry) else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &guest.space;
    let read = || {
        Ok(Place {
            mnt: mnt.read(space, base)?,
            dentry: dentry.read(space, base)?,
        })
    };
    let outcome: Result<Place, Fault> = read();
    outcome.map_err(Absent::unreadable)
}

#[cfg(test)]
mod tests;
