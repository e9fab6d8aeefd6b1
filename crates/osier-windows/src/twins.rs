//! What the kernel says of a process a second time, to hold its words against.
//!
//! A second word that cannot be read says nothing: the first stays as it is.

use osier_osi::SeenExt as _;
use std::collections::HashMap;

use osier_memory::{Cause, PhysAddr, VirtAddr};
use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use crate::{Windows, process, threads};

layout! {
    /// Fields read from `_EPROCESS`.
    struct Fields: "_EPROCESS" {
        /// Threads that have not ended; the last one to end writes `ExitTime` after it took itself off.
        active_threads: Option<Field<UInt>> = ["ActiveThreads"],
        /// Whether the page of the table root has been taken from a process that waited long.
        outswapped: Option<Field<Bits>> = ["Outswapped", "OutSwapped", "ProcessOutswapped"],
        /// The section of its image; null for the kernel's own.
        section: Option<Field<Ptr<()>>> = ["SectionObject"],
        /// What waits for its end sees: 1 since it has exited.
        signal_state: Option<Field<SInt>> = ["Pcb.Header.SignalState"],
        /// The list of threads.
        thread_list_head: Option<Field<Embed<()>>> = ["ThreadListHead", "Pcb.ThreadListHead"],
    }
}

/// How to read second words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    fields: Fields,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            fields: Fields::resolve(resolver),
        }
    }
}

/// Threads of the process at `at` that have not ended, by the kernel's count.
pub(crate) fn active_threads(windows: &Windows, at: VirtAddr) -> Option<u64> {
    let field = windows.twins.fields.active_threads?;
    field.read(&windows.guest.space, at).ok()
}

/// Whether the process at `at` is one that waits can see the end of; `None` where that cannot be read.
pub(crate) fn signalled(windows: &Windows, at: VirtAddr) -> Option<bool> {
    let field = windows.twins.fields.signal_state?;
    let state = field.read(&windows.guest.space, at).ok()?;
    Some(state != 0)
}

/// Whether the process at `at` has no `ExitTime`; `false` where that cannot be read.
pub(crate) fn runs(windows: &Windows, at: VirtAddr) -> bool {
    let field = windows.process.fields.exit_time;
    field.is_some_and(|field| field.read(&windows.guest.space, at) == Ok(0))
}

/// Whether the page of the table root may hold anything else now.
pub(crate) fn is_away(windows: &Windows, at: VirtAddr) -> bool {
    let field = windows.twins.fields.outswapped;
    field.is_some_and(|field| field.read(&windows.guest.space, at) != Ok(0))
}

/// The rule that the table root of a process breaks, if any: a process that runs maps the kernel as
/// every other, and has a table of its own.
pub(crate) fn broken_root(windows: &Windows, at: VirtAddr, root: PhysAddr) -> Option<&'static str> {
    if !runs(windows, at) || is_away(windows, at) {
        return None;
    }
    if maps_the_kernel(windows, root) == Some(false) {
        return Some("a process's table maps the kernel");
    }
    let others = windows.roots.get_or_init(|| roots(windows));
    let shared = others.get(&root.0).is_some_and(|owners| *owners > 1);
    shared.then_some("no two processes have one table")
}

/// Whether the table at `root` has the kernel's image where the kernel's own table has it; `None`
/// where either cannot be read.
fn maps_the_kernel(windows: &Windows, root: PhysAddr) -> Option<bool> {
    let guest = &windows.guest;
    let place = guest.space.translate(guest.base).ok()?;
    match guest.space_of(root).translate(guest.base) {
        Ok(theirs) => Some(theirs == place),
        Err(fault) => {
            matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical).then_some(false)
        }
    }
}

/// How many processes that run have each table root.
fn roots(windows: &Windows) -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    let links = windows.process.fields.active_process_links;
    for node in windows.guest.ring(windows.processes_at).nodes {
        let at = links.container(node);
        if let Some(root) = process::root_word(windows, at).value()
            && runs(windows, at)
            && !is_away(windows, at)
        {
            let count: &mut u32 = owners.entry(root.0).or_default();
            *count = count.saturating_add(1);
        }
    }
    owners
}

/// Whether the process at `at` has user memory of a program's, whatever its PEB says: it is a WoW64
/// process, has a section of an image, or a thread with a block in user memory.
pub(crate) fn is_program(windows: &Windows, at: VirtAddr) -> bool {
    let space = &windows.guest.space;
    let some = |field: Option<Field<Ptr<()>>>, at: VirtAddr| {
        field.is_some_and(|field| field.read(space, at).is_ok_and(|word| !word.is_null()))
    };
    if windows.system() == Some(at) {
        return false;
    }
    let first_thread = || {
        let head = windows.twins.fields.thread_list_head?.place(at);
        let link = windows.threads.fields.thread_list_entry?;
        let first = space.read_pointer(head).ok()?;
        let thread = link.container(first);
        let owned = threads::owner(windows, thread).value() == Some(at);
        (first != head && owned).then_some(thread)
    };
    some(windows.process.fields.wow64, at)
        || some(windows.twins.fields.section, at)
        || first_thread().is_some_and(|thread| some(windows.threads.fields.teb, thread))
}
