//! The mappings of a process.
//!
//! Until v6.0 they were a list, `mm->mmap`, and a red-black tree beside it; since Linux commit
//! 763ecb035029 ("mm: remove the vma linked list"), v6.1, they are a maple tree, `mm->mm_mt`.
//!
//! A process is asked for by its group leader, as `/proc/PID` does: when the leader has exited and
//! other threads live on, the leader has no memory any more and there are no rows.

mod twins;

use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, VirtAddr};
use osier_osi::{Absent, Guard, Mapping, Seen, WalkEnd, WalkEnds, Why};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use crate::file_tree::FileTrees;
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
/// `vsyscall_mode` of a kernel whose vsyscall page can be read.
const VSYSCALL_EMULATE: u64 = 0;
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
        /// Pages of all mappings.
        total_vm: Option<Field<UInt>>,
        /// Who reads and changes the mappings; a first word of 0 says nobody.
        mmap_lock: Option<Field<Embed<()>>> = ["mmap_lock", "mmap_sem"],
        /// Where the code starts; 0 until the program is loaded.
        start_code: Option<Field<UInt>>,
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
        /// Mappings of it. Until v3.5.
        num_exe_file_vmas: Option<Field<UInt>>,
        /// Where the vDSO was mapped.
        vdso: Option<Field<UInt>> = ["context.vdso"],
        /// Which vDSO: that of 64-bit, 32-bit or x32 programs.
        vdso_image: Option<Field<Ptr<()>>> = ["context.vdso_image"],
        /// Marks of the architecture; in kernels that have them, whether the vsyscall page shows.
        context_flags: Option<Field<UInt>> = ["context.flags"],
        /// Non-zero in a 32-bit process on a 64-bit kernel, in kernels before that mark.
        ia32_compat: Option<Field<UInt>> = ["context.ia32_compat"],
    }
}

/// How to read mappings.
#[derive(Clone)]
pub(crate) struct Maps {
    maple: Option<Maple>,
    pub(crate) vma: Vma,
    pub(crate) naming: Naming,
    pub(crate) paths: Paths,
    pub(crate) trees: FileTrees,
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
            trees: FileTrees::resolve(resolver, &vma),
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
    brk: Result<Option<(u64, u64)>, Box<Absent>>,
    start_stack: Result<Option<u64>, Box<Absent>>,
    /// Where the vDSO was mapped.
    pub(crate) vdso: Option<u64>,
    strict_heap: bool,
}

impl Process {
    fn read(reader: &Reader<'_>, pid: Seen<u32>, mm: VirtAddr) -> Self {
        let vdso = reader.mm.vdso;
        let vdso = vdso.map(|field| field.read(&reader.guest.space, mm));
        Self {
            pid,
            mm,
            brk: Self::brk(reader, mm),
            start_stack: Self::start_stack(reader, mm),
            vdso: vdso.and_then(Result::ok).filter(|&vdso| vdso != 0),
            strict_heap: reader.maps.strict_heap,
        }
    }

    /// `start_brk` and `brk`: addresses of the process, one after the other, once its program is
    /// loaded.
    fn brk(reader: &Reader<'_>, mm: VirtAddr) -> Result<Option<(u64, u64)>, Box<Absent>> {
        let Some(field) = reader.mm.brk else {
            return Ok(None);
        };
        let space = &reader.guest.space;
        let start = reader.mm.start_brk.read(space, mm)?;
        let brk = field.read(space, mm)?;
        let place = Some(reader.mm.start_brk.place(mm));
        if start > brk {
            return implausible(start, "start_brk is not above brk", place);
        }
        if brk >= reader.guest.user_end {
            return implausible(brk, "brk is an address of the process", place);
        }
        if start == 0 && is_loaded(reader, mm) {
            return implausible(start, "a program that is loaded has a start_brk", place);
        }
        Ok(Some((start, brk)))
    }

    fn start_stack(reader: &Reader<'_>, mm: VirtAddr) -> Result<Option<u64>, Box<Absent>> {
        let Some(field) = reader.mm.start_stack else {
            return Ok(None);
        };
        let stack = field.read(&reader.guest.space, mm)?;
        let place = Some(field.place(mm));
        if stack >= reader.guest.user_end {
            return implausible(stack, "start_stack is an address of the process", place);
        }
        if stack == 0 && is_loaded(reader, mm) {
            return implausible(stack, "a program that is loaded has a start_stack", place);
        }
        Ok(Some(stack))
    }

    /// The kernel's test for `[heap]`: the mapping and `start_brk..brk` overlap, or, before v6.7,
    /// touch. (PANDA wants the mapping to hold all of the heap.)
    pub(crate) fn is_heap(&self, start: u64, end: u64) -> Result<bool, Box<Absent>> {
        let brk = self.brk.clone()?;
        Ok(brk.is_some_and(|(start_brk, brk)| {
            if self.strict_heap {
                start < brk && end > start_brk
            } else {
                start <= brk && end >= start_brk
            }
        }))
    }

    /// The kernel's test for `[stack]`: `start_stack` is in the mapping, or at its end.
    pub(crate) fn is_stack(&self, start: u64, end: u64) -> Result<bool, Box<Absent>> {
        let start_stack = self.start_stack.clone()?;
        Ok(start_stack.is_some_and(|stack| start <= stack && end >= stack))
    }
}

fn implausible<T>(raw: u64, rule: &'static str, place: Option<VirtAddr>) -> Result<T, Box<Absent>> {
    Err(Absent::implausible(raw, rule, place))
}

/// Whether the program of the process is loaded: until then, in the middle of `execve`, its heap and
/// stack have no places.
fn is_loaded(reader: &Reader<'_>, mm: VirtAddr) -> bool {
    let start_code = reader.mm.start_code;
    let start_code = start_code.map(|field| field.read(&reader.guest.space, mm));
    matches!(start_code, Some(Ok(start)) if start != 0)
}

