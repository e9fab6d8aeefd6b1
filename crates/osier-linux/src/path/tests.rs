#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::{Seen, SeenExt as _, Why};
use osier_testkit::Knockout;

use super::Paths;
use super::hashed::Hashed;
use crate::toy::{Is, Toy};

// Offsets of the toy's structures.
const D_FLAGS: u64 = 0;
const D_HASH: u64 = 8;
const D_PARENT: u64 = 24;
const D_NAME: u64 = 32;
const D_INODE: u64 = 48;
const D_OP: u64 = 56;
const D_SB: u64 = 64;
/// Where the `vfsmount` lies in a `struct mount`.
const MNT: u64 = 32;

struct Files {
    toy: Toy,
    /// Any non-null pointer, for the hash links of a `dentry` that is in its directory.
    hashed: u64,
}

impl Files {
    fn new() -> Self {
        Self::with_backing_file(80)
    }

    /// With a `backing_file` of this size, whose path ends at 80.
    fn with_backing_file(size: u64) -> Self {
        let mut toy = Toy::new();
        toy.structure(
            "qstr",
            16,
            &[
                ("hash", 0, Is::Int(4)),
                ("len", 4, Is::Int(4)),
                ("name", 8, Is::Pointer),
            ],
        );
        toy.structure(
            "dentry",
            80,
            &[
                ("d_flags", 0, Is::Int(4)),
                ("d_hash", 8, Is::Struct("hlist_bl_node", 16)),
                ("d_parent", 24, Is::Pointer),
                ("d_name", 32, Is::Struct("qstr", 16)),
                ("d_inode", 48, Is::Pointer),
                ("d_op", 56, Is::Pointer),
                ("d_sb", 64, Is::Pointer),
            ],
        );
        toy.structure("dentry_operations", 64, &[("d_dname", 48, Is::Pointer)]);
        toy.structure("super_block", 64, &[("s_type", 40, Is::Pointer)]);
        toy.structure("file_system_type", 16, &[("name", 0, Is::Pointer)]);
        toy.structure("inode", 64, &[("i_ino", 56, Is::Int(8))]);
        let members = [
            ("ns", 16, Is::Struct("proc_ns", 16)),
            ("vfs_inode", 32, Is::Struct("inode", 64)),
        ];
        toy.structure("proc_inode", 96, &members);
        toy.structure("proc_ns", 16, &[("ns_ops", 8, Is::Pointer)]);
        toy.structure("vfsmount", 32, &[("mnt_root", 0, Is::Pointer)]);
        toy.structure(
            "mount",
            80,
            &[
                ("mnt_parent", 16, Is::Pointer),
                ("mnt_mountpoint", 24, Is::Pointer),
                ("mnt", MNT.cast_signed(), Is::Struct("vfsmount", 32)),
            ],
        );
        toy.structure(
            "path",
            16,
            &[("mnt", 0, Is::Pointer), ("dentry", 8, Is::Pointer)],
        );
        toy.structure(
            "file",
            64,
            &[
                ("f_mode", 0, Is::Int(4)),
                ("f_path", 16, Is::Struct("path", 16)),
            ],
        );
        toy.structure(
            "backing_file",
            size,
            &[("user_path", 64, Is::Struct("path", 16))],
        );
        toy.structure("fs_struct", 32, &[("root", 16, Is::Struct("path", 16))]);
        toy.structure("task_struct", 16, &[("fs", 8, Is::Pointer)]);
        Self { toy, hashed: 1 }
    }

    /// A `dentry`; its own parent without one.
    fn dentry(&mut self, parent: Option<VirtAddr>, name: &[u8]) -> VirtAddr {
        let text = self.toy.text(name);
        let at = self.toy.room(80, 16);
        self.toy.put(at, D_PARENT, parent.unwrap_or(at).0);
        let len = u32::try_from(name.len()).unwrap();
        self.toy.put_u32(at, D_NAME + 4, len);
        self.toy.put(at, D_NAME + 8, text.0);
        self.toy.put(at, D_HASH + 8, self.hashed);
        at
    }

    /// A `struct mount` of the tree at `root`, standing on `on`; returns its `vfsmount`.
    fn mount(&mut self, root: VirtAddr, on: Option<(VirtAddr, VirtAddr)>) -> VirtAddr {
        let at = self.toy.room(80, 16);
        let mnt = at.plus(MNT);
        let (parent, mountpoint) = on.unwrap_or((mnt, root));
        self.toy.put(at, 16, parent.0 - MNT);
        self.toy.put(at, 24, mountpoint.0);
        self.toy.put(mnt, 0, root.0);
        mnt
    }

