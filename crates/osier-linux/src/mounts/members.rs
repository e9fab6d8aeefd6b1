//! The mounts of a namespace, in its list or tree, and what each stands on.

use std::collections::{HashMap, HashSet};

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Guard, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use super::{LIMIT, MNT_CURSOR, WALK, Walk};
use crate::list;

impl Walk<'_> {
    /// The namespace's mounts.
    pub(super) fn all(&self, ends: &mut WalkEnds) -> Result<Vec<VirtAddr>, WalkEnd> {
        let guest = &self.linux.guest;
        if let Some((root, link)) = self.namespace.tree.zip(self.mount.mnt_node) {
            let nodes = self.tree(root, ends)?;
            return Ok(nodes.into_iter().map(|node| link.container(node)).collect());
        }
        let Some((head, link)) = self.namespace.list.zip(self.mount.mnt_list) else {
            return Err(WalkEnd::NoStart {
                missing: "members of mnt_namespace in the profile".to_owned(),
                fault: None,
            });
        };
        let walked = list::ring(guest, head.place(self.at));
        ends.add(WALK, walked.end);
        let mounts = walked.nodes.into_iter().map(|node| link.container(node));
        Ok(mounts.filter(|&mount| !self.is_cursor(mount)).collect())
    }

    fn is_cursor(&self, mount: VirtAddr) -> bool {
        let flags = self.value(self.inner.mnt_flags, self.vfsmount(mount));
        flags.is_ok_and(|flags| flags & MNT_CURSOR != 0)
    }

    /// The nodes of the namespace's tree, in their order.
    fn tree(&self, root: Field<Ptr<()>>, ends: &mut WalkEnds) -> Result<Vec<VirtAddr>, WalkEnd> {
        let (Some(parent), Some(left), Some(right)) =
            (self.node.parent, self.node.left, self.node.right)
        else {
            return Err(WalkEnd::NoStart {
                missing: "members of rb_node in the profile".to_owned(),
                fault: None,
            });
        };
        let guest = &self.linux.guest;
        let space = &guest.space;
        let top = root
            .read(space, self.at)
            .map_err(|fault| WalkEnd::NoStart {
                missing: "the namespace's tree of mounts".to_owned(),
                fault: Some(fault),
            })?;
        let mut met = Guard::new(LIMIT);
        let mut nodes = Vec::new();
        // What is below and left of each is done, or is to be done first.
        let mut open: Vec<(VirtAddr, VirtAddr, bool)> = vec![(top, VirtAddr(0), false)];
        let mut sound = true;
        while let Some((node, above, left_is_done)) = open.pop() {
            if node.is_null() {
                continue;
            }
            if left_is_done {
                nodes.push(node);
                match right.read(space, node) {
                    Ok(below) => open.push((below, node, false)),
                    Err(fault) => {
                        sound = false;
                        ends.add(WALK, broken(node, None, fault));
                    }
                }
                continue;
            }
            if let Err(fault) = list::plausible(guest, node) {
                sound = false;
                ends.add(WALK, broken(above, Some(node), fault));
                continue;
            }
            if let Err(end) = met.meet(node) {
                sound = false;
                ends.add(WALK, end);
                continue;
            }
            open.push((node, above, true));
            if let Ok(told) = parent.read(space, node)
                && told & !3 != above.0
            {
                sound = false;
                ends.add(
                    WALK,
                    WalkEnd::Inconsistent {
                        at: node,
                        back_link: VirtAddr(told & !3),
                        expected: above,
                    },
                );
            }
            match left.read(space, node) {
                Ok(below) => open.push((below, node, false)),
                Err(fault) => {
                    sound = false;
                    ends.add(WALK, broken(node, None, fault));
                }
            }
        }
        if sound {
            ends.add(WALK, WalkEnd::Closed);
        }
        Ok(nodes)
    }

    /// Which mounts stand on each of those in `all` by its own list; without those whose list does not close.
    pub(super) fn standing(&self, all: &[VirtAddr]) -> HashMap<VirtAddr, HashSet<VirtAddr>> {
        let (Some(head), Some(link)) = (self.mount.mnt_mounts, self.mount.mnt_child) else {
            return HashMap::new();
        };
        let lists = all.iter().filter_map(|mount| {
            let walked = list::ring(&self.linux.guest, head.place(*mount));
            let children = walked.nodes.iter().map(|node| link.container(*node));
            let closed = walked.end.is_closed();
            closed.then(|| (*mount, children.collect()))
        });
        lists.collect()
    }

    /// What the mount stands on; itself at the top.
    pub(super) fn parent(
        &self,
        mount: VirtAddr,
        standing: &HashMap<VirtAddr, HashSet<VirtAddr>>,
    ) -> Seen<VirtAddr> {
        let parent = self.object(self.mount.mnt_parent, mount)?;
        let listed = standing.get(&parent);
        if parent != mount && listed.is_none_or(|children| !children.contains(&mount)) {
            // What a namespace's mounts stand on is among them, but for the top.
            let known = !standing.is_empty() && (listed.is_some() || self.is_read(parent));
            if known {
                let rule = "a mount is in the list of the one that it stands on (mnt_mounts)";
                let place = self.mount.mnt_parent.map(|field| field.place(mount));
                return Err(Absent::implausible(parent.0, rule, place));
            }
        }
        Ok(parent)
    }

    /// Whether the list of what stands on the mount can be read.
    fn is_read(&self, mount: VirtAddr) -> bool {
        let head = self.mount.mnt_mounts.map(|head| head.place(mount));
        head.is_some_and(|head| list::ring(&self.linux.guest, head).end.is_closed())
    }
}

fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}
