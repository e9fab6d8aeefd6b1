//! Whose a page of memory is: the process that has it in its table.

use std::collections::HashMap;
use std::ops::ControlFlow;

use osier_memory::{PAGE_BYTES, PhysAddr};
use osier_osi::{Absent, Osi, PageRange, Seen, WalkEnds};

use crate::ask;
use crate::hit::Hit;

/// Pages by who has them, where a guest tells. They are looked at when the first page is asked about.
pub(super) struct Owners<'a> {
    osi: Option<&'a dyn Osi>,
    known: Option<PageOwners>,
}

/// Why a page is nobody's, or why nobody knows whose it is.
const NOBODYS: &str = "no process has this page in its table";
const NO_KERNEL: &str = "no kernel was found that tells whose page this is";

/// The pages of all processes.
struct PageOwners {
    ranges: Vec<PageRange>,
    /// A page frame's first range.
    frames: HashMap<u64, usize>,
    ends: WalkEnds,
}

/// Pages of one size or another that a range is believed to have; more are not looked at.
const LONGEST: u64 = 1 << 30;

impl PageOwners {
    fn of(osi: &dyn Osi) -> Self {
        let mut known = Self {
            ranges: Vec::new(),
            frames: HashMap::new(),
            ends: WalkEnds::default(),
        };
        let memory = osi.kernel_space().memory().clone();
        let runs = memory.runs();
        let is_ram = |pa: PhysAddr| {
            let next = runs.partition_point(|run| run.end() <= pa);
            runs.get(next).is_some_and(|run| run.contains(pa))
        };
        let (taskds, ends) = ask::taskds(osi);
        known.ends.join(ends);
        for taskd in taskds {
            let ends = osi.pages(taskd, &mut |range| {
                let (first, len) = (range.phys, range.len.min(LONGEST));
                let mut is_new = false;
                let number = known.ranges.len();
                for by in (0..len).step_by(PAGE_BYTES as usize) {
                    let pa = first.plus(by);
                    if is_ram(pa) {
                        known.frames.entry(pa.page().0).or_insert_with(|| {
                            is_new = true;
                            number
                        });
                    }
                }
                if is_new {
                    known.ranges.push(range);
                }
                ControlFlow::Continue(())
            });
            known.ends.join(ends);
        }
        known
    }

    fn range(&self, pa: PhysAddr) -> Option<&PageRange> {
        self.ranges.get(*self.frames.get(&pa.page().0)?)
    }
}

impl<'a> Owners<'a> {
    /// The owners that this guest tells of.
    pub(super) fn new(osi: Option<&'a dyn Osi>) -> Self {
        Self { osi, known: None }
    }

    /// How the walks ended that were taken.
    pub(super) fn ends(&self) -> WalkEnds {
        let known = self.known.as_ref().map(|known| known.ends.clone());
        known.unwrap_or_default()
    }

    /// A hit at the physical address `pa`.
    pub(super) fn hit(&mut self, pa: PhysAddr, rule: &str, matched: Vec<u8>) -> Hit {
        fn none<T>(because: &'static str) -> Seen<T> {
            Err(Absent::not_applicable(because))
        }
        let owner = self.osi.map(|osi| {
            let known = self.known.get_or_insert_with(|| PageOwners::of(osi));
            known.range(pa)
        });
        let (pid, address, mapping) = match owner {
            Some(Some(range)) => {
                let address = range.start.plus(pa.since(range.phys));
                (range.pid.clone(), Ok(address), range.backing.clone())
            }
            none_has => {
                let because = none_has.map_or(NO_KERNEL, |_| NOBODYS);
                (none(because), none(because), none(because))
            }
        };
        Hit {
            pid,
            address,
            phys: Ok(pa),
            mapping,
            rule: rule.to_owned(),
            matched,
        }
    }
}