    fn file(&mut self, mnt: VirtAddr, dentry: VirtAddr) -> VirtAddr {
        let at = self.toy.room(80, 16);
        self.toy.put(at, 16, mnt.0);
        self.toy.put(at, 24, dentry.0);
        at
    }

    /// Gives a `dentry` a name-making function and a file system.
    fn makes_names(&mut self, dentry: VirtAddr, file_system: &[u8]) {
        let operations = self.toy.room(64, 16);
        self.toy.put(operations, 48, 0xffff_ffff_8100_0000);
        self.toy.put(dentry, D_OP, operations.0);
        let name = self.toy.text(file_system);
        let kind = self.toy.room(16, 16);
        self.toy.put(kind, 0, name.0);
        let super_block = self.toy.room(64, 16);
        self.toy.put(super_block, 40, kind.0);
        self.toy.put(dentry, D_SB, super_block.0);
    }

    /// Gives process 1 a root directory; returns its `fs_struct`, on a page of its own.
    fn reader(&mut self, mnt: VirtAddr, dentry: VirtAddr) -> VirtAddr {
        let fs = self.toy.page();
        self.toy.put(fs, 16, mnt.0);
        self.toy.put(fs, 24, dentry.0);
        let task = self.toy.room(16, 16);
        self.toy.put(task, 8, fs.0);
        self.toy.symbol("init_task", task);
        fs
    }

    fn path(&self, file: VirtAddr) -> Seen<Vec<u8>> {
        let paths = self.toy.resolve(Paths::resolve);
        let called = paths.of_file(&self.toy.guest(), file);
        called.map(|called| called.path)
    }

    fn text(&self, file: VirtAddr) -> String {
        match self.path(file) {
            Ok(path) => String::from_utf8(path).unwrap(),
            Err(absent) => format!("{absent:?}"),
        }
    }

    /// A root file system with `/mnt`, and a second file system mounted there with `dir/file`.
    fn two_mounts(&mut self) -> (VirtAddr, VirtAddr, VirtAddr, VirtAddr) {
        let root = self.dentry(None, b"/");
        let rootfs = self.mount(root, None);
        let point = self.dentry(Some(root), b"mnt");
        let inner_root = self.dentry(None, b"/");
        let inner = self.mount(inner_root, Some((rootfs, point)));
        let dir = self.dentry(Some(inner_root), b"dir");
        let file = self.dentry(Some(dir), b"fi\nle");
        (rootfs, root, inner, file)
    }
}

#[test]
fn a_path_goes_through_its_mounts() {
    let mut files = Files::new();
    let (rootfs, root, inner, dentry) = files.two_mounts();
    let file = files.file(inner, dentry);
    let at_root = files.file(rootfs, root);
    assert_eq!(files.text(file), "/mnt/dir/fi\nle");
    assert_eq!(files.text(at_root), "/");
    let paths = files.toy.resolve(Paths::resolve);
    let guest = files.toy.guest();
    assert_eq!(paths.of_file(&guest, file).get().unwrap().name, b"fi\nle");
    assert_eq!(
        paths.inside_file_system(&guest, file),
        Ok(b"/dir/fi\nle".to_vec())
    );
}

#[test]
fn a_bind_mount_shows_where_it_is_mounted() {
    let mut files = Files::new();
    let (rootfs, root, _, dentry) = files.two_mounts();
    let dir = VirtAddr(
        files
            .toy
            .guest()
            .space
            .read_uint(dentry.plus(D_PARENT), 8)
            .unwrap(),
    );
    let point = files.dentry(Some(root), b"bind");
    let bind = files.mount(dir, Some((rootfs, point)));
    let file = files.file(bind, dentry);
    assert_eq!(files.text(file), "/bind/fi\nle");
    // A file outside the part that is mounted has escaped.
    let outside = files.dentry(None, b"/");
    let escaped = files.dentry(Some(outside), b"gone");
    let escaped = files.file(bind, escaped);
    assert_eq!(files.text(escaped), "/");
}

#[test]
fn a_path_ends_at_the_root_of_the_reader_when_it_passes_there() {
    let mut files = Files::new();
    let (rootfs, root, inner, dentry) = files.two_mounts();
    let inner_root = VirtAddr(files.toy.guest().space.read_uint(inner, 8).unwrap());
    let fs = files.reader(inner, inner_root);
    let inside = files.file(inner, dentry);
    let other = files.dentry(Some(root), b"other");
    let outside = files.file(rootfs, other);
    assert_eq!(files.text(inside), "/dir/fi\nle");
    assert_eq!(files.text(outside), "/other");
    // Without knowing where the reader's root is, no path can be told.
    let paths = files.toy.resolve(Paths::resolve);
    let hidden = Knockout::new(files.toy.memory.clone(), Toy::pa(fs));
    let called = paths.of_file(&files.toy.guest_in(Arc::new(hidden)), inside);
    assert!(called.absence().unwrap().is_loss());
}

