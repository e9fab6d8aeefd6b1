//! The mappings of a process.
//!
//! Until v6.0 they were a list, `mm->mmap`, and a red-black tree beside it; since Linux commit
//! 763ecb035029 ("mm: remove the vma linked list"), v6.1, they are a maple tree, `mm->mm_mt`.
//!
//! A process is asked for by its group leader, as `/proc/PID` does: when the leader has exited and
//! other threads live on, the leader has no memory any more and there are no rows.

use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, VirtAddr};
use osier_osi::{Guard, Mapping, Seen, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use crate::guest::Guest;
use crate::maple::{self, Maple};
use crate::path::Paths;
use crate::vma::{self, Naming, Vma};
use crate::{Linux, memory, process};

/// The walk's name in its endings.
const WALK: &str = "mappings";
/// More mappings than any process has: `sysctl_max_map_count` is 65530 unless raised.
const LIMIT: usize = 1 << 21;
/// Deeper than any red-black tree of [`LIMIT`] nodes.
const TREE_DEPTH: usize = 64;
/// `MM_CONTEXT_HAS_VSYSCALL` in `mm->context.flags`; kernels before it tell by `ia32_compat`.
const HAS_VSYSCALL: u64 = 2;
/// `vsyscall_mode` of a kernel without a vsyscall page.
const VSYSCALL_NONE: u64 = 2;

layout! {
    /// Fields read from `mm_struct`.
    pub(crate) struct Mm: "mm_struct" {
        /// The page-table root, virtual.
        pgd: Field<Ptr<()>>,
        /// The first mapping of the list. Until v6.0.
        mmap: Option<Field<Ptr<()>>>,
        /// The root of the tree of mappings beside the list. Until v6.0.
        mm_rb: Option<Field<Ptr<()>>> = ["mm_rb.rb_node"],
        /// The maple tree of mappings. Since v6.1.
        mm_mt: Option<Field<Embed<()>>>,
        /// Tasks and others that use it.
        mm_users: Option<Field<SInt>> = ["mm_users.counter", "mm_users"],
        /// Number of mappings.
        map_count: Option<Field<SInt>>,
        /// First address of the heap.
        start_brk: Field<UInt>,
        /// One past the last byte of the heap.
        brk: Option<Field<UInt>>,
        /// Where the stack started.
        start_stack: Option<Field<UInt>>,
        /// Where the arguments start.
        arg_start: Option<Field<UInt>>,
        /// One past the arguments.
        arg_end: Option<Field<UInt>>,
        /// Where the environment starts.
        env_start: Option<Field<UInt>>,
        /// One past the environment.
        env_end: Option<Field<UInt>>,
        /// The executable.
        exe_file: Option<Field<Ptr<()>>>,
        /// One past the highest user address.
        task_size: Option<Field<UInt>>,
        /// Where the vDSO was mapped.
        vdso: Option<Field<UInt>> = ["context.vdso"],
        /// Marks of the architecture; in kernels that have them, whether the vsyscall page shows.
        context_flags: Option<Field<UInt>> = ["context.flags"],
        /// Non-zero in a 32-bit process on a 64-bit kernel, in kernels before that mark.
        ia32_compat: Option<Field<UInt>> = ["context.ia32_compat"],
    }
}

/// How to read mappings.
pub(crate) struct Maps {
    maple: Option<Maple>,
    pub(crate) vma: Vma,
    pub(crate) naming: Naming,
    pub(crate) paths: Paths,
    /// [`Process::is_heap`] leaves out mappings that only touch the heap.
    strict_heap: bool,
}

impl Maps {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let vma = Vma::resolve(resolver);
        let paths = Paths::resolve(resolver);
        Self {
            maple: Maple::resolve(resolver),
            vma,
            naming: Naming::resolve(resolver, &vma),
            // Linux commit d3bb89ea9c13 ("mm: fix VMA heap bounds checking"), v6.7, tightened the
            // test. Nothing in it left a trace in a type, but this came in the same release.
            strict_heap: paths.has_user_path(),
            paths,
        }
    }
}

/// What reading mappings takes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) mm: &'a Mm,
    pub(crate) maps: &'a Maps,
}

/// What the rows of one process need.
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: Seen<u32>,
    mm: VirtAddr,
    brk: Result<Option<(u64, u64)>, Fault>,
    start_stack: Result<Option<u64>, Fault>,
    /// Where the vDSO was mapped, in kernels where mappings have no names of their own.
    pub(crate) vdso: Option<u64>,
    strict_heap: bool,
}

