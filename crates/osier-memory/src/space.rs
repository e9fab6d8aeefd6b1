//! A virtual address space: a page-table root, a policy, and caches of its own: translations, and
//! with each the page that it leads to, where the memory gives pages away; and how far walks came
//! before the last table, as a processor keeps it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::paging::{
    self, NotPresentPolicy, Paging, PolicyWords, TablePages, Tables, Translation, Walk,
};
use crate::{Cause, Chunk, Fault, Gap, PAGE_BYTES, Page, PhysAddr, PhysicalMemory, VirtAddr};

/// Entries of the cache; a power of two.
const CACHE_ENTRIES: usize = 256;
/// Entries of the cache of another root, by which little is read: a process's arguments.
const OTHER_ENTRIES: usize = 16;
/// Pages for each of which there is an entry of the cache of walks.
const PAGES_TO_A_WALK: usize = 4;
/// Translations by another root that read its entries alone, not their pages: of most processes there are
/// no more.
const ALONE: u8 = 4;

/// A virtual address space of a stopped machine.
///
/// It belongs to one task: the cache makes it `Send` but not `Sync`. Clones share the memory and
/// start with an empty cache.
pub struct AddressSpace {
    memory: Arc<dyn PhysicalMemory>,
    mode: Paging,
    root: PhysAddr,
    a20_mask: u64,
    encryption: u64,
    policy: NotPresentPolicy,
    words: PolicyWords,
    /// Entries of the cache, a power of two.
    entries: usize,
    /// Empty until something is translated, as are the walks.
    cache: RefCell<Box<[Cached]>>,
    walks: RefCell<Box<[Walked]>>,
    table_pages: RefCell<TablePages>,
    /// How many translations more read entries alone.
    alone: Cell<u8>,
}

/// A cached translation of one 4 KiB page; `page` is all ones when the slot is empty.
#[derive(Clone)]
struct Cached {
    page: u64,
    frame: u64,
    /// What stands there, where the memory gives its pages away.
    bytes: Option<Page>,
}

/// Where a cache of so many entries, a power of two, keeps a page.
fn slot(page: u64, entries: usize) -> usize {
    (page >> 12) as usize & entries.wrapping_sub(1)
}

const EMPTY: Cached = Cached {
    page: u64::MAX,
    frame: 0,
    bytes: None,
};

/// Where the walks of one stretch of addresses lead, as large as a page table maps; `stretch` is all ones
/// when the slot is empty.
#[derive(Clone, Copy)]
struct Walked {
    stretch: u64,
    to: PhysAddr,
    /// `to` is the page table of the stretch; else the stretch itself, in a large page.
    table: bool,
}

const NOWHERE: Walked = Walked {
    stretch: u64::MAX,
    to: PhysAddr(0),
    table: false,
};

impl Clone for AddressSpace {
    fn clone(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            entries: CACHE_ENTRIES,
            cache: RefCell::default(),
            walks: RefCell::default(),
            table_pages: RefCell::default(),
            alone: self.alone.clone(),
            ..*self
        }
    }
}

impl AddressSpace {
    /// The address space of the tables at `root` (a physical address without CR3's low bits, see
    /// [`Paging::root_of_cr3`]).
    pub fn new(
        memory: Arc<dyn PhysicalMemory>,
        mode: Paging,
        root: PhysAddr,
        policy: NotPresentPolicy,
    ) -> Self {
        Self {
            memory,
            mode,
            root,
            a20_mask: u64::MAX,
            encryption: 0,
            policy,
            words: PolicyWords::default(),
            entries: CACHE_ENTRIES,
            cache: RefCell::default(),
            walks: RefCell::default(),
            table_pages: RefCell::default(),
            alone: Cell::new(0),
        }
    }

    /// The same space, whose policy is told these words with every entry.
    #[must_use]
    pub fn with_policy_words(mut self, words: PolicyWords) -> Self {
        self.words = words;
        self.forget()
    }

    /// The same space on a machine whose A20 line gives `mask`.
    #[must_use]
    pub fn with_a20_mask(mut self, mask: u64) -> Self {
        self.a20_mask = mask;
        self.forget() // what was translated before went through another mask
    }