/// The endings of a walk over a process whose memory cannot be read.
pub(crate) fn no_memory<T>(walk: &'static str, mm: Seen<T>) -> WalkEnds {
    match mm {
        Err(absent) if absent.is_loss() => {
            let (missing, fault) = match absent.why {
                Why::Unreadable(fault) => ("the process's mm".to_owned(), Some(fault)),
                Why::Implausible { raw, rule } => {
                    (format!("the process's mm, {raw:#x}: {rule}"), None)
                }
                _ => ("the process's mm".to_owned(), None),
            };
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
        Ok(mm) => mm,
        absent @ Err(_) => return no_memory(WALK, absent),
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
        sum: twins::Sum::default(),
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
    /// What they say together.
    sum: twins::Sum,
    /// Bad endings.
    ends: Vec<WalkEnd>,
    stopped: bool,
    row: &'a mut dyn FnMut(Mapping) -> ControlFlow<()>,
}

impl Walk<'_> {
    /// Shows the mapping at `at`; `range` is what a tree says that it spans.
    fn show(&mut self, at: VirtAddr, range: Option<(u64, u64)>) -> ControlFlow<()> {
        let row = vma::row(self.reader, self.process, at, self.reader.guest.user_end);
        self.add(at, &row);
        if let (Some((first, last)), Ok(base), Ok(size)) = (range, &row.base, &row.size) {
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
            if !reader.guest.can_be_object(at) {
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
        if at.is_null() && self.last().is_some() {
            self.no_start("mm->mmap, the first of the mappings in mm->mm_rb", None);
            return self.backwards();
        }
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
        self.compare_ends(from);
    }

    /// Whether the walk may go on at `at`, where the link of `from` led.
    fn arrive(&mut self, at: VirtAddr, from: VirtAddr) -> Result<(), WalkEnd> {
        if !self.reader.guest.can_be_object(at) {
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
        while self.reader.guest.can_be_object(at) && self.guard.meet(at).is_ok() {
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

    /// Shows the vsyscall page of a 64-bit process where `/proc/PID/maps` does: it belongs to the
    /// kernel (`gate_vma`), and shows when the kernel has it (`vsyscall_mode`) for this process.
    fn gate(&mut self) {
        let reader = self.reader;
        let Some(gate) = reader.guest.symbol("gate_vma") else {
            return;
        };
        if self.stopped || reader.guest.pointer_bytes() != 8 {
            return;
        }
        match self.gate_shown(gate) {
            Ok(true) => {
                let mut row = vma::row(reader, self.process, gate, u64::MAX);
                row.name = Ok(b"[vsyscall]".to_vec());
                row.kind = Ok(osier_osi::MappingKind::Unknown);
                self.stopped |= (self.row)(row).is_break();
            }
            Ok(false) => {}
            Err((missing, fault)) => self.no_start(missing, fault),
        }
    }

    /// Whether the vsyscall page shows. That it was asked for is held against the rights of the page
    /// at `gate`, and that the process may use it against its vDSO.
    fn gate_shown(&self, gate: VirtAddr) -> Result<bool, (&'static str, Option<Fault>)> {
        let (reader, mm) = (self.reader, self.process.mm);
        let (guest, space) = (reader.guest, &reader.guest.space);
        let unread = |fault| ("whether the vsyscall page shows", Some(fault));
        if let Some(mode) = guest.symbol("vsyscall_mode") {
            let mode = space.read_uint(mode, 4).map_err(unread)?;
            let flags = reader.maps.vma.vm_flags.read(space, gate).map_err(unread)?;
            let base = reader.maps.vma.vm_start.read(space, gate).map_err(unread)?;
            let unmapped = || match space.translate(VirtAddr(base)) {
                Err(fault) => matches!(fault.cause, Cause::NotPresent { .. }),
                Ok(_) => false,
            };
            let readable = || flags & vma::VM_READ != 0 && !unmapped();
            if mode > VSYSCALL_NONE || (mode == VSYSCALL_EMULATE && !readable()) {
                return Err(("vsyscall_mode: the page's rights are of another mode", None));
            }
            if mode == VSYSCALL_NONE {
                return Ok(false);
            }
        }
        match (reader.mm.context_flags, reader.mm.ia32_compat) {
            (Some(flags), _) => {
                let may = flags.read(space, mm).map_err(unread)? & HAS_VSYSCALL != 0;
                let image = reader.mm.vdso_image.map(|field| field.read(space, mm));
                let image = image.and_then(Result::ok);
                let wide = |name| image.is_some() && guest.symbol(name) == image;
                let narrow = wide("vdso_image_32") || wide("vdso_image_x32");
                if (wide("vdso_image_64") && !may) || (narrow && may) {
                    return Err(("mm->context.flags: the process has the other vDSO", None));
                }
                Ok(may)
            }
            (None, Some(compat)) => Ok(compat.read(space, mm).map_err(unread)? == 0),
            (None, None) => Ok(true),
        }
    }
}

/// `start_brk` and `brk` of the process whose group leader is at `taskd`: PANDA's `OsiProcMem`,
/// which PANDA does not give when either is 0.
pub(crate) fn heap_bounds(linux: &Linux, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
    memory::mm(linux, taskd).and_then(|mm| {
        let space = &linux.guest.space;
        let Some(brk) = linux.mm.brk else {
            return Err(Absent::not_in_this_kernel());
        };
        let read = || {
            let start = linux.mm.start_brk.read(space, mm)?;
            Ok((VirtAddr(start), VirtAddr(brk.read(space, mm)?)))
        };
        read().map_err(Absent::unreadable)
    })
}

#[cfg(test)]
mod tests;
