//! Where bytes stand in memory: of processes, of the kernel, or of the machine.
//!
//! Memory is gone through once, a window at a time; matches over the borders of pages and windows are found, and
//! none is told twice. What is not in memory is counted.

mod kernel;
mod owners;
mod pattern;
mod process;
mod stream;
#[cfg(feature = "yara")]
mod stretch;
mod under_way;
#[cfg(feature = "yara")]
mod yara;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use osier_memory::{Fault, PhysAddr, PhysicalMemory, VirtAddr};
use osier_osi::{Absent, Osi, WalkEnd};

pub use crate::hit::{Hit, MOST_SHOWN};
use owners::Owners;
pub use pattern::{LONGEST_MATCH, Pattern, PatternError};
use stream::{Match, Stream};
use under_way::{Search, WALK, shown, sweep};
pub use under_way::{Searched, Tell};
#[cfg(feature = "yara")]
pub use yara::{Rules, search_rules};

/// Which memory is searched.
#[derive(Clone)]
pub enum Scope<'a> {
    /// That of these processes of a guest, by `taskd`: what each would see at its addresses.
    Processes(&'a dyn Osi, Vec<VirtAddr>),
    /// The kernel's addresses, each page of memory once.
    Kernel(&'a dyn Osi),
    /// All that a snapshot holds, by physical address. Whose a page is, its guest tells, where a kernel was found.
    Physical(Arc<dyn PhysicalMemory>, Option<&'a dyn Osi>),
}

impl<'a> Scope<'a> {
    /// All that the guest's snapshot holds.
    pub fn all_of(osi: &'a dyn Osi) -> Self {
        Self::Physical(osi.kernel_space().memory().clone(), Some(osi))
    }
}

/// Looks for `patterns` in the memory that `scope` names, and tells of every hit by address. At `until` the search
/// is given up.
pub fn search(
    scope: &Scope<'_>,
    patterns: &[Pattern],
    until: Option<Instant>,
    tell: &mut Tell<'_>,
) -> Searched {
    let mut search = Search {
        patterns,
        until,
        done: Searched::default(),
        tell,
    };
    let flow = match scope {
        Scope::Processes(osi, taskds) => taskds
            .iter()
            .try_for_each(|taskd| process::search(&mut search, *osi, *taskd)),
        Scope::Kernel(osi) => kernel::search(&mut search, *osi),
        Scope::Physical(memory, osi) => physical(&mut search, &**memory, Owners::new(*osi)),
    };
    let Searched { hits, .. } = search.done;
    let after = usize::try_from(hits).unwrap_or(usize::MAX);
    let end = match flow {
        ControlFlow::Continue(()) => WalkEnd::Closed,
        ControlFlow::Break(()) if search.is_late() => WalkEnd::Limit { after },
        ControlFlow::Break(()) => WalkEnd::Stopped,
    };
    search.done.ends.add(WALK, end);
    search.done
}

/// Searches all that the snapshot holds.
fn physical(
    search: &mut Search<'_>,
    memory: &dyn PhysicalMemory,
    mut owners: Owners<'_>,
) -> ControlFlow<()> {
    let mut stream = Stream::new(search.patterns, search.until);
    let mut owned = |search: &mut Search<'_>, met: &Match<'_, ()>| {
        search.hit(owners.hit(PhysAddr(met.at), met.pattern.rule(), shown(met.bytes)))
    };
    for (run, cause) in memory.lost() {
        let absent = Absent::unreadable(Fault::new(cause));
        search.done.lose(&absent, run.len);
    }
    for run in memory.runs() {
        sweep(search, memory, *run, &mut |search, pa, bytes| {
            stream.feed(pa.0, bytes, (), &mut |met| owned(search, &met))
        })?;
    }
    stream.finish(&mut |met| owned(search, &met))?;
    search.done.ends.join(owners.ends());
    ControlFlow::Continue(())
}