#[test]
fn unlinked_files_are_called_deleted() {
    let mut files = Files::new();
    let (rootfs, root, ..) = files.two_mounts();
    let gone = files.dentry(Some(root), b"gone.bin");
    files.toy.put(gone, D_HASH + 8, 0);
    let file = files.file(rootfs, gone);
    assert_eq!(files.text(file), "/gone.bin (deleted)");
    let paths = files.toy.resolve(Paths::resolve);
    let called = paths.of_file(&files.toy.guest(), file);
    assert_eq!(called.get().unwrap().name, b"gone.bin");
    // An old kernel has a flag for it, and a plain list.
    let mut old = Files::new();
    let (rootfs, root, ..) = old.two_mounts();
    let gone = old.dentry(Some(root), b"gone.bin");
    old.toy.put_u32(gone, D_FLAGS, 0x10);
    old.makes_names(gone, b"rootfs");
    old.toy.put(gone, D_OP, 0);
    let file = old.file(rootfs, gone);
    assert_eq!(old.text(file), "/gone.bin");
    let mut paths = old.toy.resolve(Paths::resolve);
    paths.makers.hashed = Hashed::Flag(paths.dentry.d_flags.unwrap());
    let called = paths.of_file(&old.toy.guest(), file);
    assert_eq!(called.get().unwrap().path, b"/gone.bin (deleted)");
}

#[test]
fn files_in_no_directory_have_made_names() {
    let mut files = Files::new();
    let shm_root = files.dentry(None, b"/");
    let shm = files.mount(shm_root, None);
    let mut named = |name: &[u8], file_system: &[u8]| {
        let dentry = files.dentry(None, name);
        files.makes_names(dentry, file_system);
        let inode = files.toy.room(64, 16);
        files.toy.put(inode, 56, 77);
        files.toy.put(dentry, D_INODE, inode.0);
        let file = files.file(shm, dentry);
        files.text(file)
    };
    assert_eq!(named(b"memfd:x", b"tmpfs"), "/memfd:x (deleted)");
    assert_eq!(named(b"dev/zero", b"tmpfs"), "/dev/zero (deleted)");
    assert_eq!(
        named(b"[perf_event]", b"anon_inodefs"),
        "anon_inode:[perf_event]"
    );
    assert_eq!(named(b"", b"sockfs"), "socket:[77]");
    assert_eq!(named(b"", b"pipefs"), "pipe:[77]");
    assert!(named(b"dmabuf", b"dmabuf").contains("Implausible"));
}

/// 3.9 to 3.18: the links of `/proc/PID/ns` lead to files of `proc` that are in no directory of it (3.10.105).
#[test]
fn a_namespace_of_proc_has_a_made_name() {
    let mut files = Files::new();
    let proc_root = files.dentry(None, b"/");
    let proc = files.mount(proc_root, None);
    let dentry = files.dentry(None, b"");
    files.makes_names(dentry, b"proc");
    let inode = files.toy.room(96, 16);
    files.toy.put(inode, 32 + 56, 0xf000_001a);
    files.toy.put(dentry, D_INODE, inode.0 + 32);
    let file = files.file(proc, dentry);
    // Whose operations it has, nothing says.
    assert!(files.text(file).contains("Implausible"));
    let (name, operations) = (files.toy.text(b"net"), files.toy.room(48, 16));
    files.toy.put(operations, 0, name.0);
    files.toy.put(inode, 16 + 8, operations.0);
    assert_eq!(files.text(file), "net:[4026531866]");
    // A file in a directory of proc is called by it.
    let status = files.dentry(Some(proc_root), b"status");
    let status = files.file(proc, status);
    assert_eq!(files.text(status), "/status");
}

