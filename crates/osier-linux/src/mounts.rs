//! The mounts that a process sees: what `/proc/PID/mountinfo` shows.
//!
//! A mount namespace has them in a list (`mnt_namespace.list`) and counts them; since Linux commit
//! 2eea9ce4310d ("mounts: keep list of mounts in an rbtree"), v6.8, in a tree by their number. Each names
//! the namespace that it is of. Those that the process's root directory does not lead to are not shown, as
//! the kernel does not show them.

mod reader;

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use osier_memory::{Each, Fault, VirtAddr};
use osier_osi::{Absent, Guard, Mount, Seen, SeenExt as _, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr, Resolver};

use crate::attach::Mounted;
use crate::layouts::RbNode;
use crate::layouts::files::MntNamespace;
use crate::path::Place;
use crate::wide::namespaces::Proxy;
use crate::{Linux, group, list, memory, process, threads};
use reader::Reader;

/// The walk's name in its endings.
const WALK: &str = "mounts";
/// Most mounts that are read; the kernel allows 100,000 in a namespace unless it was told otherwise.
const LIMIT: usize = 1 << 20;
/// `MNT_CURSOR`: the place where a reader of `/proc/PID/mountinfo` stands. Linux commit 9f6c61f96f2d
/// ("proc/mounts: add cursor"), v5.8, until v6.8.
const MNT_CURSOR: u64 = 0x1000_0000;
/// `MNT_INTERNAL`: the kernel's own, mounted by `kern_mount`, and what such a mount names for its
/// namespace, the error -EINVAL (`MNT_NS_INTERNAL`; Linux commit f7a99c5b7c8b, v3.6).
const MNT_INTERNAL: u64 = 0x4000;
const EINVAL: u64 = 22;
/// The mounts that the process whose group leader is at `taskd` sees, in the kernel's order.
pub(crate) fn mounts(linux: &Linux, taskd: VirtAddr, row: Each<'_, Mount>) -> WalkEnds {
    let key = match place(linux, taskd) {
        Ok(Some(key)) => key,
        Ok(None) => return WalkEnds::one(WALK, WalkEnd::Closed),
        Err((missing, absent)) => return WalkEnds::one(WALK, WalkEnd::without(missing, &absent)),
    };
    let known = linux.mounted.borrow().get(&key).cloned();
    let mounted = known.unwrap_or_else(|| {
        let fresh = Arc::new(Walk::new(linux, key.0, key.1).mounted());
        linux.mounted.borrow_mut().insert(key, Arc::clone(&fresh));
        fresh
    });
    let pid = process::pid(linux, taskd);
    for mount in &mounted.0 {
        let mount = Mount {
            pid: pid.clone(),
            ..mount.clone()
        };
        if row(mount).is_break() {
            return mounted.1.stopped(WALK);
        }
    }
    mounted.1.clone()
}

/// What could not be read, and why.
type Missing = (&'static str, Box<Absent>);

/// The mount namespace of the process and its root directory; `None` of one that has exited.
fn place(linux: &Linux, taskd: VirtAddr) -> Result<Option<(VirtAddr, Place)>, Missing> {
    let profile = linux.guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let proxy = Proxy::resolve(&mut resolver);
    let object = |field: Option<Field<Ptr<()>>>, base| -> Seen<VirtAddr> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let at = field.read(&linux.guest.space, base)?;
        if at.is_null() || linux.guest.can_be_object(at) {
            return Ok(at);
        }
        let rule = "an aligned address of the kernel, or none";
        Err(Absent::implausible(at.0, rule, Some(field.place(base))))
    };
    let paths = &linux.maps.paths;
    let shared = |field: Option<Field<Ptr<()>>>| {
        let bearer = match field {
            Some(field) => group::bearer(linux, taskd, field)?,
            None => taskd,
        };
        object(field, bearer)
    };
    let namespaces = shared(linux.tasks.nsproxy).map_err(|why| ("its namespaces", why))?;
    let fs = shared(paths.task_fs()).map_err(|why| ("its root directory", why))?;
    if namespaces.is_null() || fs.is_null() {
        if process::has_exited(linux, taskd) {
            return Ok(None);
        }
        let rule = "a task that has not exited has namespaces and a root directory";
        let why = Absent::implausible(0, rule, Some(taskd));
        return Err(("its namespaces and its root directory", why));
    }
    let namespace = object(proxy.mnt_ns, namespaces).and_then(|namespace| {
        if namespace.is_null() {
            let rule = "namespaces have one of mounts (mnt_ns)";
            return Err(Absent::implausible(0, rule, Some(namespaces)));
        }
        Ok(namespace)
    });
    let namespace = namespace.map_err(|why| ("its mount namespace", why))?;
    let root = paths.root_of(&linux.guest, fs).and_then(|root| {
        if shared_uncounted(linux, fs)? {
            let rule = "places count the tasks that name them (users)";
            return Err(Absent::implausible(fs.0, rule, Some(taskd)));
        }
        Ok(root)
    });
    let root = root.map_err(|why| ("its root directory", why))?;
    Ok(Some((namespace, root)))
}

