//! What the kernel says of a process a second time, to hold its words against.
//!
//! A second word that cannot be read says nothing: the first stays as it is.

use osier_memory::VirtAddr;

use crate::symbols;
use crate::windows::Windows;

/// Threads of the process at `at` that have not ended, by the kernel's count.
pub(crate) fn active_threads(windows: &Windows, at: VirtAddr) -> Option<u64> {
    let field = windows.process.fields.active_threads?;
    field.read(&windows.guest.space, at).ok()
}

/// Whether the process at `at` is one that waits can see the end of; `None` where that cannot be read.
pub(crate) fn signalled(windows: &Windows, at: VirtAddr) -> Option<bool> {
    let field = windows.process.fields.signal_state?;
    let state = field.read(&windows.guest.space, at).ok()?;
    Some(state != 0)
}

/// Whether the process at `at` has no `ExitTime`; `false` where that cannot be read.
pub(crate) fn runs(windows: &Windows, at: VirtAddr) -> bool {
    let field = windows.process.fields.exit_time;
    field.is_some_and(|field| field.read(&windows.guest.space, at) == Ok(0))
}

/// Whether the process at `at` has exited by all that the kernel says of it: it has an `ExitTime`, no
/// thread that runs, and is signalled.
pub(crate) fn has_exited(windows: &Windows, at: VirtAddr) -> bool {
    let field = windows.process.fields.exit_time;
    let time = field.and_then(|field| field.read(&windows.guest.space, at).ok());
    time.is_some_and(|time| time != 0)
        && active_threads(windows, at).is_none_or(|count| count == 0)
        && signalled(windows, at) != Some(false)
}

/// Whether the page of the table root may hold anything else now.
pub(crate) fn is_away(windows: &Windows, at: VirtAddr) -> bool {
    let field = windows.process.fields.outswapped;
    field.is_some_and(|field| field.read(&windows.guest.space, at) != Ok(0))
}

/// The idle process, which is on no list: what `PsIdleProcess` points to.
pub(crate) fn current_idle(windows: &Windows) -> Option<VirtAddr> {
    let at = windows.guest.symbol(symbols::PsIdleProcess)?;
    windows.guest.space.read_pointer(at).ok()
}

/// Whether the process at `at` was made without a program's image: the kernel's own, a minimal or a
/// pico process.
pub(crate) fn is_bare(windows: &Windows, at: VirtAddr) -> bool {
    let (space, fields) = (&windows.guest.space, &windows.process.fields);
    let minimal = fields.minimal.map(|field| field.read(space, at));
    let pico = fields.pico_context.map(|field| field.read(space, at));
    windows.system() == Some(at)
        || current_idle(windows) == Some(at)
        || minimal.is_some_and(|bit| bit != Ok(0))
        || pico.is_some_and(|context| context != Ok(VirtAddr(0)))
}
