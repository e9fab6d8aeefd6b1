//! The climb from a `dentry` to a root: the kernel's `prepend_path` and `dentry_path`.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen};
use osier_profile::{Field, Ptr};

use super::names::Names;
use crate::guest::Guest;
use crate::mount::Mounts;

/// Most steps from a `dentry` to the root that are believed.
const STEP_LIMIT: usize = 4096;
/// Longest path that is believed.
const PATH_LIMIT: usize = 1 << 16;

/// A place in the tree of files: a `struct path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The `vfsmount`.
    pub(crate) mnt: VirtAddr,
    /// The `dentry`.
    pub(crate) dentry: VirtAddr,
}

/// How far a climb led.
pub(super) struct Climbed {
    pub(super) path: Vec<u8>,
    /// Whether it ended at the root that was meant.
    pub(super) root: bool,
}

/// What the climb needs; there when the profile has all of it.
#[derive(Clone)]
pub(super) struct Climb {
    /// `dentry.d_parent`.
    pub(super) parent: Field<Ptr<()>>,
    /// `dentry.d_sb`.
    pub(super) file_system: Option<Field<Ptr<()>>>,
    pub(super) mounts: Mounts,
    pub(super) names: Names,
}

impl Climb {
    /// Whether the `dentry` is of the file system that `mnt` mounts; what cannot be told is believed.
    pub(super) fn is_mounted(&self, guest: &Guest, place: Place) -> Result<bool, Fault> {
        let Some(field) = self.file_system else {
            return Ok(true);
        };
        let mounted = self.mounts.file_system(&guest.space, place.mnt)?;
        let own = field.read(&guest.space, place.dentry)?;
        Ok(mounted.is_none_or(|mounted| mounted == own))
    }

    /// The kernel's `prepend_path`: names from `place` up to `root` or the mount tree's; says whether the first was
    /// reached.
    pub(super) fn to_root(
        &self,
        guest: &Guest,
        place: Place,
        root: Option<Place>,
    ) -> Seen<Climbed> {
        let space = &guest.space;
        let reached = |path, root| Ok(Climbed { path, root });
        let mut text = Backwards::default();
        let mut at = place;
        for _ in 0..STEP_LIMIT {
            if Some(at) == root {
                return reached(text.finish_absolute(), true);
            }
            let step = || {
                let mount_root = self.mounts.root(space, at.mnt)?;
                let mounted = self.is_mounted(guest, at)?;
                Ok((mount_root, self.parent.read(space, at.dentry)?, mounted))
            };
            let outcome: Result<_, Fault> = step();
            let (mount_root, parent, mounted) = match outcome {
                Ok(step) => step,
                Err(fault) => return Err(Absent::unreadable(fault)),
            };
            if !mounted {
                let rule = "a dentry is of the file system that its mount mounts";
                return Err(Absent::implausible(at.dentry.0, rule, Some(at.mnt)));
            }
            if at.dentry == mount_root {
                match self.mounts.below(space, at.mnt) {
                    Ok(Some((mnt, dentry))) => at = Place { mnt, dentry },
                    Ok(None) => return reached(text.finish_absolute(), false),
                    Err(fault) => return Err(Absent::unreadable(fault)),
                }
            } else if parent == at.dentry {
                // Escaped from its mount: the kernel shows nothing but the root.
                return self.names.of(guest, at.dentry, parent).and_then(|name| {
                    let mount = Place {
                        mnt: at.mnt,
                        dentry: mount_root,
                    };
                    let mounted = if guest.can_be_object(mount_root) {
                        (self.is_mounted(guest, mount)).map_err(Absent::unreadable)?
                    } else {
                        false
                    };
                    if name == b"/" && mounted {
                        return reached(name, false);
                    }
                    let rule = "a path reaches the root of its mount, or a root called /";
                    Err(Absent::implausible(mount_root.0, rule, Some(at.dentry)))
                });
            } else {
                match self.names.of(guest, at.dentry, parent) {
                    Ok(name) => text.prepend(&name),
                    Err(absent) => return Err(absent),
                }
                if text.0.len() > PATH_LIMIT {
                    break;
                }
                at.dentry = parent;
            }
        }
        endless(place)
    }

    /// Names from the `dentry` of `place` up to the root of its file system.
    pub(super) fn inside(&self, guest: &Guest, place: Place) -> Seen<Vec<u8>> {
        let mut text = Backwards::default();
        let mut at = place.dentry;
        for _ in 0..STEP_LIMIT {
            let parent = self.parent.read(&guest.space, at)?;
            let name = self.names.of(guest, at, parent)?;
            if parent != at {
                text.prepend(&name);
                at = parent;
                continue;
            }
            // A file in no directory is its own root, and has a name.
            let mut path = if name == b"/" { Vec::new() } else { name };
            path.append(&mut text.finish());
            return Ok(path);
        }
        endless(place)
    }
}

fn endless<T>(place: Place) -> Seen<T> {
    let rule = "a path reaches a root in 4096 steps";
    Err(Absent::implausible(
        place.dentry.0,
        rule,
        Some(place.dentry),
    ))
}

/// A path that grows from its end. Bytes are kept back to front.
#[derive(Default)]
struct Backwards(Vec<u8>);

impl Backwards {
    fn prepend(&mut self, name: &[u8]) {
        self.0.extend(name.iter().rev());
        self.0.push(b'/');
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.reverse();
        self.0
    }

    /// As the kernel shows it: the root is `/`.
    fn finish_absolute(self) -> Vec<u8> {
        let path = self.finish();
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}
