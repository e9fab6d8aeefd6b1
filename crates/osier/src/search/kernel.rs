//! The kernel's addresses. Nearly all memory is mapped there more than once: each page is looked at where the kernel
//! works with it, and in the map of all memory only when it is nowhere else.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use osier_memory::{MappedRange, PAGE_BYTES, PhysAddr, PhysRun, VirtAddr};
use osier_osi::{Absent, Osi, Seen, SeenExt as _, WalkEnd};

use super::stream::{Match, Stream};
use super::under_way::{Search, Searched, shown, sweep};
use crate::hit::Hit;

/// Times that memory may be mapped before the tables are no kernel's.
const ALIASES: u64 = 16;
/// Stretches that a kernel's tables may have.
const STRETCHES: usize = 1 << 22;

/// A part of the kernel that has a name.
struct Named {
    range: Range<u64>,
    name: Vec<u8>,
}

/// Why the kernel's memory is no process's.
const KERNELS: &str = "the kernel's memory";

/// Searches the kernel's memory.
pub(super) fn search(search: &mut Search<'_>, osi: &dyn Osi) -> ControlFlow<()> {
    let named = named(osi, &mut search.done);
    let memory = osi.kernel_space().memory().clone();
    let mut stream = Stream::new(search.patterns, search.until);
    let mut met = HashSet::new();
    for range in ordered(osi, &mut search.done) {
        fresh(&range, &mut met, &mut |by, len| {
            let run = PhysRun {
                start: range.phys.plus(by),
                len,
            };
            sweep(search, &*memory, run, &mut |search, pa, bytes| {
                let at = range.start.plus(pa.since(range.phys)).0;
                stream.feed(at, bytes, pa, &mut |found| tell(search, &named, &found))
            })
        })?;
    }
    stream.finish(&mut |found| tell(search, &named, &found))
}

/// What the kernel's tables map: the map of all memory last, which is what most bytes are as far from their
/// physical addresses in.
fn ordered(osi: &dyn Osi, done: &mut Searched) -> Vec<MappedRange> {
    let mut ranges = ranges(osi, done);
    let mut distances: HashMap<u64, u64> = HashMap::new();
    let distance = |range: &MappedRange| range.start.0.wrapping_sub(range.phys.0);
    for range in &ranges {
        let bytes = distances.entry(distance(range)).or_default();
        *bytes = bytes.saturating_add(range.len);
    }
    let all = distances.into_iter().max_by_key(|(_, bytes)| *bytes);
    let all = all.map(|(distance, _)| distance);
    ranges.sort_by_key(|range| (Some(distance(range)) == all, range.start));
    ranges
}

/// What the kernel's tables map, by address.
fn ranges(osi: &dyn Osi, done: &mut Searched) -> Vec<MappedRange> {
    let space = osi.kernel_space();
    let (first, last) = if space.mode().pointer_bytes() == 8 {
        (1 << 63, u64::MAX)
    } else {
        (0x4000_0000, 1 << 32)
    };
    let ram: u64 = space.memory().runs().iter().map(|run| run.len).sum();
    let most = ram.saturating_mul(ALIASES).saturating_add(1 << 30);
    let (mut ranges, mut sum): (Vec<MappedRange>, u64) = (Vec::new(), 0);
    let mut end = None;
    space.mapped_rights(VirtAddr(first)..VirtAddr(last), &mut |range| {
        match range {
            Ok(range) => {
                sum = sum.saturating_add(range.len);
                if sum > most || ranges.len() >= STRETCHES {
                    let after = ranges.len();
                    end = Some(WalkEnd::Limit { after });
                    return ControlFlow::Break(());
                }
                ranges.push(range);
            }
            Err(fault) => done.lose(&Absent::unreadable(fault), PAGE_BYTES),
        }
        ControlFlow::Continue(())
    });
    if let Some(end) = end {
        done.ends.add("page-tables", end);
    }
    ranges
}

/// Shows the stretches of `range` whose pages were not met before: their distance from its start, and length.
fn fresh(
    range: &MappedRange,
    met: &mut HashSet<u64>,
    visit: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut by = 0;
    while by < range.len {
        let from = by;
        while by < range.len && met.insert(range.phys.plus(by).page().0) {
            by = by.saturating_add(PAGE_BYTES);
        }
        let len = by.min(range.len).saturating_sub(from);
        if len > 0 {
            visit(from, len)?;
        }
        by = by.saturating_add(PAGE_BYTES);
    }
    ControlFlow::Continue(())
}

