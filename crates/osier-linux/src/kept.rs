//! Files of which the kernel keeps pages, whoever used them: every inode of every file system.
//!
//! File systems are in the list `super_blocks`, their inodes in `super_block.s_inodes`. An inode is called
//! what its first `dentry` (`i_dentry`) is, and lies where a process sees that file system mounted. The
//! kernel forgets names before pages: many a file has no `dentry` any more.

use std::ops::ControlFlow;

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Each, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, KeptFile, Seen, WalkEnd, WalkEnds, Why};
use osier_profile::{Embed, Field, Ptr, Resolver};

use crate::layouts::files::{Dentry, Inode, Mount, SuperBlock};
use crate::path::Place;
use crate::{Linux, list, mounts, page_cache, symbols, tasks};

/// The names of the walks in their endings.
const SYSTEMS: &str = "file systems";
const INODES: &str = "inodes";
/// Steps of all trees of pages together: more than any machine has pages.
const STEPS: u64 = 1 << 26;
/// Inodes of all file systems together, and endings that are told of them: more than any machine has.
const INODES_MOST: usize = 1 << 26;
const ENDS_MOST: usize = 1 << 16;
/// Most steps from a `dentry` to the root of its file system that are believed.
const CLIMB: usize = 4096;
/// The bits of `i_mode` that say what a file is.
const S_IFMT: u64 = 0o17_0000;
/// Those of a regular file.
const S_IFREG: u64 = 0o10_0000;

/// Calls `row` for each file of which pages are in memory.
pub(crate) fn files(linux: &Linux, row: Each<'_, KeptFile>) -> WalkEnds {
    let mut ends = WalkEnds::default();
    let Some(walk) = Walk::new(linux) else {
        return WalkEnds::one(
            SYSTEMS,
            WalkEnd::no_start("members of super_block and inode in the profile", None),
        );
    };
    let Some(head) = linux.guest.symbol(symbols::super_blocks) else {
        return WalkEnds::one(
            SYSTEMS,
            WalkEnd::no_start("super_blocks in the profile", None),
        );
    };
    let mounted = walk.mounted(&mut ends);
    let mut steps = STEPS;
    let mut left = INODES_MOST;
    let systems = list::ring(&linux.guest, head);
    ends.add(SYSTEMS, systems.end);
    for node in systems.nodes {
        let at = walk.s_list.container(node);
        let name = linux.maps.paths.inodes().system_name(&linux.guest, at);
        let system = System {
            at,
            name: match name {
                Ok(Some(name)) if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) => {
                    let rule = "the type of a file system has letters (s_type->name)";
                    Err(Absent::implausible(at.0, rule, Some(at)))
                }
                Ok(name) => name.ok_or_else(Absent::not_in_this_kernel),
                Err(fault) => Err(Absent::unreadable(fault)),
            },
            places: mounted.get(&at),
        };
        let inodes = list::ring(&linux.guest, walk.s_inodes.place(system.at));
        ends.add(INODES, inodes.end);
        // Every file system may say that the same long list is its own.
        let Some(rest) = left.checked_sub(inodes.nodes.len()) else {
            let after = INODES_MOST;
            ends.add(INODES, WalkEnd::Limit { after });
            return ends;
        };
        left = rest;
        for node in inodes.nodes {
            let inode = walk.i_sb_list.container(node);
            let Some(file) = walk.file(&system, inode, &mut steps, &mut ends) else {
                continue;
            };
            if row(file).is_break() {
                return ends.stopped(SYSTEMS);
            }
        }
    }
    ends
}

/// A file system, what type it is of, and where it is mounted.
struct System<'a> {
    at: VirtAddr,
    name: Seen<Vec<u8>>,
    places: Option<&'a Vec<Place>>,
}

impl System<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Ok(name.as_bytes())
    }
}