/// Before v2.6.38, when a flag told of unhashed names, file systems that are mounted nowhere were called by their roots.
#[test]
fn an_old_kernel_names_what_is_in_no_directory_by_its_root() {
    let mut files = Files::new();
    let mut called = |root: &[u8], name: &[u8], system: &[u8], marks: u32| {
        let root = files.dentry(None, root);
        let mnt = files.mount(root, None);
        let dentry = files.dentry(Some(root), name);
        files.makes_names(dentry, system);
        files.toy.put(dentry, D_OP, 0);
        files.toy.put_u32(dentry, D_FLAGS, marks);
        let file = files.file(mnt, dentry);
        let mut paths = files.toy.resolve(Paths::resolve);
        paths.makers.hashed = Hashed::Flag(paths.dentry.d_flags.unwrap());
        let called = paths.of_file(&files.toy.guest(), file);
        called.map(|called| String::from_utf8(called.path).unwrap())
    };
    let anonymous = called(b"anon_inode:", b"[eventfd]", b"anon_inodefs", 0);
    assert_eq!(anonymous.unwrap(), "anon_inode:[eventfd]");
    let shared = called(b"/", b"dev/zero", b"tmpfs", 0x10);
    assert_eq!(shared.unwrap(), "/dev/zero (deleted)");
    // What stands in a directory has no slash in its name.
    assert!(called(b"/", b"dev/zero", b"tmpfs", 0).is_err());
    assert_eq!(called(b"/", b"init", b"rootfs", 0).unwrap(), "/init");
    // The kernel pretends that a pipe is hashed.
    let root = files.dentry(None, b"pipe:");
    let mnt = files.mount(root, None);
    let pipe = files.dentry(Some(root), b"");
    files.makes_names(pipe, b"pipefs");
    let inode = files.toy.room(64, 16);
    files.toy.put(inode, 56, 77);
    files.toy.put(pipe, D_INODE, inode.0);
    let file = files.file(mnt, pipe);
    let mut paths = files.toy.resolve(Paths::resolve);
    paths.makers.hashed = Hashed::Flag(paths.dentry.d_flags.unwrap());
    let called = paths.of_file(&files.toy.guest(), file).unwrap();
    assert_eq!(called.path, b"pipe:[77]");
}

#[test]
fn a_file_of_a_lower_layer_shows_the_path_that_was_opened() {
    // In a stable release that took the newer marks, `backing_file` has more, and bit 25 is `FMODE_NONOTIFY`.
    let inside = "/mnt/dir/fi\nle";
    for (size, other) in [(80, "/merged"), (88, inside)] {
        let mut files = Files::with_backing_file(size);
        let (rootfs, root, inner, dentry) = files.two_mounts();
        let opened = files.dentry(Some(root), b"merged");
        let file = files.file(inner, dentry);
        files.toy.put(file, 64, rootfs.0);
        files.toy.put(file, 72, opened.0);
        for (marks, path) in [(0, inside), (1 << 24, "/merged"), (1 << 25, other)] {
            files.toy.put_u32(file, 0, marks);
            assert_eq!(files.text(file), path, "{size} {marks:#x}");
        }
    }
}

#[test]
fn loops_and_absurd_names_end() {
    let mut files = Files::new();
    let (rootfs, root, inner, dentry) = files.two_mounts();
    // Two directories that are in each other.
    let one = files.dentry(Some(root), b"one");
    let two = files.dentry(Some(one), b"two");
    files.toy.put(one, D_PARENT, two.0);
    let file = files.file(rootfs, two);
    let looping = files.path(file);
    let why = looping.absence().unwrap().why;
    assert!(matches!(why, Why::Implausible { .. }), "{why:?}");
    // A mount that stands on itself by way of another.
    let point = files.dentry(None, b"/");
    let inner_root = VirtAddr(files.toy.guest().space.read_uint(inner, 8).unwrap());
    let cyclic = files.mount(point, Some((inner, inner_root)));
    files.toy.put(inner.minus(MNT), 16, cyclic.0 - MNT);
    files.toy.put(inner.minus(MNT), 24, point.0);
    let file = files.file(inner, dentry);
    assert!(files.path(file).absence().unwrap().is_loss());
    // A name that is longer than any.
    let long = files.dentry(Some(root), b"long");
    files.toy.put_u32(long, D_NAME + 4, u32::MAX);
    let file = files.file(rootfs, long);
    assert!(files.path(file).absence().unwrap().is_loss());
}

#[test]
fn a_hidden_page_makes_the_path_absent_and_names_the_page() {
    let mut files = Files::new();
    let root = files.dentry(None, b"/");
    let rootfs = files.mount(root, None);
    let far = files.toy.page();
    let near = files.dentry(Some(far), b"file");
    let name = files.toy.text(b"dir");
    files.toy.put(far, D_PARENT, root.0);
    files.toy.put_u32(far, D_NAME + 4, 3);
    files.toy.put(far, D_NAME + 8, name.0);
    let file = files.file(rootfs, near);
    assert_eq!(files.text(file), "/dir/file");
    let paths = files.toy.resolve(Paths::resolve);
    let hidden = Knockout::new(files.toy.memory.clone(), Toy::pa(far));
    let called = paths.of_file(&files.toy.guest_in(Arc::new(hidden)), file);
    let Why::Unreadable(fault) = called.absence().unwrap().why else {
        panic!("{called:?}");
    };
    assert_eq!(fault.pa.map(PhysAddr::page), Some(Toy::pa(far)));
}
