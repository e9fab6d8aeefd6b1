//! Genuine x86 page tables, written as the processor's manual describes them.

use osier_memory::{Paging, PhysAddr, VirtAddr};

use crate::MemoryBuilder;
use osier_memory::PhysicalMemory;

/// What a mapping allows. The default is a kernel page: writable, global, executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Bits or-ed into the entry that maps the page, besides present and PS.
    pub entry: u64,
    /// Whether the upper levels let user mode in.
    pub user: bool,
}

impl Rights {
    /// A kernel page: present, writable, accessed, dirty, global.
    pub const KERNEL: Self = Self {
        entry: 0x163,
        user: false,
    };
    /// A user page: present, writable, user, accessed, dirty.
    pub const USER: Self = Self {
        entry: 0x067,
        user: true,
    };
}

/// A page table being written. Upper tables are made as they are needed.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    mode: Paging,
    root: PhysAddr,
}

impl TableBuilder {
    /// A new, empty table in `memory`.
    pub fn new(mode: Paging, memory: &mut MemoryBuilder) -> Self {
        let root = memory.allocate();
        Self { mode, root }
    }

    /// A table at a root of the caller's choice, such as one that PAE aligns to 32 bytes only.
    pub fn at(mode: Paging, memory: &mut MemoryBuilder, root: PhysAddr) -> Self {
        memory.touch(root);
        Self { mode, root }
    }

    /// Physical address of the root table.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// Maps the page of `page_bytes` at `va` to `pa`.
    pub fn map(
        &self,
        memory: &mut MemoryBuilder,
        va: VirtAddr,
        pa: PhysAddr,
        page_bytes: u64,
        rights: Rights,
    ) {
        let depth = levels_above(self.mode, page_bytes);
        let at = self.entry(memory, va, depth, rights.user);
        let large = page_bytes > 0x1000;
        let mut entry = rights.entry | 1;
        if large {
            entry |= 0x80;
        }
        if large && matches!(self.mode, Paging::Legacy) {
            // PSE-36: bits 39:32 of the address go to bits 20:13 of the entry.
            entry |= (pa.0 & 0xffc0_0000) | ((pa.0 >> 32 & 0xff) << 13);
        } else {
            entry |= pa.0;
        }
        memory.write_uint(at, entry, self.width());
    }

    /// Maps 4 KiB pages from `va` to the same number of frames from `pa`.
    pub fn map_run(
        &self,
        memory: &mut MemoryBuilder,
        va: VirtAddr,
        pa: PhysAddr,
        pages: u64,
        rights: Rights,
    ) {
        for page in 0..pages {
            let by = page * 0x1000;
            self.map(memory, va.plus(by), pa.plus(by), 0x1000, rights);
        }
    }

    /// Writes `entry` as it is where the page of `page_bytes` at `va` is mapped.
    pub fn write_entry(
        &self,
        memory: &mut MemoryBuilder,
        va: VirtAddr,
        page_bytes: u64,
        entry: u64,
    ) {
        let depth = levels_above(self.mode, page_bytes);
        let at = self.entry(memory, va, depth, true);
        memory.write_uint(at, entry, self.width());
    }

    /// Makes `other` share the top-level entries of this table that lie in the kernel half.
    pub fn share_kernel_half(&self, memory: &mut MemoryBuilder, other: &Self) {
        let (first, count) = match self.mode {
            Paging::Legacy | Paging::LegacyNoPse => (768, 1024),
            Paging::Pae => (3, 4),
            _ => (256, 512),
        };
        for index in first..count {
            let by = index * self.width() as u64;
            let entry = memory
                .read_uint(self.root.plus(by), self.width())
                .expect("the root table");
            memory.write_uint(other.root.plus(by), entry, self.width());
        }
    }

    fn width(&self) -> usize {
        match self.mode {
            Paging::Legacy | Paging::LegacyNoPse => 4,
            _ => 8,
        }
    }

    /// The place of the entry for `va`, `depth` tables below the root.
    fn entry(
        &self,
        memory: &mut MemoryBuilder,
        va: VirtAddr,
        depth: usize,
        user: bool,
    ) -> PhysAddr {
        let mut table = self.root;
        for (level, (shift, bits)) in shape(self.mode).iter().enumerate() {
            let index = va.0 >> shift & ((1 << bits) - 1);
            let at = table.plus(index * self.width() as u64);
            if level == depth {
                return at;
            }
            let entry = memory.read_uint(at, self.width()).expect("a table");
            table = if entry & 1 == 0 {
                let new = memory.allocate();
                // A PAE directory pointer has present and nothing else; upper entries allow all
                // that a lower one may.
                let flags = match (self.mode, level) {
                    (Paging::Pae, 0) => 1,
                    _ if user => 0x67,
                    _ => 0x63,
                };
                memory.write_uint(at, new.0 | flags, self.width());
                new
            } else {
                PhysAddr(entry & 0x000f_ffff_ffff_f000)
            };
        }
        panic!("no level {depth} in {:?}", self.mode);
    }
}

/// Shift and width of each level's index, root first.
fn shape(mode: Paging) -> &'static [(u32, u32)] {
    match mode {
        Paging::Flat | Paging::Virtual => &[],
        Paging::LegacyNoPse | Paging::Legacy => &[(22, 10), (12, 10)],
        Paging::Pae => &[(30, 2), (21, 9), (12, 9)],
        Paging::Long4 => &[(39, 9), (30, 9), (21, 9), (12, 9)],
        Paging::Long5 => &[(48, 9), (39, 9), (30, 9), (21, 9), (12, 9)],
    }
}

/// How many tables lie above the one whose entry maps a page of `page_bytes`.
fn levels_above(mode: Paging, page_bytes: u64) -> usize {
    let shift = page_bytes.trailing_zeros();
    shape(mode)
        .iter()
        .position(|(s, _)| *s == shift)
        .unwrap_or_else(|| panic!("no pages of {page_bytes:#x} bytes in {mode:?}"))
}