/// What the walk reads; there when the profile has all of it.
struct Walk<'a> {
    linux: &'a Linux,
    s_list: Field<Embed<()>>,
    s_inodes: Field<Embed<()>>,
    i_sb_list: Field<Embed<()>>,
    i_mapping: Field<Ptr<()>>,
    i_data: Field<Embed<()>>,
    inode: Inode,
    dentry: Dentry,
}

impl<'a> Walk<'a> {
    fn new(linux: &'a Linux) -> Option<Self> {
        let profile = linux.guest.profile.clone();
        let mut resolver = Resolver::new(&profile);
        let system = SuperBlock::resolve(&mut resolver);
        let inode = Inode::resolve(&mut resolver);
        let dentry = Dentry::resolve(&mut resolver);
        Some(Self {
            linux,
            s_list: system.s_list?,
            s_inodes: system.s_inodes?,
            i_sb_list: inode.i_sb_list?,
            i_mapping: inode.i_mapping?,
            i_data: inode.i_data?,
            inode,
            dentry,
        })
    }

    /// The roots of all mounts that processes see, by file system, those of the first process first.
    fn mounted(&self, ends: &mut WalkEnds) -> HashMap<VirtAddr, Vec<Place>> {
        let paths = &self.linux.maps.paths;
        let guest = &self.linux.guest;
        let profile = guest.profile.clone();
        let outer = Mount::resolve(&mut Resolver::new(&profile)).mnt;
        let mut all: HashMap<VirtAddr, Vec<Place>> = HashMap::new();
        let mut odd: Option<(VirtAddr, usize)> = None;
        let leaders = tasks::leaders(self.linux);
        ends.join(leaders.ends);
        for (taskd, _) in leaders.rows {
            let walked = mounts::mounts(self.linux, taskd, &mut |mount| {
                let mnt = outer.map_or(mount.address, |field| field.place(mount.address));
                let met = paths.mounted_root(guest, mnt).and_then(|place| {
                    let system = paths.mounted_system(guest, mnt)?;
                    Ok((system, place))
                });
                match met {
                    Ok((Some(system), place))
                        if guest.can_be_object(system) && guest.can_be_object(place.dentry) =>
                    {
                        let places = all.entry(system).or_default();
                        if !places.contains(&place) {
                            places.push(place);
                        }
                    }
                    Ok((None, _)) => {}
                    Err(absent) if !absent.is_loss() => {}
                    // Files of that system would seem to be mounted nowhere.
                    Ok(_) | Err(_) => {
                        let (at, count) = odd.unwrap_or((mnt, 0));
                        odd = Some((at, count.saturating_add(1)));
                    }
                }
                ControlFlow::Continue(())
            });
            ends.join(walked);
        }
        if let Some((at, values)) = odd {
            ends.add("mounts", WalkEnd::Implausible { at, values });
        }
        all
    }

