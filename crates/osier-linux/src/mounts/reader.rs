//! What is said of one mount: a line of `/proc/PID/mountinfo`.

use foldhash::HashSet;

use osier_memory::VirtAddr;
use osier_osi::{Absent, Mount, Seen};
use osier_profile::{Field, Ptr, Resolver, SInt, UInt};

use crate::layouts::files::{self as layouts, SuperBlock, VfsMount};
use crate::path::Place;
use crate::{Linux, symbols};

/// Longest name of a source or a subtype that is believed: a page.
const NAME_LIMIT: usize = 4096;
/// Longest chain of masters that is believed.
const MASTERS: usize = 1 << 16;
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

/// Reads mounts.
pub(super) struct Reader<'a> {
    pub(super) linux: &'a Linux,
    pub(super) mount: layouts::Mount,
    pub(super) inner: VfsMount,
    super_block: SuperBlock,
    /// The root directory of the process that sees them.
    pub(super) root: Place,
}

/// What a row needs that all rows must be known for.
pub(super) struct Peers {
    pub(super) group: Seen<i64>,
    pub(super) shared: Seen<bool>,
    unbindable: Seen<bool>,
}

impl<'a> Reader<'a> {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, linux: &'a Linux, root: Place) -> Self {
        let outer = layouts::Mount::resolve(resolver);
        let inner = VfsMount::resolve(resolver);
        let mount = if outer.mnt.is_some() {
            outer
        } else {
            layouts::Mount {
                size: inner.size,
                mnt: Some(Field::at(0, 0, None)),
                mnt_parent: inner.mnt_parent,
                mnt_mountpoint: inner.mnt_mountpoint,
                mnt_mounts: inner.mnt_mounts,
                mnt_child: inner.mnt_child,
                mnt_list: inner.mnt_list,
                mnt_node: inner.mnt_node,
                mnt_ns: inner.mnt_ns,
                mnt_id: inner.mnt_id,
                mnt_group_id: inner.mnt_group_id,
                mnt_master: inner.mnt_master,
                mnt_devname: inner.mnt_devname,
                mnt_t_flags: inner.mnt_t_flags,
            }
        };
        Self {
            linux,
            mount,
            inner,
            super_block: SuperBlock::resolve(resolver),
            root,
        }
    }

    pub(super) fn vfsmount(&self, mount: VirtAddr) -> VirtAddr {
        self.mount.mnt.map_or(mount, |field| field.place(mount))
    }

    /// The row of a mount that stands on `parent`; `None` when the process's root directory does not lead to it.
    pub(super) fn row(&self, mount: VirtAddr, parent: Seen<VirtAddr>) -> Option<Mount> {
        let guest = &self.linux.guest;
        let paths = &self.linux.maps.paths;
        let vfsmount = self.vfsmount(mount);
        let own = paths.mounted_root(guest, vfsmount).and_then(|own| {
            paths.lies_in_its_mount(guest, own)?;
            Ok(own)
        });
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

    pub(super) fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    fn signed(&self, field: Option<Field<SInt>>, base: VirtAddr) -> Seen<i64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    /// A pointer to an object that must be there.
    pub(super) fn object(&self, field: Option<Field<Ptr<()>>>, base: VirtAddr) -> Seen<VirtAddr> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let at = field.read(&self.linux.guest.space, base)?;
        if self.linux.guest.can_be_object(at) {
            return Ok(at);
        }
        let rule = "a mount's links are aligned addresses of the kernel";
        Err(Absent::implausible(at.0, rule, Some(field.place(base))))
    }

    pub(super) fn number(&self, mount: VirtAddr) -> Seen<u32> {
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

    pub(super) fn peers(&self, mount: VirtAddr) -> Peers {
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
    pub(super) fn propagation(
        &self,
        mount: VirtAddr,
        peers: &Peers,
        groups: &HashSet<i64>,
    ) -> Seen<String> {
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
