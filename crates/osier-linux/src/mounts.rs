//! The mounts that a process sees: what `/proc/PID/mountinfo` shows.
//!
//! A mount namespace has them in a list (`mnt_namespace.list`) and counts them; since Linux commit
//! 2eea9ce4310d ("mounts: keep list of mounts in an rbtree"), v6.8, in a tree by their number. Each names
//! the namespace that it is of. Those that the process's root directory does not lead to are not shown, as
//! the kernel does not show them.

pub(crate) mod layouts;

use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Guard, Mount, Seen, SeenExt as _, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr, Resolver, SInt, UInt};

use crate::attach::Mounted;
use crate::layouts::RbNode;
use crate::path::Place;
use crate::wide::layouts::Task;
use crate::wide::namespaces::Proxy;
use crate::{Linux, list, memory, process, symbols, threads};
use layouts::{Before, Inner, Namespace, Outer, SuperBlock};

/// The walk's name in its endings.
const WALK: &str = "mounts";
/// Most mounts that are read; the kernel allows 100,000 in a namespace unless it was told otherwise.
const LIMIT: usize = 1 << 20;
/// Longest name of a source or a subtype that is believed: a page.
const NAME_LIMIT: usize = 4096;
/// Longest chain of masters that is believed.
const MASTERS: usize = 1 << 16;
/// `MNT_CURSOR`: the place where a reader of `/proc/PID/mountinfo` stands. Linux commit 9f6c61f96f2d
/// ("proc/mounts: add cursor"), v5.8, until v6.8.
const MNT_CURSOR: u64 = 0x1000_0000;
/// `MNT_READONLY` and `SB_RDONLY`.
const MNT_READONLY: u64 = 0x40;
const SB_RDONLY: u64 = 1;
/// `MNT_SHARED` and `MNT_UNBINDABLE`.
const MNT_SHARED: u64 = 0x1000;
const MNT_UNBINDABLE: u64 = 0x2000;
/// `T_SHARED` and `T_UNBINDABLE`.
const T_SHARED: u64 = 1;
const T_UNBINDABLE: u64 = 2;
/// `MNT_NOATIME` and `MNT_RELATIME`, which exclude each other.
const MNT_NOATIME: u64 = 0x08;
const MNT_RELATIME: u64 = 0x20;
/// `MNT_INTERNAL`: the kernel's own, mounted by `kern_mount`, and what such a mount names for its
/// namespace, the error -EINVAL (`MNT_NS_INTERNAL`; Linux commit f7a99c5b7c8b, v3.6).
const MNT_INTERNAL: u64 = 0x4000;
const EINVAL: u64 = 22;
/// Every `MNT_…` that there is: `include/linux/mount.h`.
const MNT_KNOWN: u64 = 0x1ffc_73ff;
/// The marks of a mount that are shown, in the kernel's order.
const MARKS: [(u64, &str); 7] = [
    (0x01, "nosuid"),
    (0x02, "nodev"),
    (0x04, "noexec"),
    (0x08, "noatime"),
    (0x10, "nodiratime"),
    (0x20, "relatime"),
    (0x80, "nosymfollow"),
];
/// The marks of a file system that are shown, in the kernel's order.
const SUPER_MARKS: [(u64, &str); 4] = [
    (1 << 4, "sync"),
    (1 << 7, "dirsync"),
    (1 << 6, "mand"),
    (1 << 25, "lazytime"),
];

