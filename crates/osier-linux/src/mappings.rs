//! The mappings of a process.
//!
//! Until v6.0 they were a list, `mm->mmap`, and a red-black tree beside it; since Linux commit
//! 763ecb035029 ("mm: remove the vma linked list"), v6.1, they are a maple tree, `mm->mm_mt`.
//!
//! A process is asked for by its group leader: when the leader has exited and other threads live on, the
//! memory is that of those.

mod twins;

use std::ops::ControlFlow;

use osier_memory::{Cause, Each, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Guard, Mapping, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use crate::maple::{self, Maple};
use crate::memory::no_memory;
use crate::mm::{Process, Reader, is_wide};
use crate::symbols;
use crate::vma;
use crate::{Linux, memory, process};

/// The walk's name in its endings.
pub(crate) const WALK: &str = "mappings";
/// More mappings than any process has: `sysctl_max_map_count` is 65530 unless raised.
const LIMIT: usize = 1 << 21;
/// `MM_CONTEXT_HAS_VSYSCALL` in `mm->context.flags`; kernels before it tell by `ia32_compat`.
const HAS_VSYSCALL: u64 = 2;
/// `vsyscall_mode` of a kernel whose vsyscall page can be read.
const VSYSCALL_EMULATE: u64 = 0;
/// `vsyscall_mode` of a kernel without a vsyscall page.
const VSYSCALL_NONE: u64 = 2;

/// The mappings of the process whose group leader is at `taskd`, by address. A row that the list
/// or tree names is shown even when nothing of it can be read.
pub(crate) fn mappings(linux: &Linux, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
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
fn walk(reader: &Reader<'_>, pid: Seen<u32>, mm: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
    let process = Process::read(reader, pid, mm);
    let mut walk = Walk {
        reader,
        process: &process,
        guard: Guard::new(LIMIT),
        sum: twins::Sum::of(reader, &process),
        stopped: false,
        row,
    };
    match (reader.mm.mm_mt, &reader.maps.maple, reader.mm.mmap) {
        (Some(mm_mt), Some(maple), _) => walk.tree(maple, mm_mt.place(mm)),
        (_, _, Some(mmap)) => walk.list(mmap),
        _ => walk.sum.ends.push(WalkEnd::no_start(
            "mm->mm_mt or mm->mmap in the profile",
            None,
        )),
    }
    if !walk.stopped {
        walk.sum.count(walk.guard.count());
    }
    walk.gate();
    let mut ends = WalkEnds::default();
    if walk.stopped {
        ends.add(WALK, WalkEnd::Stopped);
    }
    for end in walk.sum.ends {
        ends.add(WALK, end);
    }
    if ends.0.is_empty() {
        ends.add(WALK, WalkEnd::Closed);
    }
    ends
}

/// Pages of all mappings of the memory at `mm`, which are what `mm->total_vm` says while nobody changes them;
/// `None` where the walk does not come to its end.
pub(crate) fn pages(linux: &Linux, mm: VirtAddr) -> Option<u64> {
    let (guest, space) = (&linux.guest, &linux.guest.space);
    let lock = space.read_pointer(linux.mm.mmap_lock?.place(mm)).ok()?;
    if !lock.is_null() {
        return None;
    }
    let mut bytes = 0_u64;
    if let (Some(mm_mt), Some(maple)) = (linux.mm.mm_mt, &linux.maps.maple) {
        let ends = maple::walk(guest, maple, mm_mt.place(mm), &mut |entry| {
            let size = entry.last.wrapping_sub(entry.first).wrapping_add(1);
            bytes = bytes.saturating_add(size);
            ControlFlow::Continue(())
        });
        return ends.is_empty().then_some(bytes / PAGE_BYTES);
    }
    let vma = &linux.maps.vma;
    let mut at = linux.mm.mmap?.read(space, mm).ok()?;
    let mut guard = Guard::new(LIMIT);
    while !at.is_null() {
        guard.meet(at).ok()?;
        let (start, end) = (vma.vm_start.read(space, at), vma.vm_end.read(space, at));
        bytes = bytes.saturating_add(end.ok()?.checked_sub(start.ok()?)?);
        at = vma.vm_next?.read(space, at).ok()?;
    }
    Some(bytes / PAGE_BYTES)
}

/// A walk over the mappings of one process.
struct Walk<'a> {
    reader: &'a Reader<'a>,
    process: &'a Process,
    /// The mappings shown.
    guard: Guard,
    /// What they say together.
    sum: twins::Sum<'a>,
    stopped: bool,
    row: Each<'a, Mapping>,
}

impl Walk<'_> {
    /// Shows the mapping at `at`; `range` is what a tree says that it spans.
    fn show(&mut self, at: VirtAddr, range: Option<(u64, u64)>) -> ControlFlow<()> {
        let row = vma::row(self.reader, self.process, at, self.reader.guest.user_end);
        self.sum.add(at, &row);
        if let (Some((first, last)), Ok(base), Ok(size)) = (range, &row.base, &row.size) {
            let row_last = base.0.wrapping_add(*size).wrapping_sub(1);
            if base.0 != first || row_last != last {
                let (found, expected) = if base.0 == first {
                    (row_last, last)
                } else {
                    (base.0, first)
                };
                self.sum.ends.push(WalkEnd::Inconsistent {
                    at,
                    back_link: VirtAddr(found),
                    expected: VirtAddr(expected),
                });
            }
        }
        let owner = self.reader.maps.vma.vm_mm;
        let owner = owner.and_then(|field| field.read(&self.reader.guest.space, at).ok());
        if let Some(owner) = owner.filter(|&owner| owner != self.process.mm) {
            self.sum.ends.push(WalkEnd::Inconsistent {
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
                self.sum.ends.push(WalkEnd::broken(
                    tree,
                    at,
                    Fault::new(Cause::NonCanonical).with_va(at),
                ));
                return ControlFlow::Continue(());
            }
            match self.guard.meet(at) {
                Ok(()) => self.show(at, Some((entry.first, entry.last))),
                Err(end) => {
                    let full = matches!(end, WalkEnd::Limit { .. });
                    self.sum.ends.push(end);
                    if full {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                }
            }
        });
        let bad = ends.into_iter().filter(|end| *end != WalkEnd::Stopped);
        self.sum.ends.extend(bad);
    }

    fn list(&mut self, mmap: Field<Ptr<()>>) {
        let space = &self.reader.guest.space;
        let vma = &self.reader.maps.vma;
        let Some(vm_next) = vma.vm_next else {
            self.sum.ends.push(WalkEnd::no_start(
                "vm_area_struct.vm_next in the profile",
                None,
            ));
            return;
        };
        let mut at = match mmap.read(space, self.process.mm) {
            Ok(first) => first,
            Err(fault) => {
                self.sum.ends.push(WalkEnd::no_start("mm->mmap", fault));
                return;
            }
        };
        let mut from = VirtAddr(0);
        if at.is_null() && self.sum.last().is_some() {
            self.sum
                .no_start("mm->mmap, the first of the mappings in mm->mm_rb", None);
            return self.backwards();
        }
        while !at.is_null() {
            if let Err(end) = self.arrive(at, from) {
                self.sum.ends.push(end);
                return self.backwards();
            }
            if self.show(at, None).is_break() {
                return;
            }
            match vm_next.read(space, at) {
                Ok(next) => (from, at) = (at, next),
                Err(fault) => {
                    self.sum.ends.push(WalkEnd::broken(at, None, fault));
                    return self.backwards();
                }
            }
        }
        self.compare_ends(from);
    }

    /// Holds the end of the list, whose last mapping is at `last`, to the tree beside it.
    fn compare_ends(&mut self, last: VirtAddr) {
        let Some(end) = self.sum.last().filter(|end| *end != last) else {
            return;
        };
        self.sum.ends.push(WalkEnd::Inconsistent {
            at: last,
            back_link: end,
            expected: last,
        });
        self.backwards();
    }

    /// Whether the walk may go on at `at`, where the link of `from` led.
    fn arrive(&mut self, at: VirtAddr, from: VirtAddr) -> Result<(), WalkEnd> {
        if !self.reader.guest.can_be_object(at) {
            return Err(WalkEnd::broken(
                from,
                at,
                Fault::new(Cause::NonCanonical).with_va(at),
            ));
        }
        self.guard.meet(at)?;
        if let Some(vm_prev) = self.reader.maps.vma.vm_prev
            && let Ok(back_link) = vm_prev.read(&self.reader.guest.space, at)
            && back_link != from
        {
            self.sum.ends.push(WalkEnd::Inconsistent {
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
        let (Some(mut at), Some(vm_prev)) = (self.sum.last(), self.reader.maps.vma.vm_prev) else {
            return;
        };
        let mut behind = Vec::new();
        while self.reader.guest.can_be_object(at) && self.guard.meet(at).is_ok() {
            behind.push(at);
            match vm_prev.read(space, at) {
                Ok(before) => at = before,
                Err(fault) => {
                    self.sum.ends.push(WalkEnd::broken(at, None, fault));
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
        let Some(gate) = reader.guest.symbol(symbols::gate_vma) else {
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
            Err((missing, fault)) => self.sum.no_start(missing, fault),
        }
    }

    /// Whether the vsyscall page shows. That it was asked for is held against the rights of the page
    /// at `gate`, and that the process may use it against its vDSO.
    fn gate_shown(&self, gate: VirtAddr) -> Result<bool, (&'static str, Option<Fault>)> {
        let (reader, mm) = (self.reader, self.process.mm);
        let (guest, space) = (reader.guest, &reader.guest.space);
        let unread = |fault| ("whether the vsyscall page shows", Some(fault));
        if let Some(mode) = guest.symbol(symbols::vsyscall_mode) {
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
                let narrow = wide(symbols::vdso_image_32) || wide(symbols::vdso_image_x32);
                if (wide(symbols::vdso_image_64) && !may) || (narrow && may) {
                    return Err(("mm->context.flags: the process has the other vDSO", None));
                }
                Ok(may)
            }
            (None, Some(compat)) => Ok(compat.read(space, mm).map_err(unread)? == 0),
            // Until Linux commit 31db58b3ab43 ("mm: arch: make get_gate_vma take an mm_struct instead of a
            // task_struct"), v2.6.39, the task alone was marked; its memory ends where it can reach.
            (None, None) => match reader.mm.task_size {
                Some(size) => {
                    let wide = is_wide(size.read(space, mm).map_err(unread)?);
                    wide.ok_or(("mm->task_size: programs of neither width end there", None))
                }
                None => Ok(true),
            },
        }
    }
}

#[cfg(test)]
mod tests;
