//! The processors, and the variables that each has of its own.
//!
//! The registers' GS base (FS on 32-bit processors) must name one of the per-CPU areas, and says which
//! processor a set of registers belongs to. The kernel's masks say which processors there are, see
//! [`processors`].

use std::collections::BTreeSet;

use osier_memory::{CpuState, Fault, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds};
use osier_profile::{Field, UInt};

use crate::symbols;
use crate::{Linux, list};

/// The walk's name in endings.
pub(crate) const WALK: &str = "processors";
/// More processors than any real kernel is built for.
pub(crate) const LIMIT: u32 = 8192;

/// The per-CPU variable that holds the current task, as the symbol table names it.
pub(crate) fn variable(linux: &Linux) -> Option<u64> {
    let symbol = |name| linux.guest.profile.symbol(name);
    let hot = symbol(symbols::pcpu_hot).or_else(|| symbol(symbols::const_pcpu_hot));
    if let Some((hot, field)) = hot.zip(linux.pcpu_hot.current_task) {
        return Some(hot.wrapping_add_signed(field.offset));
    }
    [
        symbols::current_task,
        symbols::const_current_task,
        symbols::per_cpu__current_task,
    ]
    .into_iter()
    .find_map(symbol)
}

/// The address of the per-CPU variable `symbol` (its value in the symbol table) on `cpu`.
///
/// A 64-bit kernel links them from 0 until Linux commit 9d7de2aa8b41 ("x86/percpu/64: Use relative
/// percpu offsets"), v6.15; since then, and on 32 bits, they are addresses in the image, and
/// slide with it.
pub(crate) fn per_cpu(linux: &Linux, cpu: u32, symbol: u64) -> Result<VirtAddr, Fault> {
    let guest = &linux.guest;
    let in_image = guest.is_kernel_address(VirtAddr(symbol));
    let slid = if in_image {
        symbol.wrapping_add(guest.slide)
    } else {
        symbol
    };
    let offset = offset(linux, cpu)?;
    let mode = guest.space.mode();
    Ok(mode.canonicalise(VirtAddr(slid.wrapping_add(offset))))
}

/// `__per_cpu_offset[cpu]`; 0 on a kernel for one processor, which has no such table.
fn offset(linux: &Linux, cpu: u32) -> Result<u64, Fault> {
    let Some(table) = linux.guest.symbol(symbols::__per_cpu_offset) else {
        return Ok(0);
    };
    let word = u64::from(linux.guest.pointer_bytes());
    let place = table.plus(u64::from(cpu).wrapping_mul(word));
    linux.guest.space.read_pointer(place).map(|offset| offset.0)
}

/// A set of processors that the kernel keeps.
#[derive(Clone, Copy)]
struct Mask {
    /// The set itself, since Linux commit 4b804c85dc37 ("cpumask: Export `cpu_xxx_mask` and
    /// friends"), v4.5.
    set: &'static str,
    /// The set's bits before.
    bits: &'static str,
    /// A pointer to them.
    pointer: &'static str,
}

/// Those that run.
const ONLINE: Mask = Mask {
    set: symbols::__cpu_online_mask,
    bits: symbols::cpu_online_bits,
    pointer: symbols::cpu_online_mask,
};
/// Those that tasks may be put on. One that stops at a panic leaves the other mask alone.
const ACTIVE: Mask = Mask {
    set: symbols::__cpu_active_mask,
    bits: symbols::cpu_active_bits,
    pointer: "cpu_active_mask",
};

impl Mask {
    /// Where its bits lie; `None` when the profile has no symbol of it.
    fn place(self, linux: &Linux) -> Option<Result<VirtAddr, Fault>> {
        let guest = &linux.guest;
        let own = guest.symbol(self.set).or_else(|| guest.symbol(self.bits));
        own.map(Ok).or_else(|| {
            let pointer = guest.symbol(self.pointer)?;
            Some(guest.space.read_pointer(pointer))
        })
    }

