//! A golden snapshot of a 64-bit guest with one word of its memory changed.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::{Guest, Options};

/// A golden snapshot that is being changed.
pub(crate) struct Lie {
    bytes: Vec<u8>,
    guest: Guest,
}

impl Lie {
    /// The golden snapshot `name`.
    pub(crate) fn of(name: &str) -> Self {
        let path = osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"));
        Self {
            bytes: fs::read(&path).unwrap(),
            guest: Guest::open(&path, &Options::default()).unwrap(),
        }
    }

    /// The `task_struct` of the process with this pid.
    pub(crate) fn task(&self, pid: u32) -> VirtAddr {
        osier::ask::by_pid(&*self.guest.provider(), pid).0[0]
    }

    /// Writes `value` over the start of the member of the struct at `base`.
    pub(crate) fn poke(&mut self, base: VirtAddr, (ty, member): (&str, &str), value: &[u8]) {
        let ty = self.guest.profile().find_type(ty).unwrap();
        let offset = ty.member(member).unwrap().offset;
        self.put(base.plus(offset.try_into().unwrap()), value);
    }

    fn put(&mut self, va: VirtAddr, value: &[u8]) {
        let walk = self.guest.provider().kernel_space().walk(va);
        let at = self.place(walk.outcome.unwrap().pa);
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// The file offset of a physical address.
    fn place(&self, pa: PhysAddr) -> usize {
        let word = |at: usize, len: usize| {
            let bytes = self.bytes[at..at + len].iter().rev();
            bytes.fold(0, |value, byte| value << 8 | usize::from(*byte))
        };
        let pa = usize::try_from(pa.0).unwrap();
        let (first, count) = (word(0x20, 8), word(0x38, 2));
        let headers = (0..count).map(|number| first + 56 * number);
        let loads = headers.filter(|&at| word(at, 4) == 1);
        let mut places = loads.filter_map(|at| {
            let (offset, start, len) = (word(at + 8, 8), word(at + 24, 8), word(at + 32, 8));
            (start..start + len)
                .contains(&pa)
                .then(|| offset + pa - start)
        });
        places.next().unwrap()
    }

    /// Writes the changed snapshot to `path`.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        fs::write(path, &self.bytes).unwrap();
        path.to_owned()
    }
}
