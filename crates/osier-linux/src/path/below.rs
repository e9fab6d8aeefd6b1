//! The way down: what a folder has under a name, of what the kernel remembers.
//!
//! A `dentry` names its children in a list. A file that nobody has asked for since it was last forgotten is not among them, so
//! that what is not found may yet be on the disk. A name that was asked for in vain is remembered, too: a `dentry` without
//! an inode.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Guard, Seen, WalkEnd, WalkEnds};

use super::names::Names;
use crate::guest::Guest;
use crate::hashes::{self, Buckets, Chains};
use crate::layouts::files::Dentry;
use crate::list;

/// The walk's name in endings.
const CHILDREN: &str = "children of a folder";

/// What a folder has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// A file.
    File {
        /// Its `dentry`.
        dentry: VirtAddr,
        /// Its `inode`.
        inode: VirtAddr,
    },
    /// Nothing: the kernel remembers that there is none.
    Nothing,
    /// That is not remembered.
    Unknown,
}

/// The children of the `dentry` at `folder`, and how the walk to them ended.
fn children(
    layout: &Dentry,
    guest: &Guest,
    folder: VirtAddr,
    ends: &mut WalkEnds,
) -> Seen<Vec<VirtAddr>> {
    if let Some((head, link)) = layout.d_children.zip(layout.d_sib) {
        let chain = Buckets {
            first: head.place(folder),
            count: 1,
            stride: u64::from(guest.pointer_bytes()),
            counted: None,
            chains: Chains::Plain,
        };
        let mut met = Guard::new(hashes::MOST_OBJECTS);
        let links = hashes::links(guest, CHILDREN, chain, &mut met, ends);
        return Ok(links.into_iter().map(|at| link.container(at)).collect());
    }
    let (head, link) = layout
        .d_subdirs
        .zip(layout.d_child)
        .ok_or_else(Absent::not_in_this_kernel)?;
    let walked = list::ring(guest, head.place(folder));
    ends.add(CHILDREN, walked.end);
    let nodes = walked.nodes.into_iter();
    Ok(nodes.map(|at| link.container(at)).collect())
}

/// What the `dentry` at `folder` has under `name`. What is mounted over it or over the file is not looked at.
pub(super) fn below(
    layout: &Dentry,
    guest: &Guest,
    names: &Names,
    folder: VirtAddr,
    name: &[u8],
    ends: &mut WalkEnds,
) -> Seen<Below> {
    let (Some(parent), Some(len), Some(inode)) = (layout.d_parent, layout.len, layout.d_inode)
    else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &guest.space;
    for child in children(layout, guest, folder, ends)? {
        let above = parent.read(space, child)?;
        if above != folder {
            ends.add(
                CHILDREN,
                WalkEnd::Inconsistent {
                    at: child,
                    back_link: above,
                    expected: folder,
                },
            );
            continue;
        }
        if len.read(space, child)? != name.len() as u64 || names.of(guest, child, folder)? != name {
            continue;
        }
        let inode = inode.read(space, child)?;
        if inode.is_null() {
            return Ok(Below::Nothing);
        }
        if !guest.can_be_object(inode) {
            let rule = "a file's inode is an aligned address of the kernel (d_inode)";
            let at = layout.d_inode.map(|field| field.place(child));
            return Err(Absent::implausible(inode.0, rule, at));
        }
        let dentry = child;
        return Ok(Below::File { dentry, inode });
    }
    Ok(Below::Unknown)
}

#[cfg(test)]
mod tests;
