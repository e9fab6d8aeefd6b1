//! Writes objects by the profile's layout.

use std::collections::{BTreeMap, HashMap};

use osier_memory::{Paging, VirtAddr};
use osier_profile::{Kind, Profile};

use super::spaces::{Space, Spaces};

const PAGE: u64 = 4096;

/// An object: its structure, its address, and whose address that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) ty: &'static str,
    pub(super) at: VirtAddr,
    pub(super) space: Space,
}

impl Object {
    /// An object of the kernel half at a place that is given.
    pub(super) fn system(ty: &'static str, at: VirtAddr) -> Self {
        Self {
            ty,
            at,
            space: Space::SYSTEM,
        }
    }
}

/// Where a member lies in a structure.
#[derive(Clone, Copy)]
struct MemberAt {
    offset: u64,
    bytes: u64,
    bits: Option<(u8, u8)>,
}

/// What there is of the object manager.
#[derive(Default)]
pub(super) struct Manager {
    /// Types, by name: index and address.
    pub(super) kinds: HashMap<&'static str, (u64, VirtAddr)>,
    /// Directories by path, that of the root being `\`.
    pub(super) directories: HashMap<String, VirtAddr>,
    pub(super) devices: HashMap<String, VirtAddr>,
}

pub(super) struct Writer<'p> {
    pub(super) profile: &'p Profile,
    pub(super) spaces: Spaces,
    /// Base of the kernel image.
    pub(super) base: VirtAddr,
    /// Whether user mode has a table of its own (KVA shadow).
    pub(super) shadow: bool,
    /// What there is of the object manager; `None` until it is written, or where the layout has none.
    pub(super) manager: Option<Manager>,
    places: HashMap<(&'static str, String), Option<MemberAt>>,
    /// Where the kernel's pools go on.
    nonpaged: VirtAddr,
    paged: VirtAddr,
    /// First byte of every object of the pools, and one past it: no two may overlap.
    claimed: BTreeMap<u64, u64>,
}

impl<'p> Writer<'p> {
    pub(super) fn new(profile: &'p Profile, spaces: Spaces, base: VirtAddr, shadow: bool) -> Self {
        let (nonpaged, paged) = match spaces.mode {
            Paging::Long4 | Paging::Long5 => (0xffff_fa80_3000_0000, 0xffff_f8a0_0000_0000),
            _ => (0x9600_0000, PAGED_POOL_X86.0),
        };
        Self {
            profile,
            spaces,
            base,
            shadow,
            manager: None,
            places: HashMap::new(),
            nonpaged: VirtAddr(nonpaged),
            paged: VirtAddr(paged),
            claimed: BTreeMap::new(),
        }
    }

    /// Bytes of a pointer.
    pub(super) fn word(&self) -> u64 {
        u64::from(self.spaces.mode.pointer_bytes())
    }

    /// Whether the kernel has 64-bit pointers.
    pub(super) fn is_wide(&self) -> bool {
        self.word() == 8
    }