/// The mounts that the process whose group leader is at `taskd` sees, in the kernel's order.
pub(crate) fn mounts(
    linux: &Linux,
    taskd: VirtAddr,
    row: &mut dyn FnMut(Mount) -> ControlFlow<()>,
) -> WalkEnds {
    let key = match place(linux, taskd) {
        Ok(Some(key)) => key,
        Ok(None) => return WalkEnds::one(WALK, WalkEnd::Closed),
        Err((missing, absent)) => return WalkEnds::one(WALK, no_start(missing, &absent)),
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

fn no_start(missing: &str, absent: &Absent) -> WalkEnd {
    match absent.why {
        osier_osi::Why::Unreadable(fault) => WalkEnd::NoStart {
            missing: missing.to_owned(),
            fault: Some(fault),
        },
        _ => WalkEnd::NoStart {
            missing: format!("{missing}: {absent}"),
            fault: None,
        },
    }
}

/// What could not be had, and why.
type Missing = (&'static str, Box<Absent>);

/// The mount namespace of the task and its root directory; `None` of one that has exited.
fn place(linux: &Linux, taskd: VirtAddr) -> Result<Option<(VirtAddr, Place)>, Missing> {
    let profile = linux.guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let spaces = Task::resolve(&mut resolver);
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
    let namespaces = object(spaces.nsproxy, taskd).map_err(|why| ("its namespaces", why))?;
    let fs = object(paths.task_fs(), taskd).map_err(|why| ("its root directory", why))?;
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
        if shared_uncounted(linux, fs) {
            let rule = "places count the tasks that name them (users)";
            return Err(Absent::implausible(fs.0, rule, Some(taskd)));
        }
        Ok(root)
    });
    let root = root.map_err(|why| ("its root directory", why))?;
    Ok(Some((namespace, root)))
}

/// Whether more tasks name the `fs_struct` than it counts.
fn shared_uncounted(linux: &Linux, fs: VirtAddr) -> bool {
    let paths = &linux.maps.paths;
    let counted = paths.users(&linux.guest, fs);
    let leaders = memory::named(linux).fs(fs);
    threads::name_more_than(linux, counted, leaders, paths.task_fs(), fs)
}

/// Which mounts stand on each mount of a namespace by its own list; `None` where that does not close.
type Standing = HashMap<VirtAddr, Option<HashSet<VirtAddr>>>;

/// The walk of one namespace.
struct Walk<'a> {
    linux: &'a Linux,
    mount: Before,
    inner: Inner,
    namespace: Namespace,
    super_block: SuperBlock,
    node: RbNode,
    at: VirtAddr,
    root: Place,
}

/// What a row needs that all rows must be known for.
struct Peers {
    group: Seen<i64>,
    shared: Seen<bool>,
    unbindable: Seen<bool>,
}

impl<'a> Walk<'a> {
    fn new(linux: &'a Linux, at: VirtAddr, root: Place) -> Self {
        let profile = linux.guest.profile.clone();
        let mut resolver = Resolver::new(&profile);
        let outer = Outer::resolve(&mut resolver);
        let before = Before::resolve(&mut resolver);
        let mount = if outer.mnt.is_some() {
            Before {
                size: outer.size,
                mnt: outer.mnt,
                mnt_parent: outer.mnt_parent,
                mnt_mounts: outer.mnt_mounts,
                mnt_child: outer.mnt_child,
                mnt_list: outer.mnt_list,
                mnt_node: outer.mnt_node,
                mnt_ns: outer.mnt_ns,
                mnt_id: outer.mnt_id,
                mnt_group_id: outer.mnt_group_id,
                mnt_master: outer.mnt_master,
                mnt_devname: outer.mnt_devname,
                mnt_t_flags: outer.mnt_t_flags,
            }
        } else {
            Before {
                mnt: Some(Field::at(0, 0, None)),
                ..before
            }
        };
        Self {
            linux,
            mount,
            inner: Inner::resolve(&mut resolver),
            namespace: Namespace::resolve(&mut resolver),
            super_block: SuperBlock::resolve(&mut resolver),
            node: RbNode::resolve(&mut resolver),
            at,
            root,
        }
    }

