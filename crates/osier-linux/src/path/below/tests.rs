#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use osier_memory::VirtAddr;
use osier_osi::{SeenExt as _, WalkEnd, WalkEnds};

use super::Below;
use crate::path::Paths;
use crate::toy::{Is, Toy};

const D_PARENT: u64 = 0;
const D_NAME: u64 = 8;
const D_INODE: u64 = 24;
/// The link in the parent's list.
const LINK: u64 = 32;
/// The head of the own list.
const HEAD: u64 = 48;

/// How many shapes there are.
const SHAPES: usize = 2;

/// Lists of children as they were, and as they are since v6.8.
fn members(shape: usize) -> [(&'static str, i64, Is); 2] {
    if shape == 0 {
        [
            ("d_child", 32, Is::Struct("list_head", 16)),
            ("d_subdirs", 48, Is::Struct("list_head", 16)),
        ]
    } else {
        [
            ("d_sib", 32, Is::Struct("hlist_node", 16)),
            ("d_children", 48, Is::Struct("hlist_head", 8)),
        ]
    }
}

struct Folders {
    toy: Toy,
    plain: bool,
}

impl Folders {
    fn new(shape: usize) -> Self {
        let mut toy = Toy::new();
        let qstr = [("len", 0, Is::Int(4)), ("name", 8, Is::Pointer)];
        toy.structure("qstr", 16, &qstr);
        let mut all = vec![
            ("d_parent", 0, Is::Pointer),
            ("d_name", 8, Is::Struct("qstr", 16)),
            ("d_inode", 24, Is::Pointer),
        ];
        all.extend(members(shape));
        toy.structure("dentry", 64, &all);
        toy.structure("vfsmount", 8, &[("mnt_root", 0, Is::Pointer)]);
        let mount = [
            ("mnt_parent", 0, Is::Pointer),
            ("mnt_mountpoint", 8, Is::Pointer),
            ("mnt", 16, Is::Struct("vfsmount", 8)),
        ];
        toy.structure("mount", 24, &mount);
        let plain = shape == 1;
        Self { toy, plain }
    }

    fn dentry(&mut self, parent: Option<VirtAddr>, name: &[u8], inode: u64) -> VirtAddr {
        let text = self.toy.text(name);
        let at = self.toy.room(64, 16);
        self.toy.put(at, D_PARENT, parent.unwrap_or(at).0);
        self.toy
            .put_u32(at, D_NAME, u32::try_from(name.len()).unwrap());
        self.toy.put(at, D_NAME + 8, text.0);
        self.toy.put(at, D_INODE, inode);
        at
    }

    /// Ties the children of `folder` into its list.
    fn tie(&mut self, folder: VirtAddr, children: &[VirtAddr]) {
        let links: Vec<_> = children.iter().map(|child| child.plus(LINK)).collect();
        let head = folder.plus(HEAD);
        let mut before = head;
        for link in &links {
            self.toy.put(before, 0, link.0);
            self.toy.put(*link, 8, before.0);
            before = *link;
        }
        self.toy.put(before, 0, if self.plain { 0 } else { head.0 });
        if !self.plain {
            self.toy.put(head, 8, before.0);
        }
    }

    fn below(&self, folder: VirtAddr, name: &[u8]) -> (Option<Below>, WalkEnds) {
        let paths = self.toy.resolve(Paths::resolve);
        let mut ends = WalkEnds::default();
        let found = paths.below(&self.toy.guest(), folder, name, &mut ends);
        (found.value(), ends)
    }
}

#[test]
fn a_child_is_found_by_its_name_and_one_without_an_inode_is_known_not_to_be() {
    for shape in 0..SHAPES {
        let mut folders = Folders::new(shape);
        let inode = folders.toy.room(64, 16);
        let root = folders.dentry(None, b"/", inode.0);
        let file = folders.dentry(Some(root), b"file", inode.0);
        let none = folders.dentry(Some(root), b"none", 0);
        folders.tie(root, &[none, file]);
        let dentry = file;
        assert_eq!(
            folders.below(root, b"file").0,
            Some(Below::File { dentry, inode })
        );
        assert_eq!(folders.below(root, b"none").0, Some(Below::Nothing));
        let (other, ends) = folders.below(root, b"else");
        assert_eq!(other, Some(Below::Unknown));
        assert!(ends.0.iter().all(|(_, end)| end.is_closed()), "{ends:?}");
    }
}

#[test]
fn a_child_of_another_folder_and_a_list_that_is_cut_are_told() {
    for shape in 0..SHAPES {
        let mut folders = Folders::new(shape);
        let inode = folders.toy.room(64, 16);
        let root = folders.dentry(None, b"/", inode.0);
        let other = folders.dentry(None, b"/", inode.0);
        let stray = folders.dentry(Some(other), b"file", inode.0);
        folders.tie(root, &[stray]);
        let (found, ends) = folders.below(root, b"file");
        assert_eq!(found, Some(Below::Unknown));
        let strange = |(_, end): &(&str, WalkEnd)| matches!(end, WalkEnd::Inconsistent { .. });
        assert!(ends.0.iter().any(strange), "{ends:?}");
        folders.toy.put(root, HEAD, 1 << 20);
        let (_, ends) = folders.below(root, b"file");
        assert!(ends.0.iter().any(|(_, end)| !end.is_closed()), "{ends:?}");
    }
}