/// Whether more tasks name the `fs_struct` than it counts.
fn shared_uncounted(linux: &Linux, fs: VirtAddr) -> Seen<bool> {
    let paths = &linux.maps.paths;
    let counted = match paths.users(&linux.guest, fs) {
        Ok(users) => Some(users),
        Err(absent) if absent.is_loss() => return Err(absent),
        Err(_) => None,
    };
    let leaders = memory::named(linux).fs(fs);
    let task_fs = paths.task_fs();
    Ok(threads::name_more_than(
        linux, counted, leaders, task_fs, fs,
    ))
}

/// Which mounts stand on each mount of a namespace by its own list; `None` where that does not close.
type Standing = HashMap<VirtAddr, Option<HashSet<VirtAddr>>>;

/// The walk of one namespace.
struct Walk<'a> {
    reader: Reader<'a>,
    namespace: MntNamespace,
    node: RbNode,
    at: VirtAddr,
}

impl<'a> Walk<'a> {
    fn new(linux: &'a Linux, at: VirtAddr, root: Place) -> Self {
        let mut resolver = Resolver::new(&linux.guest.profile);
        Self {
            reader: Reader::resolve(&mut resolver, linux, root),
            namespace: MntNamespace::resolve(&mut resolver),
            node: RbNode::resolve(&mut resolver),
            at,
        }
    }

    fn mounted(&self) -> Mounted {
        let mut ends = WalkEnds::default();
        let all = match self.all(&mut ends) {
            Ok(all) => all,
            Err(end) => return (Vec::new(), WalkEnds::one(WALK, end)),
        };
        let space = &self.reader.linux.guest.space;
        if let Some(count) = self.namespace.count {
            match count.read(space, self.at) {
                Ok(counted) => {
                    let counted = usize::try_from(counted).unwrap_or(usize::MAX);
                    ends.differ(
                        "the mounts of a namespace and their number",
                        all.len(),
                        counted,
                    );
                }
                Err(fault) => ends.add(
                    "the number of mounts",
                    WalkEnd::no_start("the number of mounts", fault),
                ),
            }
        }
        let holds_root = all
            .iter()
            .any(|mount| self.reader.vfsmount(*mount) == self.reader.root.mnt);
        ends.disagree(
            "the root directory's mount and those of the namespace",
            usize::from(!holds_root && !self.root_is_internal()),
            0,
        );
        let standing = self.standing(&all);
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        for id in all
            .iter()
            .filter_map(|mount| self.reader.number(*mount).value())
        {
            let times = numbers.entry(id).or_default();
            *times = times.saturating_add(1);
        }
        let mut rows = Vec::new();
        for mount in all {
            if let Some(field) = self.reader.mount.mnt_ns
                && let Ok(namespace) = field.read(space, mount)
                && namespace != self.at
            {
                ends.add(
                    WALK,
                    WalkEnd::Inconsistent {
                        at: field.place(mount),
                        back_link: namespace,
                        expected: self.at,
                    },
                );
            }
            if let Some(mut row) = self.reader.row(mount, self.parent(mount, &standing)) {
                if let Ok(id) = row.id
                    && numbers.get(&id).is_some_and(|times| *times > 1)
                {
                    let rule = "each mount has a number of its own (mnt_id)";
                    row.id = Err(Absent::implausible(id.into(), rule, Some(mount)));
                }
                rows.push((row, self.reader.peers(mount)));
            }
        }
        let groups: HashSet<i64> = rows
            .iter()
            .filter(|(_, peers)| peers.shared == Ok(true))
            .filter_map(|(_, peers)| peers.group.value())
            .collect();
        let rows = rows.into_iter().map(|(row, peers)| Mount {
            propagation: self.reader.propagation(row.address, &peers, &groups),
            ..row
        });
        (rows.collect(), ends)
    }

