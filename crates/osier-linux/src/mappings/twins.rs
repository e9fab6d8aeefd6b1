//! What the kernel says of a process's mappings besides their list or tree.

use osier_osi::SeenExt as _;
use std::ops::Range;

use osier_memory::{Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Mapping, MappingKind, WalkEnd};

use crate::mm::{Process, Reader};
use crate::vma::VM_GROWSDOWN;

/// Deeper than any red-black tree of mappings.
const TREE_DEPTH: usize = 64;

/// What the rows of a process say together.
pub(super) struct Sum<'a> {
    reader: &'a Reader<'a>,
    process: &'a Process,
    /// Bad endings.
    pub(super) ends: Vec<WalkEnd>,
    /// Pages of all mappings.
    pages: u64,
    /// A row whose size is not known.
    unknown: bool,
    /// One past the last byte of the mapping shown last.
    end: u64,
    heap: Heap,
    /// Whether one of the mappings that grow down is the stack; `None` when none grows.
    stack: Option<bool>,
}

/// What of the heap was met.
#[derive(Default)]
struct Heap {
    /// Its first page, in a mapping without a file.
    start: bool,
    /// Its last page, likewise.
    end: bool,
    /// A mapping of a file.
    file: bool,
}

impl<'a> Sum<'a> {
    /// Of no rows yet.
    pub(super) fn of(reader: &'a Reader<'a>, process: &'a Process) -> Self {
        Self {
            reader,
            process,
            ends: Vec::new(),
            pages: 0,
            unknown: false,
            end: 0,
            heap: Heap::default(),
            stack: None,
        }
    }

    /// Adds the row of the mapping at `at`. Rows ascend, and no two mappings share an address.
    pub(super) fn add(&mut self, at: VirtAddr, row: &Mapping) {
        let (Some(base), Some(size)) = (row.base.value(), row.size.value()) else {
            self.unknown = true;
            return;
        };
        if base.0 < self.end {
            self.ends.push(WalkEnd::Inconsistent {
                at,
                back_link: base,
                expected: VirtAddr(self.end),
            });
        }
        self.end = base.0.saturating_add(size);
        let pages = size.div_ceil(PAGE_BYTES);
        self.pages = self.pages.saturating_add(pages);
        let (start, end) = (base.0, self.end);
        if let Some(heap) = self.heap_pages() {
            let of_file = row.kind.value() == Some(MappingKind::File);
            let holds = |at: u64| start <= at && at < end;
            self.heap.start |= !of_file && holds(heap.start);
            self.heap.end |= !of_file && holds(heap.end.wrapping_sub(1));
            self.heap.file |= of_file && start < heap.end && end > heap.start;
        }
        let grows_down = |flags| flags & VM_GROWSDOWN != 0;
        let placed = matches!(self.process.start_stack, Ok(Some(stack)) if stack != 0);
        if placed && row.flags.value().is_some_and(grows_down) {
            let stack = self.process.is_stack(start, end) == Ok(true);
            self.stack = Some(stack || self.stack == Some(true));
        }
    }

    /// The pages of the heap; `None` when there are none.
    fn heap_pages(&self) -> Option<Range<u64>> {
        let (start, brk) = self.process.brk.clone().ok()??;
        let up = |at: u64| at.checked_next_multiple_of(PAGE_BYTES);
        Some(up(start)?..up(brk)?).filter(|heap| !heap.is_empty())
    }

    /// Holds the `rows` to the kernel's own counts. A walk that broke off is told already.
    pub(super) fn count(&mut self, rows: usize) {
        if !self.ends.is_empty() {
            return;
        }
        if let Some(map_count) = self.reader.mm.map_count {
            match map_count.read(&self.reader.guest.space, self.process.mm) {
                Ok(count) => {
                    let count = u64::try_from(count).unwrap_or(0);
                    self.compare("mappings and mm->map_count", rows as u64, count);
                }
                Err(fault) => self.no_start("mm->map_count, to hold the rows to", Some(fault)),
            }
        }
        if rows == 0 && self.ends.is_empty() {
            self.no_start("a mapping: a process that has memory has one", None);
        }
        self.compare_pages();
        let heap = self.heap.start && self.heap.end && !self.heap.file;
        if !self.unknown && !heap && self.heap_pages().is_some() {
            self.compare("start_brk..brk and the mappings", 1, 0);
        }
        if !self.unknown && self.stack == Some(false) {
            self.compare("start_stack and the mapping that grows down", 1, 0);
        }
    }

    /// Holds the sum of all sizes to `mm->total_vm`. The kernel takes what it unmaps off that count
    /// last, so that less is nothing to tell while the mappings are locked.
    fn compare_pages(&mut self) {
        let space = &self.reader.guest.space;
        let mm = self.process.mm;
        let total = self.reader.mm.total_vm;
        let Some(Ok(total)) = total.map(|field| field.read(space, mm)) else {
            return;
        };
        let lock = self.reader.mm.mmap_lock;
        let lock = lock.map(|field| space.read_pointer(field.place(mm)));
        let quiet = matches!(lock, Some(Ok(word)) if word.is_null());
        if !self.unknown && (quiet || self.pages > total) {
            let pages = self.pages;
            self.compare("pages of the mappings and mm->total_vm", pages, total);
        }
    }

    fn compare(&mut self, between: &'static str, first: u64, second: u64) {
        if first != second {
            let more = |a: u64, b: u64| usize::try_from(a.saturating_sub(b)).unwrap_or(usize::MAX);
            self.ends.push(WalkEnd::Disagreement {
                between,
                only_first: more(first, second),
                only_second: more(second, first),
            });
        }
    }

    pub(super) fn no_start(&mut self, missing: &str, fault: Option<Fault>) {
        self.ends.push(WalkEnd::no_start(missing, fault));
    }

    /// The mapping with the highest address, by the red-black tree; `None` when it is not reached.
    pub(super) fn last(&self) -> Option<VirtAddr> {
        let space = &self.reader.guest.space;
        let vma = &self.reader.maps.vma;
        let (vm_rb, rb_right) = (vma.vm_rb?, vma.rb_right?);
        let mut node = self.reader.mm.mm_rb?.read(space, self.process.mm).ok()?;
        for _ in 0..TREE_DEPTH {
            if !self.reader.guest.can_be_object(node) {
                return None;
            }
            let at = vm_rb.container(node);
            let right = rb_right.read(space, at).ok()?;
            if right.is_null() {
                return Some(at);
            }
            node = right;
        }
        None
    }
}
