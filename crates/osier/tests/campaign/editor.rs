//! Members of the guest's structures, read and written by the profile.

use osier::osier_memory::{AddressSpace, PhysAddr, VirtAddr};
use osier::osier_profile::{Kind, Profile};

use crate::subject::Subject;

/// Words to write.
pub(crate) type Writes = Vec<(PhysAddr, Vec<u8>)>;

/// Reads and writes members of the guest's structures.
pub(crate) struct Editor<'a> {
    profile: &'a Profile,
    pub(crate) space: AddressSpace,
    slide: u64,
    /// Bytes of a pointer.
    pub(crate) width: usize,
}

impl<'a> Editor<'a> {
    pub(crate) fn of(subject: &'a Subject) -> Self {
        let profile = &*subject.profile;
        let linked = profile.symbol("_text").or_else(|| profile.symbol("_stext"));
        Self {
            profile,
            space: subject.space(),
            slide: subject.located.base().0.wrapping_sub(linked.unwrap_or(0)),
            width: usize::from(subject.located.mode().pointer_bytes()),
        }
    }

    /// The place of `path` in the object of type `ty` at `object`.
    pub(crate) fn place(&self, ty: &str, object: VirtAddr, path: &str) -> Option<VirtAddr> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let member = self.profile.find_type(ty)?.member(first)?;
        let at = VirtAddr(object.0.wrapping_add_signed(member.offset));
        match &member.kind {
            _ if rest.is_empty() => Some(at),
            Kind::Embedded { name } => self.place(name, at, rest),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, ty: &str, member: &str) -> Option<usize> {
        let bytes = self.profile.find_type(ty)?.member(member)?.bytes;
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| matches!(bytes, 1..=8))
    }

    pub(crate) fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let linked = self.profile.symbol(name)?;
        Some(
            self.space
                .mode()
                .canonicalise(VirtAddr(linked.wrapping_add(self.slide))),
        )
    }

    pub(crate) fn pointer(&self, at: VirtAddr) -> Option<VirtAddr> {
        self.space.read_pointer(at).ok()
    }

    /// The write of a pointer; none where the snapshot has no such page.
    pub(crate) fn put(&self, at: VirtAddr, value: VirtAddr) -> Writes {
        self.put_uint(at, value.0, self.width)
    }

    pub(crate) fn put_uint(&self, at: VirtAddr, value: u64, width: usize) -> Writes {
        let old = self.space.read_uint(at, width);
        match (old, self.space.translate(at)) {
            (Ok(_), Ok(pa)) => vec![(pa, value.to_le_bytes()[..width].to_vec())],
            _ => Vec::new(),
        }
    }

    /// The write that makes an integer member one less.
    pub(crate) fn less_one(&self, ty: &str, object: VirtAddr, member: &str) -> Writes {
        let place = self.place(ty, object, member).zip(self.bytes(ty, member));
        let Some((at, width)) = place else {
            return Vec::new();
        };
        let old = self.space.read_uint(at, width).unwrap_or(0);
        self.put_uint(at, old.wrapping_sub(1), width)
    }
}
