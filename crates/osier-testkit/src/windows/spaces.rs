//! Virtual memory: the system's address space, those of the processes, and their page tables.
//!
//! A page comes into being when something is written to it. The kernel half is written through the
//! system's table; when all is written, [`Spaces::finish`] gives it to every process and puts each
//! table's reference to itself where Windows has it.

use std::collections::BTreeMap;

use osier_memory::{Paging, PhysAddr, PhysicalMemory, VirtAddr};

use crate::{MemoryBuilder, Rights, TableBuilder};

/// `_KUSER_SHARED_DATA` on x86.
pub(super) const SHARED_32: VirtAddr = VirtAddr(0xffdf_0000);
const PAGE: u64 = 4096;
/// Bits of an entry that points to a table: present, writable, accessed, dirty.
const TABLE: u64 = 0x63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Which address space: the system's, or a process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space(usize);

impl Space {
    /// The kernel half, which all share, and the System process.
    pub(super) const SYSTEM: Self = Self(0);
}

/// A stretch of the kernel half that large pages map.
#[derive(Clone, Copy)]
struct Window {
    va: VirtAddr,
    bytes: u64,
    pa: PhysAddr,
}

pub(super) struct Spaces {
    pub(super) memory: MemoryBuilder,
    pub(super) mode: Paging,
    tables: Vec<TableBuilder>,
    /// Pages by space and address; the kernel half stands in the system's.
    pages: Vec<BTreeMap<u64, PhysAddr>>,
    windows: Vec<Window>,
    /// The top-level entry that refers to the table itself; of 64-bit tables alone.
    self_map: u64,
}

impl Spaces {
    /// Spaces with the system's own, whose table root is `root`; pages are given out from `first`.
    pub(super) fn new(mode: Paging, root: PhysAddr, first: PhysAddr, self_map: u64) -> Self {
        let mut memory = MemoryBuilder::new(first);
        let system = TableBuilder::at(mode, &mut memory, root);
        Self {
            memory,
            mode,
            tables: vec![system],
            pages: vec![BTreeMap::new()],
            windows: Vec::new(),
            self_map,
        }
    }

    /// A new space. Roots of PAE tables stand on 32 bytes, as those of Windows do.
    pub(super) fn add(&mut self, root: Option<PhysAddr>) -> Space {
        let number = self.tables.len();
        let root = root.unwrap_or_else(|| {
            let page = self.memory.allocate();
            match self.mode {
                Paging::Pae => page.plus(number as u64 * 0x20 % PAGE),
                _ => page,
            }
        });
        let table = TableBuilder::at(self.mode, &mut self.memory, root);
        self.tables.push(table);
        self.pages.push(BTreeMap::new());
        Space(number)
    }

    /// Physical address of the table root of `space`.
    pub(super) fn root(&self, space: Space) -> PhysAddr {
        self.tables[space.0].root()
    }

    /// Maps `bytes` from `va` by the largest pages of the mode; by small ones where it has none.
    pub(super) fn window(&mut self, va: VirtAddr, bytes: u64, pa: PhysAddr) {
        let page = large_page(self.mode).unwrap_or(PAGE);
        assert!(va.0.is_multiple_of(page) && pa.0.is_multiple_of(page));
        let mut by = 0;
        while by < bytes {
            let (va, pa) = (va.plus(by), pa.plus(by));
            self.tables[0].map(&mut self.memory, va, pa, page, Rights::KERNEL);
            by += page;
        }
        let bytes = bytes.next_multiple_of(page);
        self.windows.push(Window { va, bytes, pa });
    }

    /// Where `va` of `space` is in physical memory; its page is made when there is none.
    pub(super) fn phys(&mut self, space: Space, va: VirtAddr) -> PhysAddr {
        let kernel = self.is_kernel(va);
        if kernel && let Some(window) = self.windows.iter().find(|w| va.since(w.va) < w.bytes) {
            return window.pa.plus(va.since(window.va));
        }
        let owner = if kernel { 0 } else { space.0 };
        let page = va.page();
        if let Some(pa) = self.pages[owner].get(&page.0) {
            return pa.plus(va.in_page());
        }
        let pa = self.memory.allocate();
        let rights = if kernel { Rights::KERNEL } else { Rights::USER };
        self.tables[owner].map(&mut self.memory, page, pa, PAGE, rights);
        self.pages[owner].insert(page.0, pa);
        pa.plus(va.in_page())
    }

    /// Whether the page at `va` was written to.
    pub(super) fn is_present(&self, space: Space, va: VirtAddr) -> bool {
        let owner = if self.is_kernel(va) { 0 } else { space.0 };
        self.pages[owner].contains_key(&va.page().0)
    }

    /// Puts `entry` where the page at `va` is mapped; the page itself stays in memory.
    pub(super) fn set_entry(&mut self, space: Space, va: VirtAddr, entry: u64) {
        let owner = if self.is_kernel(va) { 0 } else { space.0 };
        self.tables[owner].write_entry(&mut self.memory, va, PAGE, entry);
    }