    /// The same space on a machine whose entries, and CR3, mark encrypted memory by these bits: they
    /// are no part of an address.
    #[must_use]
    pub fn with_encryption(mut self, bits: u64) -> Self {
        self.encryption = bits;
        self.root = PhysAddr(self.root.0 & !bits);
        self.forget() // what was translated before went through other frames
    }

    /// The same space with empty caches.
    fn forget(mut self) -> Self {
        self.cache = RefCell::default();
        self.walks = RefCell::default();
        self
    }

    /// The space of another root of the same machine, with the same mode and policy.
    #[must_use]
    pub fn with_root(&self, root: PhysAddr) -> Self {
        Self {
            memory: self.memory.clone(),
            root,
            entries: OTHER_ENTRIES,
            cache: RefCell::default(),
            walks: RefCell::default(),
            table_pages: RefCell::default(),
            alone: Cell::new(ALONE),
            ..*self
        }
    }

    /// The memory behind the tables.
    pub fn memory(&self) -> &Arc<dyn PhysicalMemory> {
        &self.memory
    }

    /// The paging mode.
    pub fn mode(&self) -> Paging {
        self.mode
    }

    /// The physical address of the root table.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// The bits of an entry that mark encrypted memory; 0 where it is plain.
    pub fn encryption(&self) -> u64 {
        self.encryption
    }

    /// The physical address of the root table that CR3 holds in this mode, on this machine; see
    /// [`Paging::root_of_cr3`].
    pub fn root_of_cr3(&self, cr3: u64) -> PhysAddr {
        self.mode.root_of_cr3(cr3 & !self.encryption)
    }

