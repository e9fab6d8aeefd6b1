//! Dentries, mounts and open files.

use std::collections::BTreeMap;

use osier_memory::VirtAddr;

use super::writer::Writer;

/// A place in the mount tree.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) mount: VirtAddr,
    pub(super) dentry: VirtAddr,
}

/// The files of a toy kernel: a root, `/tmp` of another file system, and `/mnt/bound`, a bind
/// mount of `/tmp/shared`.
pub(super) struct Files {
    pub(super) root: Place,
    known: BTreeMap<Vec<u8>, Place>,
    open: BTreeMap<(Vec<u8>, bool), VirtAddr>,
}

impl Files {
    pub(super) fn new(w: &mut Writer) -> Self {
        let root = dentry(w, b"/", None, true);
        let mount = mounted(w, root, None);
        let place = Place {
            mount,
            dentry: root,
        };
        let known = BTreeMap::from([(b"/".to_vec(), place)]);
        let mut files = Self {
            root: place,
            known,
            open: BTreeMap::new(),
        };
        let under = files.place(w, b"/tmp");
        let tmpfs = dentry(w, b"/", None, true);
        let mount = mounted(w, tmpfs, Some(under));
        files.known.insert(
            b"/tmp".to_vec(),
            Place {
                mount,
                dentry: tmpfs,
            },
        );
        let shared = files.place(w, b"/tmp/shared");
        let under = files.place(w, b"/mnt/bound");
        let mount = mounted(w, shared.dentry, Some(under));
        files.known.insert(
            b"/mnt/bound".to_vec(),
            Place {
                mount,
                dentry: shared.dentry,
            },
        );
        files
    }

    /// The place that `path` names, made when it is new.
    fn place(&mut self, w: &mut Writer, path: &[u8]) -> Place {
        if let Some(place) = self.known.get(path) {
            return *place;
        }
        let slash = path
            .iter()
            .rposition(|b| *b == b'/')
            .expect("an absolute path");
        let (parent, name) = (&path[..slash.max(1)], &path[slash + 1..]);
        let parent = self.place(w, parent);
        let place = Place {
            mount: parent.mount,
            dentry: dentry(w, name, Some(parent.dentry), true),
        };
        self.known.insert(path.to_vec(), place);
        place
    }

    /// An open file; `deleted` when its last name is gone.
    pub(super) fn open(&mut self, w: &mut Writer, path: &[u8], deleted: bool) -> VirtAddr {
        if let Some(file) = self.open.get(&(path.to_vec(), deleted)) {
            return *file;
        }
        let place = self.place(w, path);
        if deleted {
            unhash(w, place.dentry);
        }
        let file = w.object("file");
        let mnt = w.at(place.mount, "mount", "mnt");
        w.set(file, "file", "f_path.mnt", mnt.0);
        w.set(file, "file", "f_path.dentry", place.dentry.0);
        self.open.insert((path.to_vec(), deleted), file);
        file
    }
}

fn dentry(w: &mut Writer, name: &[u8], parent: Option<VirtAddr>, hashed: bool) -> VirtAddr {
    let at = w.object("dentry");
    let text = if name.len() < 32 {
        let inline = w.at(at, "dentry", "d_iname");
        w.bytes(inline, name);
        inline
    } else {
        w.text_of(name)
    };
    w.set(at, "dentry", "d_parent", parent.unwrap_or(at).0);
    w.set(at, "dentry", "d_name.name", text.0);
    w.set(at, "dentry", "d_name.len", name.len() as u64);
    if let Some(parent) = parent {
        let hash = full_name_hash(w.word(), parent.0, name);
        w.set(at, "dentry", "d_name.hash", hash);
    }
    if hashed && parent.is_some() {
        let bucket = w.room("dentry_hashtable", 8, 8);
        let node = w.at(at, "dentry", "d_hash");
        w.pointer(bucket, node);
        w.set(at, "dentry", "d_hash.pprev", bucket.0);
    }
    at
}

/// The hash of a name in the directory at `salt`, of words with zeros behind the last.
fn full_name_hash(word: usize, salt: u64, name: &[u8]) -> u64 {
    let (bits, mask) = if word == 8 {
        (64, u128::from(u64::MAX))
    } else {
        (32, u128::from(u32::MAX))
    };
    let rotated = |value: u128, by: u32| (value << by | value >> (bits - by)) & mask;
    let (mut x, mut y) = (0_u128, u128::from(salt) & mask);
    for piece in name.chunks(word) {
        let mut bytes = [0; 16];
        bytes[..piece.len()].copy_from_slice(piece);
        x ^= u128::from_le_bytes(bytes);
        if piece.len() == word {
            y ^= x;
            x = rotated(x, if word == 8 { 12 } else { 7 });
            x = (x + y) & mask;
            y = (rotated(y, if word == 8 { 45 } else { 20 }) * 9) & mask;
        }
    }
    let (ratio, unused) = if word == 8 {
        (0x61c8_8646_80b5_83eb, 32)
    } else {
        (0x61c8_8647, 0)
    };
    let times = |value: u128| (value * ratio) & mask;
    (times(y ^ times(x)) >> unused) as u64
}

fn unhash(w: &mut Writer, dentry: VirtAddr) {
    w.set(dentry, "dentry", "d_hash.pprev", 0);
}

fn mounted(w: &mut Writer, root: VirtAddr, on: Option<Place>) -> VirtAddr {
    let mount = w.object("mount");
    w.set(mount, "mount", "mnt.mnt_root", root.0);
    let (parent, point) = match on {
        Some(place) => (place.mount, place.dentry),
        None => (mount, root),
    };
    w.set(mount, "mount", "mnt_parent", parent.0);
    w.set(mount, "mount", "mnt_mountpoint", point.0);
    mount
}
