//! Kernel objects written by hand, for the tests of the walkers beside them.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::{AddressSpace, Paging, PhysAddr, PhysicalMemory, VirtAddr};
use osier_profile::{
    Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Resolver, Type, TypeKind,
};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

use crate::guest::Guest;
use crate::linux_policy;

/// Where physical memory is mapped.
const DIRECT: u64 = 0xffff_8880_0000_0000;
/// Page tables lie from here on, objects below.
const TABLES: u64 = 0x20_0000;

/// A memory that kernel objects are written into, mapped at [`DIRECT`].
#[derive(Clone)]
pub(crate) struct Toy {
    pub(crate) memory: MemoryBuilder,
    root: PhysAddr,
    next: u64,
    profile: ProfileBuilder,
}

/// What a member is, and its bytes.
pub(crate) enum Is {
    Int(u64),
    Pointer,
    Struct(&'static str, u64),
    Words(u64),
}

impl Toy {
    pub(crate) fn new() -> Self {
        let mut memory = MemoryBuilder::new(PhysAddr(TABLES));
        let tables = TableBuilder::new(Paging::Long4, &mut memory);
        let rights = Rights::KERNEL;
        tables.map(&mut memory, VirtAddr(DIRECT), PhysAddr(0), TABLES, rights);
        let identity = Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: Vec::new(),
            release: String::new(),
        };
        Self {
            memory,
            root: tables.root(),
            next: 0x1000,
            profile: ProfileBuilder::new(identity),
        }
    }

    /// A structure of `bytes` with its members and their offsets.
    pub(crate) fn structure(&mut self, name: &str, bytes: u64, members: &[(&str, i64, Is)]) {
        let members = members.iter().map(|(name, offset, is)| {
            let (bytes, kind) = match is {
                Is::Int(bytes) => (*bytes, Kind::Int { signed: false }),
                Is::Pointer => (8, Kind::Pointer { to: String::new() }),
                Is::Struct(name, bytes) => {
                    let name = (*name).to_owned();
                    (*bytes, Kind::Embedded { name })
                }
                Is::Words(count) => {
                    let of = Box::new(Kind::Int { signed: false });
                    (count * 8, Kind::Array { of, count: *count })
                }
            };
            Member {
                name: (*name).to_owned(),
                offset: *offset,
                bytes,
                bits: None,
                kind,
            }
        });
        let members = members.collect();
        let kind = TypeKind::Struct;
        self.profile
            .add_type(Type::new(name.to_owned(), kind, bytes, members));
    }

    /// A symbol at `at`.
    pub(crate) fn symbol(&mut self, name: &str, at: VirtAddr) {
        self.profile.add_symbol(name, at.0);
    }

    /// Room for an object of `bytes`, at a multiple of `align`, all zeros.
    pub(crate) fn room(&mut self, bytes: u64, align: u64) -> VirtAddr {
        let at = self.next.next_multiple_of(align);
        self.next = at + bytes;
        assert!(self.next <= TABLES, "the toy's memory is full");
        let last = PhysAddr(self.next - 1);
        self.memory.touch(PhysAddr(at));
        self.memory.touch(last);
        VirtAddr(DIRECT + at)
    }

    /// The same, on a page of its own.
    pub(crate) fn page(&mut self) -> VirtAddr {
        let at = self.room(0x1000, 0x1000);
        self.next = self.next.next_multiple_of(0x1000);
        at
    }

    pub(crate) fn pa(at: VirtAddr) -> PhysAddr {
        PhysAddr(at.0 - DIRECT)
    }

    pub(crate) fn put(&mut self, at: VirtAddr, offset: u64, value: u64) {
        self.memory.write_u64(Self::pa(at.plus(offset)), value);
    }

    pub(crate) fn put_u32(&mut self, at: VirtAddr, offset: u64, value: u32) {
        self.memory.write_u32(Self::pa(at.plus(offset)), value);
    }

    /// A string with its NUL.
    pub(crate) fn text(&mut self, text: &[u8]) -> VirtAddr {
        let at = self.room(text.len() as u64 + 1, 8);
        self.memory.write_bytes(Self::pa(at), text);
        at
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile.clone().build()
    }

    /// Resolves a layout that must not miss anything of the structures that the toy has.
    pub(crate) fn resolve<T>(&self, resolve: impl FnOnce(&mut Resolver<'_>) -> T) -> T {
        let profile = self.profile();
        let mut resolver = Resolver::new(&profile);
        let layout = resolve(&mut resolver);
        let misses = resolver
            .finish()
            .err()
            .map_or_else(Vec::new, |missed| missed.misses);
        // Of a task most toys have what one reader reads.
        let own = |structure| structure != "task_struct" && profile.find_type(structure).is_some();
        let missed: Vec<_> = misses.iter().filter(|miss| own(miss.structure)).collect();
        assert!(missed.is_empty(), "{missed:?}");
        layout
    }

    /// The guest, read through this toy's memory.
    pub(crate) fn guest(&self) -> Guest {
        self.guest_in(Arc::new(self.memory.clone()))
    }

    /// The guest, read through another memory, such as one with a page hidden.
    pub(crate) fn guest_in(&self, memory: Arc<dyn PhysicalMemory>) -> Guest {
        Guest {
            space: AddressSpace::new(memory, Paging::Long4, self.root, linux_policy),
            profile: Arc::new(self.profile()),
            slide: 0,
            user_end: 1 << 47,
            code: VirtAddr(0)..VirtAddr(0),
            cpus: Vec::new(),
        }
    }
}