    /// Whether the root directory is on a mount of the kernel's own, which is in no namespace. Threads of
    /// the kernel stand on an empty one since v7.3, and see no mount: `/proc/PID/mountinfo` shows none.
    fn root_is_internal(&self) -> bool {
        let vfsmount = self.reader.root.mnt;
        let mount = self
            .reader
            .mount
            .mnt
            .map_or(vfsmount, |mnt| mnt.container(vfsmount));
        let Some(field) = self.reader.mount.mnt_ns else {
            return false;
        };
        let most = if self.reader.linux.guest.pointer_bytes() == 4 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        let namespace = field.read(&self.reader.linux.guest.space, mount);
        let flags = self.reader.value(self.reader.inner.mnt_flags, vfsmount);
        namespace.is_ok_and(|namespace| most.wrapping_sub(namespace.0) == EINVAL - 1)
            && flags.is_ok_and(|flags| flags & MNT_INTERNAL != 0)
    }

    /// The namespace's mounts.
    fn all(&self, ends: &mut WalkEnds) -> Result<Vec<VirtAddr>, WalkEnd> {
        let guest = &self.reader.linux.guest;
        if let Some((root, link)) = self.namespace.tree.zip(self.reader.mount.mnt_node) {
            let nodes = self.tree(root, ends)?;
            return Ok(nodes.into_iter().map(|node| link.container(node)).collect());
        }
        let Some((head, link)) = self.namespace.list.zip(self.reader.mount.mnt_list) else {
            return Err(WalkEnd::no_start(
                "members of mnt_namespace in the profile",
                None,
            ));
        };
        let walked = list::ring(guest, head.place(self.at));
        ends.add(WALK, walked.end);
        let mounts = walked.nodes.into_iter().map(|node| link.container(node));
        Ok(mounts.filter(|&mount| !self.is_cursor(mount)).collect())
    }

    fn is_cursor(&self, mount: VirtAddr) -> bool {
        let flags = self
            .reader
            .value(self.reader.inner.mnt_flags, self.reader.vfsmount(mount));
        flags.is_ok_and(|flags| flags & MNT_CURSOR != 0)
    }

    /// The nodes of the namespace's tree, in their order.
    fn tree(&self, root: Field<Ptr<()>>, ends: &mut WalkEnds) -> Result<Vec<VirtAddr>, WalkEnd> {
        let (Some(parent), Some(left), Some(right)) =
            (self.node.parent, self.node.left, self.node.right)
        else {
            return Err(WalkEnd::no_start("members of rb_node in the profile", None));
        };
        let guest = &self.reader.linux.guest;
        let space = &guest.space;
        let top = root
            .read(space, self.at)
            .map_err(|fault| WalkEnd::no_start("the namespace's tree of mounts", fault))?;
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

    /// Which mounts stand on each of those in `all` by its own list; `None` of one whose list does not close.
    fn standing(&self, all: &[VirtAddr]) -> Standing {
        let (Some(head), Some(link)) = (self.reader.mount.mnt_mounts, self.reader.mount.mnt_child)
        else {
            return HashMap::new();
        };
        let lists = all.iter().map(|mount| {
            let walked = list::ring(&self.reader.linux.guest, head.place(*mount));
            let children = walked.nodes.iter().map(|node| link.container(*node));
            let closed = walked.end.is_closed();
            (*mount, closed.then(|| children.collect()))
        });
        lists.collect()
    }

    /// What the mount stands on; itself at the top. It is a mount of the namespace, and has this one in its list.
    fn parent(&self, mount: VirtAddr, standing: &Standing) -> Seen<VirtAddr> {
        let parent = self.reader.object(self.reader.mount.mnt_parent, mount)?;
        if parent == mount || standing.is_empty() {
            return Ok(parent);
        }
        let rule = match standing.get(&parent) {
            None => "a mount stands on one of its namespace (mnt_parent)",
            Some(Some(children)) if !children.contains(&mount) => {
                "a mount is in the list of the one that it stands on (mnt_mounts)"
            }
            Some(_) => return Ok(parent),
        };
        let place = self.reader.mount.mnt_parent.map(|field| field.place(mount));
        Err(Absent::implausible(parent.0, rule, place))
    }
}

fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}
