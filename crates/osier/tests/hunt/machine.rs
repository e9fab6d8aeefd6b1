//! A real machine's memory, to change words of it by the profile.

use std::sync::Arc;

use osier::osier_memory::{AddressSpace, Machine as Memory, VirtAddr};
use osier::osier_profile::{Kind, Profile};
use osier::osier_snapshot::Snapshot;
use osier::{Guest, Located, Options, ProfileSource, Shared, open_snapshot};
use osier_testkit::FlatMemory;
use osier_testkit::need::Real;

pub(crate) struct Machine {
    snapshot: Snapshot,
    located: Located,
    profile: Arc<Profile>,
    bytes: Vec<u8>,
    space: AddressSpace,
    slide: u64,
}

impl Machine {
    pub(crate) fn of(real: &Real) -> Self {
        let file = real.path.join("memory.raw");
        let options = Options::default();
        let snapshot = open_snapshot(&file, &options).unwrap();
        let shared = Shared::new(&options).unwrap();
        let located = shared.locate(&snapshot, &[]).unwrap();
        let (profile, _) = shared.profile(&snapshot, &located).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let text = profile.symbol("_text").unwrap();
        let slide = located.base().0.wrapping_sub(text);
        let mut machine = Self {
            space: located.space(&snapshot.machine),
            snapshot,
            located,
            profile,
            bytes,
            slide,
        };
        machine.space = machine.guest().provider().kernel_space().clone();
        machine
    }

    /// The guest, with what was changed.
    pub(crate) fn guest(&self) -> Guest {
        let memory = Memory {
            memory: Arc::new(FlatMemory::new(self.bytes.clone())),
            ..self.snapshot.machine.clone()
        };
        let snapshot = Snapshot {
            machine: memory,
            info: self.snapshot.info.clone(),
        };
        let (located, profile) = (self.located.clone(), self.profile.clone());
        Guest::with(snapshot, located, profile, ProfileSource::Given).unwrap()
    }

    pub(crate) fn word(&self) -> usize {
        usize::from(self.space.mode().pointer_bytes())
    }

    pub(crate) fn symbol(&self, name: &str) -> VirtAddr {
        let linked = self.profile.symbol(name).unwrap();
        let address = VirtAddr(linked.wrapping_add(self.slide));
        self.space.mode().canonicalise(address)
    }

    pub(crate) fn place(&self, ty: &str, object: VirtAddr, path: &str) -> VirtAddr {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let member = self.profile.find_type(ty).unwrap().member(first).unwrap();
        let at = VirtAddr(object.0.wrapping_add_signed(member.offset));
        match &member.kind {
            _ if rest.is_empty() => at,
            Kind::Embedded { name } => self.place(name, at, rest),
            other => panic!("{ty}.{path}: {other:?}"),
        }
    }

    /// Bytes of a structure.
    pub(crate) fn size(&self, ty: &str) -> u64 {
        self.profile.find_type(ty).unwrap().bytes
    }

    /// Where the marks of the mapping at `modd` stand.
    pub(crate) fn flags_of_mapping(&self, modd: VirtAddr) -> VirtAddr {
        let ty = self.profile.find_type("vm_area_struct").unwrap();
        let name = ["vm_flags", "__vm_flags", "flags"]
            .into_iter()
            .find(|name| ty.member(name).is_some());
        self.place("vm_area_struct", modd, name.unwrap())
    }

    pub(crate) fn pointer(&self, at: VirtAddr) -> VirtAddr {
        let pa = self.space.translate(at).unwrap().0 as usize;
        let mut whole = [0; 8];
        whole[..self.word()].copy_from_slice(&self.bytes[pa..pa + self.word()]);
        VirtAddr(u64::from_le_bytes(whole))
    }

    pub(crate) fn bytes<const N: usize>(&self, at: VirtAddr) -> [u8; N] {
        let mut bytes = [0; N];
        for (byte, at) in bytes.iter_mut().zip((0..).map(|offset| at.plus(offset))) {
            *byte = self.bytes[self.space.translate(at).unwrap().0 as usize];
        }
        bytes
    }

    pub(crate) fn put(&mut self, at: VirtAddr, bytes: &[u8]) {
        let pa = self.space.translate(at).unwrap().0 as usize;
        self.bytes[pa..pa + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes into another address space.
    pub(crate) fn put_in(&mut self, space: &AddressSpace, at: VirtAddr, bytes: &[u8]) {
        let pa = space.translate(at).unwrap().0 as usize;
        self.bytes[pa..pa + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn put_pointer(&mut self, at: VirtAddr, to: VirtAddr) {
        let bytes = to.0.to_le_bytes();
        let word = self.word();
        self.put(at, &bytes[..word]);
    }

    /// Takes the node at `node` out of its list, as `list_del` does but for the poison in its own links.
    pub(crate) fn unlink(&mut self, node: VirtAddr) {
        let word = self.word() as u64;
        let (next, prev) = (self.pointer(node), self.pointer(node.plus(word)));
        self.put_pointer(prev, next);
        self.put_pointer(next.plus(word), prev);
    }
}