    pub(super) fn write(&mut self, space: Space, va: VirtAddr, bytes: &[u8]) {
        let (mut at, mut rest) = (va, bytes);
        while !rest.is_empty() {
            let pa = self.phys(space, at);
            let n = rest.len().min((PAGE - at.in_page()) as usize);
            self.memory.write_bytes(pa, &rest[..n]);
            rest = &rest[n..];
            at = at.plus(n as u64);
        }
    }

    pub(super) fn read_uint(&mut self, space: Space, va: VirtAddr, width: usize) -> u64 {
        (0..width).rev().fold(0, |value, at| {
            let pa = self.phys(space, va.plus(at as u64));
            value << 8 | self.memory.read_uint(pa, 1).expect("a page of ours")
        })
    }

    pub(super) fn is_kernel(&self, va: VirtAddr) -> bool {
        match self.mode {
            Paging::Long4 | Paging::Long5 => va.0 >> 63 == 1,
            _ => va.0 >= 0x8000_0000,
        }
    }

    /// A table that has the user half of `space`, and of the kernel half the `pages` alone: what
    /// the processor uses in user mode under KVA shadow. Call it after [`finish`](Self::finish).
    pub(super) fn shadow(&mut self, space: Space, pages: &[VirtAddr]) -> PhysAddr {
        let table = TableBuilder::new(self.mode, &mut self.memory);
        for index in 0..256 {
            let entry = self.top_entry(self.root(space), index);
            self.memory.write_u64(table.root().plus(index * 8), entry);
        }
        for va in pages {
            let pa = self.phys(Space::SYSTEM, va.page());
            table.map(&mut self.memory, va.page(), pa, PAGE, Rights::KERNEL);
        }
        table.root()
    }

    /// Shares the kernel half with every process, and lets every table refer to itself.
    pub(super) fn finish(&mut self) {
        for space in 0..self.tables.len() {
            match self.mode {
                Paging::Long4 | Paging::Long5 => self.finish_long(space),
                Paging::Pae => self.finish_pae(space),
                _ => self.finish_legacy(space),
            }
        }
    }

    fn finish_long(&mut self, space: usize) {
        let (system, root) = (self.tables[0].root(), self.tables[space].root());
        for index in 256..512 {
            let entry = self.top_entry(system, index);
            self.memory.write_u64(root.plus(index * 8), entry);
        }
        let own = root.plus(self.self_map * 8);
        self.memory.write_u64(own, root.0 | TABLE);
    }

    /// The kernel half is the upper 2 GiB; the directory is its own table at `0xc0300000`.
    fn finish_legacy(&mut self, space: usize) {
        let (system, root) = (self.tables[0].root(), self.tables[space].root());
        for index in 512..1024 {
            let entry = self.memory.read_uint(system.plus(index * 4), 4);
            let entry = entry.expect("the system's table");
            self.memory.write_uint(root.plus(index * 4), entry, 4);
        }
        let own = root.plus(0x300 * 4);
        self.memory.write_uint(own, root.0 | TABLE, 4);
    }

    /// Every process has four directories; the first entries of the fourth, `0xc0600000`, refer to
    /// them. What the upper two have of the system's is copied.
    fn finish_pae(&mut self, space: usize) {
        let (system, root) = (self.tables[0].root(), self.tables[space].root());
        let mut directories = [PhysAddr(0); 4];
        for (index, directory) in (0..).zip(&mut directories) {
            if self.top_entry(root, index) & 1 == 0 {
                let new = self.memory.allocate();
                self.memory.write_u64(root.plus(index * 8), new.0 | 1);
            }
            *directory = PhysAddr(self.top_entry(root, index) & FRAME);
        }
        for half in [2, 3] {
            let theirs = PhysAddr(self.top_entry(system, half as u64) & FRAME);
            for index in 0..512 {
                let entry = self.top_entry(theirs, index);
                let at = directories[half].plus(index * 8);
                self.memory.write_u64(at, entry);
            }
        }
        for (index, directory) in (0..).zip(directories) {
            let own = directories[3].plus(index * 8);
            self.memory.write_u64(own, directory.0 | TABLE);
        }
    }

    fn top_entry(&self, table: PhysAddr, index: u64) -> u64 {
        let entry = self.memory.read_uint(table.plus(index * 8), 8);
        entry.expect("a table of ours")
    }
}

/// Bytes of the pages that map the kernel image where the mode has large ones.
pub(super) fn large_page(mode: Paging) -> Option<u64> {
    match mode {
        Paging::Legacy => Some(4 << 20),
        Paging::Pae | Paging::Long4 | Paging::Long5 => Some(2 << 20),
        _ => None,
    }
}

/// Where the tables of a space appear in it (`MmPteBase`): what a top-level entry that refers to
/// its own table maps.
pub(super) fn tables_at(mode: Paging, self_map: u64) -> VirtAddr {
    match mode {
        Paging::Long4 => VirtAddr(self_map << 39 | 0xffff << 48),
        Paging::Long5 => VirtAddr(self_map << 48 | 0x7f << 57),
        _ => VirtAddr(0xc000_0000),
    }
}