    /// The processors below `ids` that it has, and above them those in its first word, where none
    /// should be.
    fn read(self, linux: &Linux, ids: u32) -> Option<Result<BTreeSet<u32>, Fault>> {
        let word = u32::from(linux.guest.pointer_bytes());
        let bits = word.wrapping_mul(8);
        let words = ids.div_ceil(bits).max(1);
        Some(self.place(linux)?.and_then(|place| {
            let mut found = BTreeSet::new();
            for index in 0..words {
                let at = place.plus(u64::from(index.wrapping_mul(word)));
                let value = linux.guest.space.read_pointer(at)?.0;
                let set = (0..bits).filter(|bit| value >> bit & 1 != 0);
                found.extend(set.map(|bit| index.wrapping_mul(bits).wrapping_add(bit)));
            }
            Ok(found)
        }))
    }
}

/// The processors that run: those of the kernel's masks, and those whose registers are in one of the
/// per-CPU areas, such as a processor that was taken offline. Where the snapshot does not hold the
/// masks, those that the registers or the areas themselves tell of.
///
/// A mask that is contradicted, by `nr_cpu_ids` or by the run queues, is an ending, and so is that
/// nothing tells, or that registers name an area that is not theirs.
pub(crate) fn processors(linux: &Linux, ends: &mut WalkEnds) -> Vec<u32> {
    let cpus = told(linux, ends);
    for state in &linux.guest.cpus {
        if let Some(end) = contradiction(linux, state, &cpus) {
            ends.add(WALK, end);
        }
    }
    cpus
}

fn told(linux: &Linux, ends: &mut WalkEnds) -> Vec<u32> {
    let ids = match ids(linux) {
        Ok(ids) => ids,
        Err(end) => {
            ends.add(WALK, end);
            None
        }
    };
    let known = ids.unwrap_or(1);
    let mut found = BTreeSet::new();
    let mut unread = None;
    for mask in [ONLINE, ACTIVE] {
        match mask.read(linux, known) {
            Some(Ok(cpus)) => found.extend(cpus),
            Some(Err(fault)) => unread = Some(fault),
            None => {}
        }
    }
    let told = !found.is_empty();
    if told && ids.is_some_and(|ids| found.iter().any(|cpu| *cpu >= ids)) {
        disagree(ends, "nr_cpu_ids and the masks of processors", 0, 1);
    }
    let registers = linux.guest.cpus.iter();
    found.extend(registers.filter_map(|state| number(linux, state, known)));
    if told {
        let queues: Vec<_> = (0..known).filter(|cpu| queue_online(linux, *cpu)).collect();
        let missing = queues.iter().filter(|cpu| found.insert(**cpu)).count();
        if missing > 0 {
            disagree(
                ends,
                "the masks of processors and the run queues",
                0,
                missing,
            );
        }
        return found.into_iter().collect();
    }
    let named = linux.guest.cpus.iter().map(|state| state.index);
    found.extend(named.filter(|cpu| runs(linux, *cpu) != Some(false)));
    let most = ids.unwrap_or(LIMIT);
    found.extend((0..most).take_while(|cpu| runs(linux, *cpu) == Some(true)));
    if linux.guest.cpus.is_empty() || found.is_empty() {
        let several = linux.guest.symbol(symbols::__per_cpu_offset).is_some();
        if several || unread.is_some() {
            ends.add(WALK, WalkEnd::no_start("the masks of processors", unread));
        }
    }
    if found.is_empty() {
        found.insert(0);
    }
    found.into_iter().collect()
}

fn disagree(ends: &mut WalkEnds, between: &'static str, only_first: usize, only_second: usize) {
    ends.add(
        WALK,
        WalkEnd::Disagreement {
            between,
            only_first,
            only_second,
        },
    );
}

/// `nr_cpu_ids`: one more than the highest number of a processor. `None` when nothing tells.
pub(crate) fn ids(linux: &Linux) -> Result<Option<u32>, WalkEnd> {
    let Some(place) = linux.guest.symbol(symbols::nr_cpu_ids) else {
        let one = linux.guest.symbol(symbols::__per_cpu_offset).is_none();
        return Ok(one.then_some(1));
    };
    match linux.guest.space.read_uint(place, 4) {
        Ok(ids) if ids == 0 || ids > u64::from(LIMIT) => Err(WalkEnd::no_start(
            format!("nr_cpu_ids: {ids} is no number of processors"),
            None,
        )),
        Ok(ids) => Ok(u32::try_from(ids).ok()),
        Err(_) => Ok(None),
    }
}