    /// Where `name` is in memory, if the profile knows it.
    pub(super) fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.profile.symbol(name).map(|rva| self.base.plus(rva))
    }

    /// As [`symbol`](Self::symbol), for one that every machine must have.
    pub(super) fn must(&self, name: &str) -> VirtAddr {
        self.symbol(name)
            .unwrap_or_else(|| panic!("the profile has no symbol {name}"))
    }

    // --- structures ---

    pub(super) fn has_type(&self, ty: &str) -> bool {
        self.profile.find_type(ty).is_some()
    }

    pub(super) fn size(&self, ty: &str) -> u64 {
        let found = self.profile.find_type(ty);
        found
            .unwrap_or_else(|| panic!("the profile has no type {ty}"))
            .bytes
    }

    /// Whether `ty` has the member that `path` names (`Pcb.DirectoryTableBase`).
    pub(super) fn has(&mut self, ty: &'static str, path: &str) -> bool {
        self.find(ty, path).is_some()
    }

    /// Offset of a member.
    pub(super) fn offset(&mut self, ty: &'static str, path: &str) -> u64 {
        self.place(ty, path).offset
    }

    /// The first of `paths` that `ty` has.
    pub(super) fn first_of(&mut self, ty: &'static str, paths: &[&'static str]) -> &'static str {
        let found = paths.iter().find(|path| self.has(ty, path));
        found.unwrap_or_else(|| panic!("{ty} has none of {paths:?}"))
    }

    fn place(&mut self, ty: &'static str, path: &str) -> MemberAt {
        self.find(ty, path)
            .unwrap_or_else(|| panic!("the profile has no {ty}.{path}"))
    }

    fn find(&mut self, ty: &'static str, path: &str) -> Option<MemberAt> {
        if let Some(place) = self.places.get(&(ty, path.to_owned())) {
            return *place;
        }
        let place = self.look_up(ty, path);
        self.places.insert((ty, path.to_owned()), place);
        place
    }

    fn look_up(&self, ty: &str, path: &str) -> Option<MemberAt> {
        let mut holder = self.profile.find_type(ty);
        let mut offset = 0_u64;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let member = holder?.member(part)?;
            offset = offset.wrapping_add_signed(member.offset);
            if parts.peek().is_none() {
                let bytes = match &member.kind {
                    Kind::Array { count, .. } if *count > 0 && member.bytes > 8 => {
                        member.bytes / count
                    }
                    // `_KPROCESS.DirectoryTableBase[2]` of a 32-bit kernel: the first is meant.
                    Kind::Array { count: 2, .. } => member.bytes / 2,
                    _ => member.bytes,
                };
                let bits = member.bits;
                return Some(MemberAt {
                    offset,
                    bytes,
                    bits,
                });
            }
            holder = match &member.kind {
                Kind::Embedded { name } => self.profile.find_type(name),
                _ => None,
            };
        }
        None
    }

    // --- members ---

    /// Writes a number, pointer or bit field. A source that does not tell the size of a member is
    /// taken to mean a pointer's width.
    pub(super) fn set(&mut self, object: Object, path: &str, value: u64) {
        let place = self.place(object.ty, path);
        let at = object.at.plus(place.offset);
        let width = match place.bytes {
            0 => self.word(),
            bytes => bytes,
        };
        assert!(width <= 8, "{}.{path} has {width} bytes", object.ty);
        let value = match place.bits {
            None => value,
            Some((first, count)) => {
                assert_eq!(value & !mask(count), 0, "{path} has {count} bits");
                let old = self.spaces.read_uint(object.space, at, width as usize);
                (old & !(mask(count) << first)) | (value << first)
            }
        };
        self.uint(object.space, at, value, width);
    }

    /// As [`set`](Self::set), where the structure has the member.
    pub(super) fn set_if(&mut self, object: Object, path: &str, value: u64) {
        if self.has(object.ty, path) {
            self.set(object, path, value);
        }
    }

    /// Writes a `LARGE_INTEGER`.
    pub(super) fn set_long(&mut self, object: Object, path: &str, value: u64) {
        let at = self.member(object, path);
        self.uint(object.space, at, value, 8);
    }

    /// Address of a member.
    pub(super) fn member(&mut self, object: Object, path: &str) -> VirtAddr {
        object.at.plus(self.offset(object.ty, path))
    }

    /// The member as an object of its own.
    pub(super) fn inner(&mut self, object: Object, path: &str, ty: &'static str) -> Object {
        Object {
            ty,
            at: self.member(object, path),
            space: object.space,
        }
    }

    /// The value that the fields of `ty` make when they are set as given; those that `ty` lacks
    /// are left out.
    pub(super) fn bits(&mut self, ty: &'static str, fields: &[(&str, u64)]) -> u64 {
        let mut value = 0;
        for (field, number) in fields {
            let Some(place) = self.find(ty, field) else {
                continue;
            };
            let (first, count) = place.bits.unwrap_or((0, 64));
            value |= (number & mask(count)) << first;
        }
        value
    }

    // --- bytes ---

    pub(super) fn bytes(&mut self, space: Space, va: VirtAddr, bytes: &[u8]) {
        self.spaces.write(space, va, bytes);
    }

    pub(super) fn uint(&mut self, space: Space, va: VirtAddr, value: u64, width: u64) {
        self.bytes(space, va, &value.to_le_bytes()[..width as usize]);
    }

    /// Writes a pointer of the kernel.
    pub(super) fn pointer(&mut self, space: Space, va: VirtAddr, to: VirtAddr) {
        self.uint(space, va, to.0, self.word());
    }

    /// Joins list entries of `width` bytes a link into one ring, the first being its head.
    pub(super) fn ring(&mut self, space: Space, entries: &[VirtAddr], width: u64) {
        for (i, entry) in entries.iter().enumerate() {
            let next = entries[(i + 1) % entries.len()];
            self.uint(space, *entry, next.0, width);
            self.uint(space, next.plus(width), entry.0, width);
        }
    }

    /// Writes a `_UNICODE_STRING` of the kernel whose text begins at `buffer`.
    pub(super) fn unicode(&mut self, string: Object, text: &str, buffer: VirtAddr) {
        let units = utf16(text);
        let bytes = units.len() as u64;
        self.set(string, "Length", bytes);
        self.set(string, "MaximumLength", bytes + 2);
        self.set(string, "Buffer", buffer.0);
        self.bytes(string.space, buffer, &units);
        self.bytes(string.space, buffer.plus(bytes), &[0, 0]);
    }

    // --- pools ---

    /// A new object of nonpaged pool, behind a pool header with `tag`.
    pub(super) fn pool(&mut self, tag: [u8; 4], ty: &'static str) -> Object {
        let bytes = self.size(ty);
        let at = self.nonpaged_room(tag, bytes);
        Object::system(ty, at)
    }

    /// So many bytes of nonpaged pool, behind a pool header with `tag`.
    pub(super) fn nonpaged_room(&mut self, tag: [u8; 4], bytes: u64) -> VirtAddr {
        let header = self.word() * 2;
        let mut at = VirtAddr(self.nonpaged.0.next_multiple_of(16)).plus(header);
        // What does not fit into the rest of the page starts a new one, as the pool has it.
        if at.in_page() + bytes > PAGE {
            at = VirtAddr(at.0.next_multiple_of(PAGE)).plus(header);
        }
        if bytes + header > PAGE {
            at = VirtAddr(at.0.next_multiple_of(PAGE));
        }
        self.nonpaged = at.plus(bytes);
        self.claim(at, bytes);
        self.tag(at, tag);
        at
    }

    /// So many bytes of paged pool.
    pub(super) fn paged_room(&mut self, bytes: u64) -> VirtAddr {
        let at = VirtAddr(self.paged.0.next_multiple_of(16));
        self.paged = at.plus(bytes);
        self.claim(at, bytes);
        at
    }

    /// The object at an address of the caller's choice, behind a pool header with `tag`.
    pub(super) fn pool_at(&mut self, tag: [u8; 4], ty: &'static str, at: VirtAddr) -> Object {
        let bytes = self.size(ty);
        self.claim(at, bytes);
        self.tag(at, tag);
        Object::system(ty, at)
    }

    /// So many bytes at an address of the caller's choice, behind a pool header with `tag`.
    pub(super) fn room_at(&mut self, tag: [u8; 4], at: VirtAddr, bytes: u64) {
        self.claim(at, bytes);
        self.tag(at, tag);
    }

    /// As [`pool`](Self::pool) or [`pool_at`](Self::pool_at), whichever is wanted.
    pub(super) fn pool_or_at(
        &mut self,
        tag: [u8; 4],
        ty: &'static str,
        at: Option<VirtAddr>,
    ) -> Object {
        match at {
            Some(at) => self.pool_at(tag, ty, at),
            None => self.pool(tag, ty),
        }
    }

    fn tag(&mut self, object: VirtAddr, tag: [u8; 4]) {
        // `_POOL_HEADER` is two words; its tag is the second 32 bits.
        let block = object.minus(self.word() * 2);
        self.bytes(Space::SYSTEM, block.plus(4), &tag);
        // Neither free nor, before Windows 8, of a kind that is not there.
        let header = Object::system("_POOL_HEADER", block);
        self.set_if(header, "PoolType", 3);
    }

    fn claim(&mut self, at: VirtAddr, bytes: u64) {
        let end = at.0.wrapping_add(bytes);
        let below = self.claimed.range(..end).next_back();
        assert!(
            below.is_none_or(|(_, other)| *other <= at.0),
            "two objects at {at:#x}"
        );
        self.claimed.insert(at.0, end);
        self.bytes(Space::SYSTEM, at, &vec![0; bytes as usize]);
    }
}

/// Where paged pool begins on x86: prototype entries are counted from there.
pub(super) const PAGED_POOL_X86: VirtAddr = VirtAddr(0xe100_0000);

fn mask(count: u8) -> u64 {
    u64::MAX >> (64 - u32::from(count.clamp(1, 64)))
}

/// The text as Windows stores it.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