/// The modules' memory.
fn named(osi: &dyn Osi, done: &mut Searched) -> Vec<Named> {
    let mut named = Vec::new();
    let mut modules = Vec::new();
    let ends = osi.modules(&mut |module| {
        modules.push(module);
        ControlFlow::Continue(())
    });
    done.ends.join(ends);
    for module in modules {
        let Some(name) = module.name.get() else {
            continue;
        };
        let parts = osi.carve().map(|carve| carve.module_parts(module.modd));
        let one = |base: VirtAddr, size: u64| base.0..base.0.saturating_add(size);
        let ranges: Vec<Range<u64>> = match (parts, module.base.value(), module.size.value()) {
            (Some(Ok(parts)), ..) => parts.iter().map(|part| one(part.base, part.size)).collect(),
            (_, Some(base), Some(size)) => Vec::from([one(base, size)]),
            _ => Vec::new(),
        };
        named.extend(ranges.into_iter().map(|range| Named {
            range,
            name: name.clone(),
        }));
    }
    named
}

/// The module that `at` lies in.
fn called(named: &[Named], at: u64) -> Seen<Vec<u8>> {
    let module = named.iter().find(|part| part.range.contains(&at));
    let module = module.map(|part| part.name.clone());
    module.ok_or_else(|| Absent::not_applicable("no module's memory"))
}

fn tell(search: &mut Search<'_>, named: &[Named], found: &Match<'_, PhysAddr>) -> ControlFlow<()> {
    search.hit(Hit {
        pid: Err(Absent::not_applicable(KERNELS)),
        address: Ok(VirtAddr(found.at)),
        phys: Ok(found.from.plus(found.by)),
        mapping: called(named, found.at),
        rule: found.pattern.rule().to_owned(),
        matched: shown(found.bytes),
    })
}

/// The kernel's memory as stretches of bytes, for whoever looks at all of it at once.
#[cfg(feature = "yara")]
pub(super) struct Stretches {
    named: Vec<Named>,
    pub(super) all: std::sync::Arc<[super::stretch::Stretch]>,
}

#[cfg(feature = "yara")]
impl Stretches {
    /// A hit at `at`, whose byte is in `frame`; what was found there is for others to say.
    pub(super) fn hit(&self, at: u64, frame: Option<PhysAddr>) -> Hit {
        Hit {
            pid: Err(Absent::not_applicable(KERNELS)),
            address: Ok(VirtAddr(at)),
            phys: frame.ok_or_else(|| Absent::not_applicable("no page is there")),
            mapping: called(&self.named, at),
            rule: String::new(),
            matched: Vec::new(),
        }
    }
}

/// The kernel's memory, each page once. Notes in `done` what is not there.
#[cfg(feature = "yara")]
pub(super) fn stretches(osi: &dyn Osi, done: &mut Searched) -> Stretches {
    use super::stretch::Stretch;

    let named = named(osi, done);
    let memory = osi.kernel_space().memory().clone();
    let mut met = HashSet::new();
    let mut all: Vec<Stretch> = Vec::new();
    for range in ordered(osi, done) {
        let _ =
            fresh(&range, &mut met, &mut |by, len| {
                let pa = range.phys.plus(by);
                crate::process_memory::readable(&*memory, pa, len, &mut |more, len, fault| {
                    match fault {
                        None => {
                            let start = range.start.plus(by).plus(more).0;
                            let frame = Some(pa.plus(more));
                            let last = all.last_mut();
                            match last.filter(|last| last.start.saturating_add(last.len()) == start)
                            {
                                Some(last) => last.parts.push((len, frame)),
                                None => all.push(Stretch {
                                    start,
                                    parts: vec![(len, frame)],
                                }),
                            }
                        }
                        Some(fault) => done.lose(&Absent::unreadable(fault), len),
                    }
                });
                ControlFlow::Continue(())
            });
    }
    all.sort_by_key(|stretch| stretch.start);
    Stretches {
        named,
        all: all.into(),
    }
}