/// Whether the area of processor `cpu` holds a task that runs there; `None` where it cannot be read.
fn runs(linux: &Linux, cpu: u32) -> Option<bool> {
    let place = per_cpu(linux, cpu, variable(linux)?).ok()?;
    let task = linux.guest.space.read_pointer(place).ok()?;
    // The area of a processor that was never started says that it runs the first one's task.
    let read = |field: Option<Field<UInt>>| field?.read(&linux.guest.space, task).ok();
    list::plausible(&linux.guest, task).ok()?;
    Some(read(linux.tasks.cpu)? == u64::from(cpu) && read(linux.tasks.on_cpu) != Some(0))
}

/// Whether the run queue of processor `cpu` takes tasks.
fn queue_online(linux: &Linux, cpu: u32) -> bool {
    let online = || {
        let queues = linux.guest.profile.symbol(symbols::runqueues)?;
        let queue = per_cpu(linux, cpu, queues).ok()?;
        linux.run_queue.online?.read(&linux.guest.space, queue).ok()
    };
    online() == Some(1)
}

/// Whether the kernel runs processor `cpu`; true for each when the profile has no mask of them.
pub(crate) fn online(linux: &Linux, cpu: u32) -> Result<bool, Fault> {
    let mask = ONLINE.read(linux, cpu.saturating_add(1));
    mask.transpose()
        .map(|mask| mask.is_none_or(|cpus| cpus.contains(&cpu)))
}

/// The bases of per-CPU areas that a processor's registers name.
fn areas(linux: &Linux, state: &CpuState) -> Vec<u64> {
    let guest = &linux.guest;
    let bases = if guest.pointer_bytes() == 8 {
        [state.segments.gs.base, state.kernel_gs_base]
    } else {
        let base = state.segments.fs.base;
        [base.filter(|_| state.cpl == Some(0)), None]
    };
    bases
        .into_iter()
        .flatten()
        .filter(|base| *base != 0)
        .collect()
}

/// The number of the processor whose per-CPU area the registers name.
fn number(linux: &Linux, state: &CpuState, ids: u32) -> Option<u32> {
    linux.guest.symbol(symbols::__per_cpu_offset)?;
    let named = areas(linux, state);
    let is_area = |cpu: &u32| offset(linux, *cpu).is_ok_and(|offset| named.contains(&offset));
    // Its own number first: the others are rarely asked.
    let own = Some(state.index).filter(is_area);
    own.or_else(|| (0..ids).find(is_area))
}

/// The registers of processor `cpu`, by the per-CPU area that they name; by their own number where the
/// kernel has one area alone.
pub(crate) fn registers(linux: &Linux, cpu: u32) -> Option<&CpuState> {
    let several = linux.guest.symbol(symbols::__per_cpu_offset).is_some();
    let ids = cpu.saturating_add(1);
    linux.guest.cpus.iter().find(|state| {
        let own = number(linux, state, ids);
        own.or((!several).then_some(state.index)) == Some(cpu)
    })
}

/// The registers with the number of processor `cpu` that name no per-CPU area, as those of a 32-bit processor in user
/// mode, where the program has the segment.
pub(crate) fn by_number(linux: &Linux, cpu: u32) -> Option<&CpuState> {
    let mut cpus = linux.guest.cpus.iter();
    cpus.find(|state| state.index == cpu && areas(linux, state).is_empty())
}

/// Whether a processor's registers name a per-CPU area that the kernel does not have.
fn contradiction(linux: &Linux, state: &CpuState, cpus: &[u32]) -> Option<WalkEnd> {
    let table = linux.guest.symbol(symbols::__per_cpu_offset)?;
    let mut named = areas(linux, state);
    named.retain(|base| linux.guest.is_kernel_address(VirtAddr(*base)));
    let first = *named.first()?;
    let is_area = |base: &u64| cpus.iter().any(|cpu| offset(linux, *cpu) == Ok(*base));
    if named.iter().any(is_area) {
        return None;
    }
    let expected = offset(linux, state.index).ok()?;
    Some(WalkEnd::Inconsistent {
        at: table,
        back_link: VirtAddr(first),
        expected: VirtAddr(expected),
    })
}