impl Process {
    fn read(reader: &Reader<'_>, pid: Seen<u32>, mm: VirtAddr) -> Self {
        let space = &reader.guest.space;
        let fields = reader.mm;
        let brk = fields.brk.map(|brk| {
            let start = fields.start_brk.read(space, mm)?;
            Ok((start, brk.read(space, mm)?))
        });
        let start_stack = fields.start_stack.map(|field| field.read(space, mm));
        let vdso = fields.vdso.map(|field| field.read(space, mm));
        Self {
            pid,
            mm,
            brk: brk.transpose(),
            start_stack: start_stack.transpose(),
            vdso: vdso.and_then(Result::ok).filter(|&vdso| vdso != 0),
            strict_heap: reader.maps.strict_heap,
        }
    }

    /// The kernel's test for `[heap]`: the mapping and `start_brk..brk` overlap, or, before v6.7,
    /// touch. (PANDA wants the mapping to hold all of the heap.)
    pub(crate) fn is_heap(&self, start: u64, end: u64) -> Result<bool, Fault> {
        Ok(self.brk?.is_some_and(|(start_brk, brk)| {
            if self.strict_heap {
                start < brk && end > start_brk
            } else {
                start <= brk && end >= start_brk
            }
        }))
    }

    /// The kernel's test for `[stack]`: `start_stack` is in the mapping, or at its end.
    pub(crate) fn is_stack(&self, start: u64, end: u64) -> Result<bool, Fault> {
        let start_stack = self.start_stack?;
        Ok(start_stack.is_some_and(|stack| start <= stack && end >= stack))
    }
}

/// The endings of a walk over a process whose memory is not to be had.
pub(crate) fn no_memory<T>(walk: &'static str, mm: Seen<T>) -> WalkEnds {
    match mm {
        Seen::Not(absent) if absent.is_loss() => {
            let fault = match absent.why {
                osier_osi::Why::Unreadable(fault) => Some(fault),
                _ => None,
            };
            let missing = "the process's mm".to_owned();
            WalkEnds::one(walk, WalkEnd::NoStart { missing, fault })
        }
        _ => WalkEnds::one(walk, WalkEnd::Closed),
    }
}

/// The mappings of the process whose group leader is at `taskd`, by address. A row that the list
/// or tree names is shown even when nothing of it can be read.
pub(crate) fn mappings(
    linux: &Linux,
    taskd: VirtAddr,
    row: &mut dyn FnMut(Mapping) -> ControlFlow<()>,
) -> WalkEnds {
    let mm = match memory::mm(linux, taskd) {
        Seen::Is(mm) => mm,
        absent @ Seen::Not(_) => return no_memory(WALK, absent),
    };
    let reader = Reader {
        guest: &linux.guest,
        mm: &linux.mm,
        maps: &linux.maps,
    };
    walk(&reader, process::pid(linux, taskd), mm, row)
}

/// The mappings of the process `pid` whose `mm_struct` is at `mm`.
fn walk(
    reader: &Reader<'_>,
    pid: Seen<u32>,
    mm: VirtAddr,
    row: &mut dyn FnMut(Mapping) -> ControlFlow<()>,
) -> WalkEnds {
    let process = Process::read(reader, pid, mm);
    let mut walk = Walk {
        reader,
        process: &process,
        guard: Guard::new(LIMIT),
        ends: Vec::new(),
        stopped: false,
        row,
    };
    match (reader.mm.mm_mt, &reader.maps.maple, reader.mm.mmap) {
        (Some(mm_mt), Some(maple), _) => walk.tree(maple, mm_mt.place(mm)),
        (_, _, Some(mmap)) => walk.list(mmap),
        _ => walk.ends.push(WalkEnd::NoStart {
            missing: "mm->mm_mt or mm->mmap in the profile".to_owned(),
            fault: None,
        }),
    }
    walk.count();
    walk.gate();
    let mut ends = WalkEnds::default();
    if walk.stopped {
        ends.add(WALK, WalkEnd::Stopped);
    }
    for end in walk.ends {
        ends.add(WALK, end);
    }
    if ends.0.is_empty() {
        ends.add(WALK, WalkEnd::Closed);
    }
    ends
}

