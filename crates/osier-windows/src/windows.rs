//! What every walker takes: the guest, and where the members of each structure lie.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use osier_memory::{Driver, VirtAddr};
use osier_osi::Kernel;

use crate::guest::Guest;
use crate::layouts::{
    current, driver, handles, loader, object, peb, process, section, threads, token, trap, vad,
};
use crate::symbols;

/// A type of objects.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// What the kernel calls it, such as `File`.
    pub(crate) name: Vec<u8>,
    /// The rights that its objects have; `None` where the kernel's are not known.
    pub(crate) valid_access: Option<u64>,
}

/// Descriptors of a process, by address.
pub(crate) type Spans = Arc<[(u64, u64, VirtAddr)]>;

/// The Windows provider.
#[derive(Clone)]
pub struct Windows {
    pub(crate) guest: Guest,
    /// `PsActiveProcessHead`.
    pub(crate) processes_at: VirtAddr,
    /// `PsLoadedModuleList`.
    pub(crate) modules_at: Option<VirtAddr>,
    pub(crate) process: process::Layout,
    /// Tables of handles, that of ids among them; `None` when the profile does not describe them.
    pub(crate) handles: Option<handles::Layout>,
    pub(crate) peb: peb::Layout,
    pub(crate) loader: loader::Layout,
    pub(crate) threads: threads::Layout,
    pub(crate) current: current::Layout,
    pub(crate) vad: vad::Layout,
    pub(crate) section: section::Layout,
    pub(crate) object: object::Layout,
    pub(crate) token: token::Layout,
    pub(crate) driver: driver::Layout,
    pub(crate) trap: trap::Layout,
    /// The descriptors of the process that was asked for last: first address, bytes, and where each is.
    pub(crate) spans: RefCell<Option<(VirtAddr, Spans)>>,
    /// Types of objects that were met, by their addresses.
    pub(crate) kinds: RefCell<HashMap<VirtAddr, Kind>>,
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
