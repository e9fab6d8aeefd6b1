//! What the `mm_struct` of a process tells of its mappings: where its heap, stack and vDSO are.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

use crate::guest::Guest;
use crate::layouts::Mm;
use crate::maps::Maps;

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
    pub(crate) mm: VirtAddr,
    pub(crate) brk: Result<Option<(u64, u64)>, Box<Absent>>,
    pub(crate) start_stack: Result<Option<u64>, Box<Absent>>,
    /// Where the vDSO was mapped.
    pub(crate) vdso: Option<u64>,
    strict_heap: bool,
}

impl Process {
    pub(crate) fn read(reader: &Reader<'_>, pid: Seen<u32>, mm: VirtAddr) -> Self {
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
        if start == 0 && is_loaded(reader.guest, reader.mm, mm) {
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
        if stack == 0 && is_loaded(reader.guest, reader.mm, mm) {
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

/// Whether a program has 64 bits whose addresses end at `size` (`task_size`), of a 64-bit kernel; `None` where programs of
/// neither width end.
pub(crate) fn is_wide(size: u64) -> Option<bool> {
    match size {
        0x4000_0000..=0x1_0000_0000 => Some(false),
        size if size > 1 << 46 => Some(true),
        _ => None,
    }
}

/// Whether the program of the process is loaded: until then, in the middle of `execve`, its heap, stack,
/// arguments and environment have no places. Where its code starts says so, and what the kernel told it.
pub(crate) fn is_loaded(guest: &Guest, layout: &Mm, mm: VirtAddr) -> bool {
    let space = &guest.space;
    let code = layout.start_code.map(|field| field.read(space, mm));
    let told = layout
        .saved_auxv
        .map(|field| space.read_pointer(field.place(mm)));
    matches!(code, Some(Ok(start)) if start != 0)
        || matches!(told, Some(Ok(first)) if !first.is_null())
}