    fn mounted(&self) -> Mounted {
        let mut ends = WalkEnds::default();
        let all = match self.all(&mut ends) {
            Ok(all) => all,
            Err(end) => return (Vec::new(), WalkEnds::one(WALK, end)),
        };
        let space = &self.linux.guest.space;
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
                    WalkEnd::NoStart {
                        missing: "the number of mounts".to_owned(),
                        fault: Some(fault),
                    },
                ),
            }
        }
        let holds_root = all
            .iter()
            .any(|mount| self.vfsmount(*mount) == self.root.mnt);
        ends.disagree(
            "the root directory's mount and those of the namespace",
            usize::from(!holds_root && !self.root_is_internal()),
            0,
        );
        let standing = self.standing(&all);
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        for id in all.iter().filter_map(|mount| self.number(*mount).value()) {
            let times = numbers.entry(id).or_default();
            *times = times.saturating_add(1);
        }
        let mut rows = Vec::new();
        for mount in all {
            if let Some(field) = self.mount.mnt_ns
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
            if let Some(mut row) = self.row(mount, &standing) {
                if let Ok(id) = row.id
                    && numbers.get(&id).is_some_and(|times| *times > 1)
                {
                    let rule = "each mount has a number of its own (mnt_id)";
                    row.id = Err(Absent::implausible(id.into(), rule, Some(mount)));
                }
                rows.push((row, self.peers(mount)));
            }
        }
        let groups: HashSet<i64> = rows
            .iter()
            .filter(|(_, peers)| peers.shared == Ok(true))
            .filter_map(|(_, peers)| peers.group.value())
            .collect();
        let rows = rows.into_iter().map(|(row, peers)| Mount {
            propagation: self.propagation(row.address, &peers, &groups),
            ..row
        });
        (rows.collect(), ends)
    }

    /// Whether the root directory is on a mount of the kernel's own, which is in no namespace. Threads of
    /// the kernel stand on an empty one since v7.3, and see no mount: `/proc/PID/mountinfo` shows none.
    fn root_is_internal(&self) -> bool {
        let vfsmount = self.root.mnt;
        let mount = self
            .mount
            .mnt
            .map_or(vfsmount, |mnt| mnt.container(vfsmount));
        let Some(field) = self.mount.mnt_ns else {
            return false;
        };
        let most = if self.linux.guest.pointer_bytes() == 4 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        let namespace = field.read(&self.linux.guest.space, mount);
        let flags = self.value(self.inner.mnt_flags, vfsmount);
        namespace.is_ok_and(|namespace| most.wrapping_sub(namespace.0) == EINVAL - 1)
            && flags.is_ok_and(|flags| flags & MNT_INTERNAL != 0)
    }

    /// The namespace's mounts.
    fn all(&self, ends: &mut WalkEnds) -> Result<Vec<VirtAddr>, WalkEnd> {
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

    fn vfsmount(&self, mount: VirtAddr) -> VirtAddr {
        self.mount.mnt.map_or(mount, |field| field.place(mount))
    }

    /// Which mounts stand on each of those in `all` by its own list; `None` of one whose list does not close.
    fn standing(&self, all: &[VirtAddr]) -> Standing {
        let (Some(head), Some(link)) = (self.mount.mnt_mounts, self.mount.mnt_child) else {
            return HashMap::new();
        };
        let lists = all.iter().map(|mount| {
            let walked = list::ring(&self.linux.guest, head.place(*mount));
            let children = walked.nodes.iter().map(|node| link.container(*node));
            let closed = walked.end.is_closed();
            (*mount, closed.then(|| children.collect()))
        });
        lists.collect()
    }

    /// What the mount stands on; itself at the top. It is a mount of the namespace, and has this one in its list.
    fn parent(&self, mount: VirtAddr, standing: &Standing) -> Seen<VirtAddr> {
        let parent = self.object(self.mount.mnt_parent, mount)?;
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
        let place = self.mount.mnt_parent.map(|field| field.place(mount));
        Err(Absent::implausible(parent.0, rule, place))
    }

    /// The row of a mount; `None` when the process's root directory does not lead to it.
    fn row(&self, mount: VirtAddr, standing: &Standing) -> Option<Mount> {
        let guest = &self.linux.guest;
        let paths = &self.linux.maps.paths;
        let vfsmount = self.vfsmount(mount);
        let own = paths.mounted_root(guest, vfsmount).and_then(|own| {
            paths.lies_in_its_mount(guest, own)?;
            Ok(own)
        });
        let parent = self.parent(mount, standing);
        let point = parent.clone().and_then(|_| {
            let own = own.clone()?;
            paths.seen_from(guest, own, self.root)
        });
        let point = match point {
            Ok(None) => return None,
            Ok(Some(point)) => Ok(point),
            Err(absent) => Err(absent),
        };
        let file_system = own
            .clone()
            .and_then(|_| self.object(self.inner.mnt_sb, vfsmount));
        let of_system =
            |read: &dyn Fn(VirtAddr) -> Seen<String>| file_system.clone().and_then(read);
        Some(Mount {
            pid: Err(Absent::not_applicable("set for each process")),
            id: self.number(mount),
            parent: parent.and_then(|parent| self.number(parent)),
            device: file_system
                .clone()
                .and_then(|at| paths.inodes().device(guest, at)),
            source: self.source(mount),
            root: own.and_then(|own| paths.of_mount(guest, own)),
            point,
            kind: file_system.clone().and_then(|at| self.kind(at)),
            options: self
                .flags(vfsmount)
                .map(|flags| options(flags & MNT_READONLY != 0, flags, &MARKS)),
            super_options: of_system(&|at| {
                let flags = self.value(self.super_block.s_flags, at)?;
                Ok(options(flags & SB_RDONLY != 0, flags, &SUPER_MARKS))
            }),
            propagation: Err(Absent::not_applicable("a private mount")),
            address: mount,
        })
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    fn signed(&self, field: Option<Field<SInt>>, base: VirtAddr) -> Seen<i64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    /// A pointer to an object that must be there.
    fn object(&self, field: Option<Field<Ptr<()>>>, base: VirtAddr) -> Seen<VirtAddr> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let at = field.read(&self.linux.guest.space, base)?;
        if self.linux.guest.can_be_object(at) {
            return Ok(at);
        }
        let rule = "a mount's links are aligned addresses of the kernel";
        Err(Absent::implausible(at.0, rule, Some(field.place(base))))
    }

    fn number(&self, mount: VirtAddr) -> Seen<u32> {
        let id = self.signed(self.mount.mnt_id, mount)?;
        u32::try_from(id).map_err(|_| {
            let at = self.mount.mnt_id.map(|field| field.place(mount));
            Absent::implausible(id.cast_unsigned(), "a mount's number is not negative", at)
        })
    }

    /// The marks of a mount.
    fn flags(&self, vfsmount: VirtAddr) -> Seen<u64> {
        let flags = self.value(self.inner.mnt_flags, vfsmount)?;
        let rule = if flags & !MNT_KNOWN != 0 {
            "a mount has no mark that there is not (mnt_flags)"
        } else if flags & MNT_NOATIME != 0 && flags & MNT_RELATIME != 0 {
            "a mount notes the time of reading never or seldom (mnt_flags)"
        } else {
            return Ok(flags);
        };
        let place = self.inner.mnt_flags.map(|field| field.place(vfsmount));
        Err(Absent::implausible(flags, rule, place))
    }

    fn source(&self, mount: VirtAddr) -> Seen<Vec<u8>> {
        let field = self
            .mount
            .mnt_devname
            .ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let space = &guest.space;
        let name = field.read(space, mount)?;
        if name.is_null() {
            return Ok(b"none".to_vec());
        }
        // Copied into memory of its own, or a constant of the kernel's (`kstrdup_const`).
        let image = (symbols::_text, symbols::_end);
        let (text, end) = (guest.symbol(image.0), guest.symbol(image.1));
        let constant = text.is_none_or(|text| name >= text) && end.is_none_or(|end| name < end);
        let place = Some(field.place(mount));
        let constant = constant && guest.is_kernel_address(name);
        if !guest.can_be_object(name) && !constant {
            let rule =
                "the name of what was mounted begins where memory is given out (mnt_devname)";
            return Err(Absent::implausible(name.0, rule, place));
        }
        let source = space.read_cstr(name, NAME_LIMIT)?;
        // Whoever mounts writes what they like there; blanks of every kind are met, other marks are not.
        let odd = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
        if source.is_empty() || source.iter().any(odd) {
            let rule = "what was mounted has a name, without control characters (mnt_devname)";
            return Err(Absent::implausible(name.0, rule, place));
        }
        Ok(source)
    }

    fn kind(&self, super_block: VirtAddr) -> Seen<Vec<u8>> {
        let guest = &self.linux.guest;
        let named = self
            .linux
            .maps
            .paths
            .inodes()
            .system_name(guest, super_block);
        let mut kind = named?.ok_or_else(Absent::not_in_this_kernel)?;
        if kind.is_empty() {
            let rule = "a type of file system has a name";
            return Err(Absent::implausible(0, rule, Some(super_block)));
        }
        if let Some(field) = self.super_block.s_subtype {
            let subtype = field.read(&guest.space, super_block)?;
            // Before v4.4 an empty one stood for none.
            if !subtype.is_null() {
                let subtype = guest.space.read_cstr(subtype, NAME_LIMIT)?;
                if !subtype.is_empty() {
                    kind.push(b'.');
                    kind.extend_from_slice(&subtype);
                }
            }
        }
        Ok(kind)
    }

    fn peers(&self, mount: VirtAddr) -> Peers {
        let (flags, shared, unbindable) = match self.mount.mnt_t_flags {
            Some(field) => (self.value(Some(field), mount), T_SHARED, T_UNBINDABLE),
            None => (
                self.value(self.inner.mnt_flags, self.vfsmount(mount)),
                MNT_SHARED,
                MNT_UNBINDABLE,
            ),
        };
        Peers {
            group: self.signed(self.mount.mnt_group_id, mount),
            shared: flags.clone().map(|flags| flags & shared != 0),
            unbindable: flags.map(|flags| flags & unbindable != 0),
        }
    }

    /// What mountinfo says of propagation. `groups` are those of the shared mounts that are shown.
    fn propagation(&self, mount: VirtAddr, peers: &Peers, groups: &HashSet<i64>) -> Seen<String> {
        let mut words = Vec::new();
        if peers.shared.clone()? {
            words.push(format!("shared:{}", peers.group.clone()?));
        }
        let field = self
            .mount
            .mnt_master
            .ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let mut master = field.read(space, mount)?;
        if !master.is_null() {
            let own = self.signed(self.mount.mnt_group_id, self.object(Some(field), mount)?)?;
            words.push(format!("master:{own}"));
            // The nearest whose peers are seen from here: `get_dominating_id`.
            for _ in 0..MASTERS {
                if master.is_null() {
                    break;
                }
                let group = self.signed(self.mount.mnt_group_id, master)?;
                if groups.contains(&group) {
                    if group != own {
                        words.push(format!("propagate_from:{group}"));
                    }
                    break;
                }
                master = field.read(space, master)?;
            }
        }
        if peers.unbindable.clone()? {
            words.push("unbindable".to_owned());
        }
        if words.is_empty() {
            return Err(Absent::not_applicable("a private mount"));
        }
        Ok(words.join(" "))
    }
}

fn broken(from: VirtAddr, to: Option<VirtAddr>, fault: Fault) -> WalkEnd {
    WalkEnd::BrokenLink { from, to, fault }
}

/// `ro` or `rw`, and the words of the marks that are set.
fn options(read_only: bool, flags: u64, marks: &[(u64, &str)]) -> String {
    let mut text = if read_only { "ro" } else { "rw" }.to_owned();
    for (mark, word) in marks {
        if flags & mark != 0 {
            text.push(',');
            text.push_str(word);
        }
    }
    text
}
