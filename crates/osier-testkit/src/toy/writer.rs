//! Writes a toy kernel's objects into memory.

use std::collections::BTreeMap;

use osier_memory::{Paging, PhysAddr, VirtAddr};

use super::shapes::Shapes;
use crate::{MemoryBuilder, Rights, TableBuilder};

const PAGE: u64 = 4096;
/// Bytes of a page that are given to objects of one structure: few, so that there are many pages
/// to hide.
const SLAB: u64 = 1024;
/// Where the direct map's pages begin in physical memory.
const HEAP: u64 = 0x0400_0000;
/// Bytes of the kernel image.
pub(super) const IMAGE: u64 = 0x0020_0000;

/// A toy kernel being written.
pub(super) struct Writer {
    pub(super) memory: MemoryBuilder,
    pub(super) tables: TableBuilder,
    pub(super) shapes: Shapes,
    pub(super) mode: Paging,
    pub(super) text: VirtAddr,
    pub(super) text_pa: PhysAddr,
    pub(super) symbols: BTreeMap<&'static str, VirtAddr>,
    direct: u64,
    /// The page that objects of a structure are put into next, and the bytes used of it.
    slabs: BTreeMap<&'static str, (VirtAddr, u64)>,
    image_used: u64,
}

impl Writer {
    pub(super) fn new(mode: Paging, shapes: Shapes, text: VirtAddr, text_pa: PhysAddr) -> Self {
        let mut memory = MemoryBuilder::new(PhysAddr(HEAP));
        let tables = TableBuilder::new(mode, &mut memory);
        let direct = match mode {
            Paging::Long5 => 0xff11_0000_0000_0000,
            Paging::Long4 => 0xffff_8880_0000_0000,
            _ => 0xc000_0000,
        };
        if mode == Paging::LegacyNoPse {
            tables.map_run(&mut memory, text, text_pa, IMAGE / PAGE, Rights::KERNEL);
        } else {
            let bytes = if mode == Paging::Legacy {
                4 << 20
            } else {
                2 << 20
            };
            tables.map(&mut memory, text, text_pa, bytes, Rights::KERNEL);
        }
        let symbols = BTreeMap::from([("_text", text), ("_stext", text)]);
        Self {
            memory,
            tables,
            shapes,
            mode,
            text,
            text_pa,
            symbols,
            direct,
            slabs: BTreeMap::new(),
            image_used: 0x1000, // the first page is code
        }
    }

    pub(super) fn word(&self) -> usize {
        usize::from(self.mode.pointer_bytes())
    }

    /// The direct map's address of `pa`.
    pub(super) fn virt(&self, pa: PhysAddr) -> VirtAddr {
        VirtAddr(self.direct + pa.0)
    }

    fn phys(&self, va: VirtAddr) -> PhysAddr {
        let in_image = va.since(self.text);
        if in_image < IMAGE {
            self.text_pa.plus(in_image)
        } else {
            PhysAddr(va.since(VirtAddr(self.direct)))
        }
    }

    /// A new page of the direct map.
    pub(super) fn page(&mut self) -> VirtAddr {
        let pa = self.memory.allocate();
        let va = self.virt(pa);
        self.tables
            .map(&mut self.memory, va, pa, PAGE, Rights::KERNEL);
        va
    }

    /// New pages of the direct map in a row, with a page behind them that is not mapped.
    pub(super) fn apart(&mut self, pages: u64) -> VirtAddr {
        let all: Vec<_> = (0..=pages).map(|_| self.memory.allocate()).collect();
        let first = self.virt(all[0]);
        for pa in &all[..pages as usize] {
            let va = self.virt(*pa);
            self.tables
                .map(&mut self.memory, va, *pa, PAGE, Rights::KERNEL);
        }
        first
    }

    /// A new object of `bytes` among its like, on an address of `align`.
    pub(super) fn room(&mut self, like: &'static str, bytes: u64, align: u64) -> VirtAddr {
        let (page, used) = match self.slabs.get(like) {
            Some((page, used)) if used.next_multiple_of(align) + bytes <= SLAB => (*page, *used),
            _ => (self.page(), 0),
        };
        let start = used.next_multiple_of(align);
        assert!(start + bytes <= PAGE, "{like} is too large");
        self.slabs.insert(like, (page, start + bytes));
        page.plus(start)
    }

    /// A new object.
    pub(super) fn object(&mut self, ty: &'static str) -> VirtAddr {
        let bytes = self.shapes.size(ty);
        self.room(ty, bytes, 64)
    }

    /// Room in the image for what `symbol` names.
    pub(super) fn symbol(&mut self, symbol: &'static str, bytes: u64) -> VirtAddr {
        let at = self.image_used.next_multiple_of(64);
        // Each on a page of its own as far as there are many: more to knock out.
        let at = if at / PAGE == (at + bytes) / PAGE {
            at
        } else {
            at.next_multiple_of(PAGE)
        };
        self.image_used = at + bytes;
        assert!(self.image_used < IMAGE);
        let va = self.text.plus(at);
        self.symbols.insert(symbol, va);
        self.bytes(va, &vec![0; bytes as usize]);
        va
    }

    /// As [`symbol`](Self::symbol), for one object of a structure.
    pub(super) fn global(&mut self, symbol: &'static str, ty: &'static str) -> VirtAddr {
        let bytes = self.shapes.size(ty);
        self.symbol(symbol, bytes)
    }

    pub(super) fn bytes(&mut self, va: VirtAddr, bytes: &[u8]) {
        let pa = self.phys(va);
        self.memory.write_bytes(pa, bytes);
    }

    pub(super) fn uint(&mut self, va: VirtAddr, value: u64, width: usize) {
        self.bytes(va, &value.to_le_bytes()[..width]);
    }

    /// Writes a word of a pointer's width.
    pub(super) fn pointer(&mut self, va: VirtAddr, to: VirtAddr) {
        self.uint(va, to.0, self.word());
    }

    pub(super) fn at(&self, object: VirtAddr, ty: &str, path: &str) -> VirtAddr {
        object.plus(self.shapes.place(ty, path).0)
    }

    /// Writes an integer or pointer member.
    pub(super) fn set(&mut self, object: VirtAddr, ty: &str, path: &str, value: u64) {
        let (offset, bytes) = self.shapes.place(ty, path);
        assert!(bytes <= 8, "{ty}.{path}");
        self.uint(object.plus(offset), value, bytes as usize);
    }

    /// As [`set`](Self::set), where the era has the member.
    pub(super) fn set_if(&mut self, object: VirtAddr, ty: &str, member: &str, value: u64) {
        if self.shapes.has(ty, member) {
            self.set(object, ty, member, value);
        }
    }

    /// A NUL-terminated text.
    pub(super) fn text_of(&mut self, text: &[u8]) -> VirtAddr {
        let va = self.room("text", text.len() as u64 + 1, 8);
        self.bytes(va, text);
        va
    }

    /// Joins list heads into one ring, the first being its head.
    pub(super) fn ring(&mut self, heads: &[VirtAddr]) {
        let word = self.word() as u64;
        for (i, head) in heads.iter().enumerate() {
            let next = heads[(i + 1) % heads.len()];
            self.pointer(*head, next);
            self.pointer(next.plus(word), *head);
        }
    }
}