    pub(crate) fn tables(&self) -> Tables<'_, dyn PhysicalMemory> {
        Tables {
            memory: &*self.memory,
            mode: self.mode,
            root: self.root,
            a20_mask: self.a20_mask,
            encryption: self.encryption,
            policy: self.policy,
            words: self.words,
            indirect: false,
            alone: self.alone.get() > 0,
            kept: &self.table_pages,
        }
    }

    pub(crate) fn a20_mask(&self) -> u64 {
        self.a20_mask
    }

    /// The physical address behind `va`.
    ///
    /// # Errors
    ///
    /// The fault that ended the walk, with the level and the entry.
    pub fn translate(&self, va: VirtAddr) -> Result<PhysAddr, Fault> {
        self.with_page(va, |pa, _| pa)
    }

    /// Shows `found` what the cache keeps of `va`.
    fn kept<T>(&self, va: VirtAddr, found: impl FnOnce(&Cached) -> T) -> Option<T> {
        let cache = self.cache.borrow();
        let page = va.page().0;
        let hit = cache.get(slot(page, cache.len()))?;
        (hit.page == page).then(|| found(hit))
    }

    /// Shows `found` the physical address behind `va`, and the page that holds it where the memory
    /// gives pages away.
    fn with_page<T>(
        &self,
        va: VirtAddr,
        mut found: impl FnMut(PhysAddr, Option<&Page>) -> T,
    ) -> Result<T, Fault> {
        let place = |hit: &Cached| PhysAddr(hit.frame | va.in_page());
        if let Some(shown) = self.kept(va, |hit| found(place(hit), hit.bytes.as_ref())) {
            return Ok(shown);
        }
        let pa = self.by_tables(va)?;
        let bytes = self.memory.page(pa);
        let shown = found(pa, bytes.as_ref());
        let mut cache = self.cache.borrow_mut();
        if cache.is_empty() {
            *cache = vec![EMPTY; self.entries].into_boxed_slice();
        }
        let page = va.page().0;
        if let Some(slot) = cache.get_mut(slot(page, self.entries)) {
            *slot = Cached {
                page,
                frame: pa.page().0,
                bytes,
            };
        }
        Ok(shown)
    }

    /// The physical address behind `va`, by the tables: by the last alone where an earlier walk came to it.
    fn by_tables(&self, va: VirtAddr) -> Result<PhysAddr, Fault> {
        let Some(span) = self.mode.entry_span(2) else {
            return Ok(self.lookup(va)?.pa);
        };
        let within = span.wrapping_sub(1);
        let stretch = va.0 & !within;
        let number = (stretch >> span.trailing_zeros()) as usize;
        let tables = self.tables();
        let known = {
            let walks = self.walks.borrow();
            let slot = walks.get(number & walks.len().wrapping_sub(1)).copied();
            slot.filter(|walked| walked.stretch == stretch)
        };
        match known {
            Some(Walked {
                to, table: true, ..
            }) => {
                self.alone.set(self.alone.get().saturating_sub(1));
                return Ok(paging::walk_last(&tables, to, va)?.pa);
            }
            Some(Walked { to, .. }) => {
                return Ok(PhysAddr((to.0 | (va.0 & within)) & self.a20_mask));
            }
            None => {}
        }
        self.alone.set(self.alone.get().saturating_sub(1));
        let mut table = None;
        let found = paging::walk(&tables, va, |step| {
            table = (step.level == 1).then_some(step.at.page());
        })?;
        let walked = Walked {
            stretch,
            to: table.unwrap_or(PhysAddr(found.pa.0 & !within)),
            table: table.is_some(),
        };
        let mut walks = self.walks.borrow_mut();
        if walks.is_empty() {
            *walks = vec![NOWHERE; self.entries / PAGES_TO_A_WALK].into_boxed_slice();
        }
        let slots = walks.len().wrapping_sub(1);
        if let Some(slot) = walks.get_mut(number & slots) {
            *slot = walked;
        }
        Ok(found.pa)
    }

    /// The translation of `va` with page size and rights, past the caches.
    ///
    /// # Errors
    ///
    /// As [`translate`](Self::translate).
    pub fn lookup(&self, va: VirtAddr) -> Result<Translation, Fault> {
        let tables = self.tables();
        self.alone.set(self.alone.get().saturating_sub(1));
        paging::walk(&tables, va, |_| {})
    }

    /// The entry of the root table that maps `va`, as it stands in memory. Two tables in which it is the same
    /// map the same there. 0 without paging.
    ///
    /// # Errors
    ///
    /// The entry cannot be read.
    pub fn root_entry(&self, va: VirtAddr) -> Result<u64, Fault> {
        let Some((bits, shift)) = self.mode.table_shape(0) else {
            return Ok(0);
        };
        let width = self.mode.entry_bytes();
        let index = (va.0 >> shift) & (1_u64 << bits).wrapping_sub(1);
        let at = self.root.plus(index.wrapping_mul(width as u64));
        self.tables().entry(PhysAddr(at.0 & self.a20_mask))
    }

    /// The page that belongs at `va`, by an entry that stands in no table of the processor's: at the virtual
    /// address `at`, in the format of the lowest level, where an operating system describes pages that it shares.
    ///
    /// # Errors
    ///
    /// The fault of reading the entry, with its own address; or what the entry says of a page that is not in memory,
    /// with `va`.
    pub fn page_of_entry(&self, at: VirtAddr, va: VirtAddr) -> Result<PhysAddr, Fault> {
        self.tables().page_of(at, va)
    }

    /// The translation of `va` with every table entry on the way.
    pub fn walk(&self, va: VirtAddr) -> Walk {
        let mut steps = Vec::new();
        let outcome = paging::walk(&self.tables(), va, |step| steps.push(step));
        Walk { steps, outcome }
    }

    /// Bytes from `va` to the end of its page, at most `max`.
    ///
    /// # Errors
    ///
    /// The fault of the byte at `va`.
    pub fn chunk(&self, va: VirtAddr, max: usize) -> Result<Chunk<'_>, Fault> {
        let in_page = PAGE_BYTES.wrapping_sub(va.in_page()) as usize;
        let chunk = match self.with_page(va, |pa, page| (pa, page.cloned()))? {
            (_, Some(page)) => page.chunk(va.in_page() as usize),
            (pa, None) => self.memory.chunk(pa).map_err(|fault| fault.with_va(va))?,
        };
        Ok(chunk.truncated(in_page.min(max)))
    }

    /// Fills `buf` from `va` on.
    ///
    /// # Errors
    ///
    /// The fault of the first byte that could not be read; `buf` is then filled up to that byte.
    pub fn read(&self, va: VirtAddr, buf: &mut [u8]) -> Result<(), Fault> {
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let in_page = PAGE_BYTES.wrapping_sub(at.in_page()) as usize;
            let n = in_page.min(rest.len());
            let (head, tail) = rest.split_at_mut(n);
            let elsewhere = self.with_page(at, |pa, page| {
                let from = at.in_page() as usize;
                let held = page.and_then(|page| page.get(from..from.checked_add(n)?));
                held.map_or(Some(pa), |held| {
                    head.copy_from_slice(held);
                    None
                })
            })?;
            if let Some(pa) = elsewhere {
                self.memory.read(pa, head).map_err(|fault| {
                    let done = fault.pa.map_or(0, |stopped| stopped.since(pa));
                    fault.with_va(at.plus(done))
                })?;
            }
            rest = tail;
            at = self.next_address(at, n);
        }
        Ok(())
    }

    /// Fills what can be filled of `buf` from `va` on and returns the stretches that could not.
    /// Bytes of a gap keep what `buf` held.
    pub fn read_partial(&self, va: VirtAddr, buf: &mut [u8]) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = self.next_address(va, done);
            match self.chunk(at, rest.len()) {
                Ok(chunk) if !chunk.is_empty() => {
                    let n = chunk.len().min(rest.len());
                    if let (Some(into), Some(from)) = (rest.get_mut(..n), chunk.get(..n)) {
                        into.copy_from_slice(from);
                    }
                    done = done.saturating_add(n);
                }
                outcome => {
                    let fault = outcome
                        .err()
                        .unwrap_or(Fault::new(Cause::NotCaptured).with_va(at));
                    let to_page_end = PAGE_BYTES.wrapping_sub(at.in_page()) as usize;
                    let len = to_page_end.min(rest.len());
                    match gaps.last_mut() {
                        Some(last)
                            if last.fault.cause == fault.cause
                                && last.start.saturating_add(last.len) == done =>
                        {
                            last.len = last.len.saturating_add(len);
                        }
                        _ => gaps.push(Gap {
                            start: done,
                            len,
                            fault,
                        }),
                    }
                    done = done.saturating_add(len);
                }
            }
        }
        gaps
    }

    /// The little-endian integer of `width` bytes (1 to 8) at `va`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_uint(&self, va: VirtAddr, width: usize) -> Result<u64, Fault> {
        // Most integers lie near one that was read before.
        let kept = self.kept(va, |hit| {
            hit.bytes.as_ref()?.uint(va.in_page() as usize, width)
        });
        match kept.flatten() {
            Some(value) => Ok(value),
            None => self.fetch_uint(va, width.min(8)),
        }
    }

    /// The integer at `va`, of which the cache keeps no page that holds it all.
    #[inline(never)]
    fn fetch_uint(&self, va: VirtAddr, width: usize) -> Result<u64, Fault> {
        if va.in_page().wrapping_add(width as u64) > PAGE_BYTES {
            let mut raw = [0_u8; 8];
            self.read(va, raw.get_mut(..width).unwrap_or_default())?;
            return Ok(u64::from_le_bytes(raw));
        }
        let (pa, held) = self.with_page(va, |pa, page| {
            let held = page.and_then(|page| page.uint(va.in_page() as usize, width));
            (pa, held)
        })?;
        if let Some(value) = held {
            return Ok(value);
        }
        let read = self.memory.read_uint(pa, width);
        read.map_err(|fault| fault.with_va(va))
    }

    /// The pointer at `va`, of the width of this space's mode.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_pointer(&self, va: VirtAddr) -> Result<VirtAddr, Fault> {
        self.read_uint(va, usize::from(self.mode.pointer_bytes()))
            .map(VirtAddr)
    }

    /// Bytes from `va` up to, without, the first NUL, at most `max` of them.
    ///
    /// # Errors
    ///
    /// The fault of the first byte before a NUL that could not be read.
    pub fn read_cstr(&self, va: VirtAddr, max: usize) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        while text.len() < max {
            let at = self.next_address(va, text.len());
            let chunk = self.chunk(at, max.saturating_sub(text.len()))?;
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                text.extend_from_slice(chunk.get(..end).unwrap_or_default());
                return Ok(text);
            }
            if chunk.is_empty() {
                return Err(Fault::new(Cause::NotCaptured).with_va(at));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    /// The address `bytes` after `va`: one of 32 bits stays inside them, one that the mode cannot
    /// translate does not become another that it can.
    fn next_address(&self, va: VirtAddr, bytes: usize) -> VirtAddr {
        let next = va.plus(bytes as u64);
        if self.mode.pointer_bytes() == 4 && self.mode.canonical(va) {
            VirtAddr(next.0 & 0xffff_ffff)
        } else {
            next
        }
    }
}
