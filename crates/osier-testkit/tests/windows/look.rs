//! A bare reader of what the writer wrote: lists and strings by the profile's offsets, pages as
//! the processor reads them. No provider's code.

use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr, hardware_policy};
use osier_profile::{Kind, Profile};

pub(crate) struct Look<'p> {
    pub(crate) profile: &'p Profile,
    pub(crate) space: AddressSpace,
    word: usize,
}

impl<'p> Look<'p> {
    pub(crate) fn new(
        profile: &'p Profile,
        machine: &Machine,
        mode: Paging,
        root: PhysAddr,
    ) -> Self {
        let memory = machine.memory.clone();
        Self {
            profile,
            space: AddressSpace::new(memory, mode, root, hardware_policy),
            word: usize::from(mode.pointer_bytes()),
        }
    }

    /// The same machine through another table.
    pub(crate) fn through(&self, root: PhysAddr) -> Self {
        Self {
            profile: self.profile,
            space: self.space.with_root(root),
            word: self.word,
        }
    }

    pub(crate) fn symbol(&self, base: VirtAddr, name: &str) -> VirtAddr {
        base.plus(self.profile.symbol(name).expect(name))
    }

    /// Offset and size of a member.
    pub(crate) fn place(&self, ty: &str, path: &str) -> (u64, usize) {
        let (mut ty, mut offset) = (ty.to_owned(), 0);
        for part in path.split('.') {
            let found = self.profile.find_type(&ty).expect(&ty);
            let member = found.member(part).unwrap_or_else(|| panic!("{ty}.{part}"));
            offset += u64::try_from(member.offset).unwrap();
            if let Kind::Embedded { name } = &member.kind {
                ty.clone_from(name);
            }
            if path.ends_with(part) && !matches!(member.kind, Kind::Embedded { .. }) {
                return (offset, usize::try_from(member.bytes).unwrap());
            }
        }
        (offset, 0)
    }

    pub(crate) fn get(&self, at: VirtAddr, ty: &str, path: &str) -> u64 {
        let (offset, bytes) = self.place(ty, path);
        let bytes = if (1..=8).contains(&bytes) {
            bytes
        } else {
            self.word
        };
        let value = self.space.read_uint(at.plus(offset), bytes);
        value.unwrap_or_else(|fault| panic!("{ty}.{path} at {at}: {fault:?}"))
    }

    pub(crate) fn pointer(&self, at: VirtAddr) -> VirtAddr {
        VirtAddr(self.space.read_uint(at, self.word).expect("a pointer"))
    }

    /// The objects on a ring, both of whose directions must agree.
    pub(crate) fn ring(&self, head: VirtAddr, link: u64) -> Vec<VirtAddr> {
        let mut found = Vec::new();
        let (mut before, mut at) = (head, self.pointer(head));
        while at != head {
            assert_eq!(self.pointer(at.plus(self.word as u64)), before, "back link");
            assert!(found.len() < 10_000, "no end");
            found.push(at.minus(link));
            before = at;
            at = self.pointer(at);
        }
        assert_eq!(
            self.pointer(head.plus(self.word as u64)),
            before,
            "back link"
        );
        found
    }

    pub(crate) fn text(&self, at: VirtAddr, ty: &str, path: &str) -> String {
        let (offset, _) = self.place(ty, path);
        self.unicode(at.plus(offset))
    }

    fn unicode(&self, string: VirtAddr) -> String {
        let bytes = self.space.read_uint(string, 2).expect("a length");
        let buffer = self.pointer(string.plus(self.word as u64));
        let mut units = vec![0; usize::try_from(bytes).unwrap()];
        self.space.read(buffer, &mut units).expect("a text");
        let units: Vec<u16> = units
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        String::from_utf16(&units).expect("UTF-16")
    }
}