    /// The file of the inode; `None` when it has no pages, or those of another.
    fn file(
        &self,
        system: &System<'_>,
        inode: VirtAddr,
        steps: &mut u64,
        ends: &mut WalkEnds,
    ) -> Option<KeptFile> {
        let guest = &self.linux.guest;
        let cache = &self.linux.page_cache;
        let mapping = self.i_data.place(inode);
        match self.has_own_pages(system, inode, mapping) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(end) => {
                if ends.0.len() < ENDS_MOST {
                    ends.add(INODES, end);
                }
                return None;
            }
        }
        let inodes = self.linux.maps.paths.inodes();
        let pages = cache.count(guest, mapping, steps);
        if matches!(pages, Ok((0, _))) {
            return None;
        }
        let end = pages.as_ref().map_or(0, |(_, end)| *end);
        let cached = if system.is("hugetlbfs") {
            let why = "hugetlbfs counts in pages of its own";
            Err(Absent::not_applicable(why))
        } else {
            pages.map(|(pages, _)| pages.saturating_mul(PAGE_BYTES))
        };
        let dentry = self.dentry(system, inode);
        let path = dentry.clone().and_then(|dentry| self.path(system, dentry));
        let inside = dentry.clone().and_then(|dentry| {
            let mnt = VirtAddr(0);
            let place = Place { mnt, dentry };
            self.linux.maps.paths.of_mount(guest, place)
        });
        Some(KeptFile {
            path,
            inside,
            kind: self.kind(inode, dentry.is_ok()),
            system: system.name.clone(),
            device: inodes.device(guest, system.at),
            inode: self.number(system, inode, dentry.is_ok()),
            size: self.size(system, mapping, (end, dentry.is_ok()), inode),
            cached,
            mapping,
        })
    }

    /// Whether the pages of the inode, if it has some, are its own; why that cannot be told.
    fn has_own_pages(
        &self,
        system: &System<'_>,
        inode: VirtAddr,
        mapping: VirtAddr,
    ) -> Result<bool, WalkEnd> {
        let guest = &self.linux.guest;
        let (from, to) = (inode, None);
        let broken = |fault| WalkEnd::BrokenLink { from, to, fault };
        let of = self.linux.maps.paths.inodes().super_block(guest, inode);
        if of.as_ref() != Ok(&system.at) {
            return Err(WalkEnd::Inconsistent {
                at: inode,
                back_link: of.unwrap_or(VirtAddr(0)),
                expected: system.at,
            });
        }
        let own = match self.linux.maps.paths.inodes().mapping(guest, inode) {
            Ok(own) => own,
            Err(absent) => match absent.why {
                Why::Unreadable(fault) => return Err(broken(fault)),
                Why::Implausible { raw, .. } => VirtAddr(raw),
                Why::NotApplicable(_) | Why::NotInThisKernel => return Ok(false),
            },
        };
        if own == mapping {
            // What is empty says so by zeros, which lost memory has, too.
            return match self.linux.page_cache.owner(guest, mapping) {
                Ok(owner) if owner == inode => Ok(true),
                other => Err(WalkEnd::Inconsistent {
                    at: mapping,
                    back_link: other.unwrap_or(VirtAddr(0)),
                    expected: inode,
                }),
            };
        }
        // A device's file: the device has an inode of its own, which is listed with its file system.
        let owner = self.linux.page_cache.owner(guest, own);
        if owner.is_ok_and(|owner| owner != inode && self.i_data.place(owner) == own) {
            return Ok(false);
        }
        Err(WalkEnd::Inconsistent {
            at: self.i_mapping.place(inode),
            back_link: own,
            expected: mapping,
        })
    }

    /// Its length, which its last page lies before, or what is left of a huge page. Pages of tmpfs may be promised
    /// behind it (`FALLOC_FL_KEEP_SIZE`).
    fn size(
        &self,
        system: &System<'_>,
        mapping: VirtAddr,
        (end, named): (u64, bool),
        inode: VirtAddr,
    ) -> Seen<u64> {
        /// Pages of the largest page that is behind a file's end.
        const HUGE: u64 = 512;
        let size = self
            .linux
            .page_cache
            .file(&self.linux.guest, mapping)
            .size?;
        if size == 0 && end > 0 && !named {
            // ext4's bitmaps (`s_buddy_cache`), f2fs's nodes.
            let why = "what a file system keeps for itself has no length";
            return Err(Absent::not_applicable(why));
        }
        // fs-verity keeps its tree of sums behind the end, from the next 64 KiB on: at most a fifteenth.
        let pages = size.div_ceil(PAGE_BYTES);
        let pages = pages.saturating_add(pages / 15).saturating_add(32);
        let pages = pages.next_multiple_of(HUGE);
        let pages = if size == 0 { 0 } else { pages };
        if end > pages && !system.is("tmpfs") && !system.is("hugetlbfs") {
            let rule = "no page of a file lies behind its end (i_size)";
            return Err(Absent::implausible(size, rule, Some(inode)));
        }
        Ok(size)
    }

    /// Its number. That of a segment of System V's shared memory, which no process has mounted, is the segment's,
    /// which may be 0, as may be that of an inode that a file system keeps for itself.
    fn number(&self, system: &System<'_>, inode: VirtAddr, named: bool) -> Seen<u64> {
        let guest = &self.linux.guest;
        match self.inode.i_ino {
            Some(field) if system.places.is_none() || !named => {
                Ok(field.read(&guest.space, inode)?)
            }
            _ => self.linux.maps.paths.inodes().number(guest, inode),
        }
    }

    fn kind(&self, inode: VirtAddr, named: bool) -> Seen<&'static str> {
        let field = self.inode.i_mode.ok_or_else(Absent::not_in_this_kernel)?;
        let mode = field.read(&self.linux.guest.space, inode)?;
        match mode & S_IFMT {
            S_IFREG => Ok("regular"),
            0o04_0000 => Ok("directory"),
            0o12_0000 => Ok("link"),
            0o06_0000 => Ok("block"),
            0 if mode == 0 && !named => Ok("internal"),
            _ => {
                let rule =
                    "what has pages is a file, a directory, a link or a block device (i_mode)";
                Err(Absent::implausible(mode, rule, Some(field.place(inode))))
            }
        }
    }

    /// The first name of the inode.
    fn dentry(&self, system: &System<'_>, inode: VirtAddr) -> Seen<VirtAddr> {
        let guest = &self.linux.guest;
        let (Some(names), Some(alias), Some(d_inode)) = (
            self.inode.i_dentry,
            self.dentry.d_alias,
            self.dentry.d_inode,
        ) else {
            return Err(Absent::not_in_this_kernel());
        };
        let place = names.place(inode);
        let first = guest.space.read_pointer(place)?;
        if first.is_null() || first == place {
            if system.name.as_deref().is_ok_and(page_cache::is_memory) {
                let rule = "a file that is nowhere but in memory has a name (i_dentry)";
                return Err(Absent::implausible(0, rule, Some(place)));
            }
            let why = "the kernel has forgotten its name and keeps its pages";
            return Err(Absent::not_applicable(why));
        }
        let dentry = alias.container(first);
        if !guest.can_be_object(dentry) {
            let rule = "an inode's names are dentries, aligned addresses of the kernel (i_dentry)";
            return Err(Absent::implausible(first.0, rule, Some(place)));
        }
        let named = d_inode.read(&guest.space, dentry)?;
        if named != inode {
            let rule = "a dentry among an inode's names is of it (d_inode)";
            return Err(Absent::implausible(
                named.0,
                rule,
                Some(d_inode.place(dentry)),
            ));
        }
        Ok(dentry)
    }

    /// The path of the `dentry` where its file system is mounted: by the first mount whose root is above it. Mounts
    /// of a part of the file system (`mount --bind`) come behind that of the whole.
    fn path(&self, system: &System<'_>, dentry: VirtAddr) -> Seen<Vec<u8>> {
        let guest = &self.linux.guest;
        let parent = self
            .dentry
            .d_parent
            .ok_or_else(Absent::not_in_this_kernel)?;
        let mut above = vec![dentry];
        let mut at = dentry;
        loop {
            if above.len() > CLIMB {
                let rule = "a path reaches a root in 4096 steps";
                return Err(Absent::implausible(dentry.0, rule, Some(dentry)));
            }
            let next = parent.read(&guest.space, at)?;
            if next == at {
                break;
            }
            above.push(next);
            at = next;
        }
        let mut places = system.places.into_iter().flatten();
        let Some(place) = places.find(|place| above.contains(&place.dentry)) else {
            let why = "no process has it mounted where it sees it";
            return Err(Absent::not_applicable(why));
        };
        let mnt = place.mnt;
        self.linux.maps.paths.at(guest, Place { mnt, dentry })
    }
}
