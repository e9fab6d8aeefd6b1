//! What every walker takes: the guest, and where the members of each structure lie.

use std::cell::OnceCell;
use std::collections::HashMap;

use osier_memory::{Driver, VirtAddr};
use osier_osi::Kernel;

use crate::guest::Guest;
use crate::layouts::{cid, current, loader, peb, process, section, threads, vad};
use crate::symbols;

/// The Windows provider.
#[derive(Clone)]
pub struct Windows {
    pub(crate) guest: Guest,
    /// `PsActiveProcessHead`.
    pub(crate) processes_at: VirtAddr,
    /// `PsLoadedModuleList`.
    pub(crate) modules_at: Option<VirtAddr>,
    pub(crate) process: process::Layout,
    /// The table of ids; `None` when the profile does not describe it.
    pub(crate) cid: Option<cid::Layout>,
    pub(crate) peb: peb::Layout,
    pub(crate) loader: loader::Layout,
    pub(crate) threads: threads::Layout,
    pub(crate) current: current::Layout,
    pub(crate) vad: vad::Layout,
    pub(crate) section: section::Layout,
    /// How many processes that run have each table root, once asked for.
    pub(crate) roots: OnceCell<HashMap<u64, u32>>,
    /// The drivers that a triage dump lists outside its blocks of memory.
    pub(crate) drivers: Vec<Driver>,
    /// The number of processors that a crash dump's header names.
    pub(crate) processors: Option<u32>,
    pub(crate) kernel: Kernel,
}

impl Windows {
    /// The System process: what `PsInitialSystemProcess` points to.
    pub(crate) fn system(&self) -> Option<VirtAddr> {
        let at = self.guest.symbol(symbols::PsInitialSystemProcess)?;
        let process = self.guest.space.read_pointer(at).ok()?;
        self.guest.plausible(process).ok().map(|()| process)
    }
}