/// A walk over the mappings of one process.
struct Walk<'a> {
    reader: &'a Reader<'a>,
    process: &'a Process,
    /// The mappings shown.
    guard: Guard,
    /// Bad endings.
    ends: Vec<WalkEnd>,
    stopped: bool,
    row: &'a mut dyn FnMut(Mapping) -> ControlFlow<()>,
}

impl Walk<'_> {
    /// Shows the mapping at `at`; `range` is what a tree says that it spans.
    fn show(&mut self, at: VirtAddr, range: Option<(u64, u64)>) -> ControlFlow<()> {
        let row = vma::row(self.reader, self.process, at);
        if let (Some((first, last)), Seen::Is(base), Seen::Is(size)) = (range, &row.base, &row.size)
        {
            let row_last = base.0.wrapping_add(*size).wrapping_sub(1);
            if base.0 != first || row_last != last {
                let (found, expected) = if base.0 == first {
                    (row_last, last)
                } else {
                    (base.0, first)
                };
                self.ends.push(WalkEnd::Inconsistent {
                    at,
                    back_link: VirtAddr(found),
                    expected: VirtAddr(expected),
                });
            }
        }
        let owner = self.reader.maps.vma.vm_mm;
        let owner = owner.and_then(|field| field.read(&self.reader.guest.space, at).ok());
        if let Some(owner) = owner.filter(|&owner| owner != self.process.mm) {
            self.ends.push(WalkEnd::Inconsistent {
                at,
                back_link: owner,
                expected: self.process.mm,
            });
        }
        let flow = (self.row)(row);
        self.stopped |= flow.is_break();
        flow
    }

    fn tree(&mut self, maple: &Maple, tree: VirtAddr) {
        let reader = self.reader;
        let ends = maple::walk(reader.guest, maple, tree, &mut |entry| {
            let at = entry.value;
            if !reader.guest.is_kernel_address(at) {
                self.ends.push(WalkEnd::BrokenLink {
                    from: tree,
                    to: Some(at),
                    fault: Fault::new(Cause::NonCanonical).with_va(at),
                });
                return ControlFlow::Continue(());
            }
            match self.guard.meet(at) {
                Ok(()) => self.show(at, Some((entry.first, entry.last))),
                Err(end) => {
                    let full = matches!(end, WalkEnd::Limit { .. });
                    self.ends.push(end);
                    if full {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                }
            }
        });
        let bad = ends.into_iter().filter(|end| *end != WalkEnd::Stopped);
        self.ends.extend(bad);
    }

    fn list(&mut self, mmap: Field<Ptr<()>>) {
        let space = &self.reader.guest.space;
        let vma = &self.reader.maps.vma;
        let Some(vm_next) = vma.vm_next else {
            self.ends.push(WalkEnd::NoStart {
                missing: "vm_area_struct.vm_next in the profile".to_owned(),
                fault: None,
            });
            return;
        };
        let mut at = match mmap.read(space, self.process.mm) {
            Ok(first) => first,
            Err(fault) => {
                self.ends.push(WalkEnd::NoStart {
                    missing: "mm->mmap".to_owned(),
                    fault: Some(fault),
                });
                return;
            }
        };
        let mut from = VirtAddr(0);
        while !at.is_null() {
            if let Err(end) = self.arrive(at, from) {
                self.ends.push(end);
                return self.backwards();
            }
            if self.show(at, None).is_break() {
                return;
            }
            match vm_next.read(space, at) {
                Ok(next) => (from, at) = (at, next),
                Err(fault) => {
                    self.ends.push(WalkEnd::BrokenLink {
                        from: at,
                        to: None,
                        fault,
                    });
                    return self.backwards();
                }
            }
        }
    }

    /// Whether the walk may go on at `at`, where the link of `from` led.
    fn arrive(&mut self, at: VirtAddr, from: VirtAddr) -> Result<(), WalkEnd> {
        if !self.reader.guest.is_kernel_address(at) {
            return Err(WalkEnd::BrokenLink {
                from,
                to: Some(at),
                fault: Fault::new(Cause::NonCanonical).with_va(at),
            });
        }
        self.guard.meet(at)?;
        if let Some(vm_prev) = self.reader.maps.vma.vm_prev
            && let Ok(back_link) = vm_prev.read(&self.reader.guest.space, at)
            && back_link != from
        {
            self.ends.push(WalkEnd::Inconsistent {
                at,
                back_link,
                expected: from,
            });
        }
        Ok(())
    }

    /// Shows what the list holds behind a break: back from its last mapping, which the tree beside
    /// the list leads to.
    fn backwards(&mut self) {
        let space = &self.reader.guest.space;
        let (Some(mut at), Some(vm_prev)) = (self.last(), self.reader.maps.vma.vm_prev) else {
            return;
        };
        let mut behind = Vec::new();
        while self.reader.guest.is_kernel_address(at) && self.guard.meet(at).is_ok() {
            behind.push(at);
            match vm_prev.read(space, at) {
                Ok(before) => at = before,
                Err(fault) => {
                    self.ends.push(WalkEnd::BrokenLink {
                        from: at,
                        to: None,
                        fault,
                    });
                    break;
                }
            }
        }
        for at in behind.into_iter().rev() {
            if self.show(at, None).is_break() {
                break;
            }
        }
    }

    /// The mapping with the highest address, by the red-black tree; `None` when it is not reached.
    fn last(&self) -> Option<VirtAddr> {
        let space = &self.reader.guest.space;
        let vma = &self.reader.maps.vma;
        let (vm_rb, rb_right) = (vma.vm_rb?, vma.rb_right?);
        let mut node = self.reader.mm.mm_rb?.read(space, self.process.mm).ok()?;
        for _ in 0..TREE_DEPTH {
            if !self.reader.guest.is_kernel_address(node) {
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

    /// Holds the rows to the kernel's own count. A walk that broke off is told already.
    fn count(&mut self) {
        let Some(map_count) = self.reader.mm.map_count else {
            return;
        };
        if self.stopped || !self.ends.is_empty() {
            return;
        }
        match map_count.read(&self.reader.guest.space, self.process.mm) {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                let rows = self.guard.count();
                if rows != count {
                    self.ends.push(WalkEnd::Disagreement {
                        between: "mappings and mm->map_count",
                        only_first: rows.saturating_sub(count),
                        only_second: count.saturating_sub(rows),
                    });
                }
            }
            Err(fault) => self.ends.push(WalkEnd::NoStart {
                missing: "mm->map_count, to hold the rows to".to_owned(),
                fault: Some(fault),
            }),
        }
    }

    /// Shows the vsyscall page of a 64-bit process where `/proc/PID/maps` does: it belongs to the
    /// kernel (`gate_vma`), and shows when the kernel has it (`vsyscall_mode`) for this process.
    fn gate(&mut self) {
        let reader = self.reader;
        let space = &reader.guest.space;
        let Some(gate) = reader.guest.symbol("gate_vma") else {
            return;
        };
        if self.stopped || reader.guest.pointer_bytes() != 8 {
            return;
        }
        let shown = || {
            if let Some(mode) = reader.guest.symbol("vsyscall_mode")
                && space.read_uint(mode, 4)? == VSYSCALL_NONE
            {
                return Ok(false);
            }
            let mm = self.process.mm;
            match (reader.mm.context_flags, reader.mm.ia32_compat) {
                (Some(flags), _) => Ok(flags.read(space, mm)? & HAS_VSYSCALL != 0),
                (None, Some(compat)) => Ok(compat.read(space, mm)? == 0),
                (None, None) => Ok(true),
            }
        };
        match shown() {
            Ok(true) => {
                let mut row = vma::row(reader, self.process, gate);
                row.name = Seen::Is(b"[vsyscall]".to_vec());
                row.kind = Seen::Is(osier_osi::MappingKind::Unknown);
                self.stopped |= (self.row)(row).is_break();
            }
            Ok(false) => {}
            Err(fault) => self.ends.push(WalkEnd::NoStart {
                missing: "whether the vsyscall page shows".to_owned(),
                fault: Some(fault),
            }),
        }
    }
}

/// `start_brk` and `brk` of the process whose group leader is at `taskd`: PANDA's `OsiProcMem`,
/// which PANDA does not give when either is 0.
pub(crate) fn heap_bounds(linux: &Linux, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
    memory::mm(linux, taskd).and_then(|mm| {
        let space = &linux.guest.space;
        let Some(brk) = linux.mm.brk else {
            return Seen::not_in_this_kernel();
        };
        let read = || {
            let start = linux.mm.start_brk.read(space, mm)?;
            Ok((VirtAddr(start), VirtAddr(brk.read(space, mm)?)))
        };
        let bounds: Result<_, Fault> = read();
        bounds.into()
    })
}

#[cfg(test)]
mod tests;
