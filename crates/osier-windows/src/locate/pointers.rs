//! Pointers into the kernel, whose distances name its build.

use osier_memory::{AddressSpace, CrashDump, Hint, Paging, VirtAddr};

use super::found::KnownKernel;
use crate::guest::is_kernel_address;

/// What a crash dump's header or KDBG says of the kernel's variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointers {
    /// `PsLoadedModuleList`.
    pub(crate) loaded_modules: VirtAddr,
    /// `PsActiveProcessHead`.
    pub(crate) active_processes: VirtAddr,
    /// `KdDebuggerDataBlock`.
    pub(crate) debugger_data: Option<VirtAddr>,
}

impl Pointers {
    pub(super) fn of_header(dump: &CrashDump, mode: Paging) -> Option<Self> {
        if dump.loaded_modules.is_null() || dump.active_processes.is_null() {
            return None;
        }
        Some(Self {
            loaded_modules: mode.canonicalise(dump.loaded_modules),
            active_processes: mode.canonicalise(dump.active_processes),
            debugger_data: dump.debugger_data.map(|at| mode.canonicalise(at)),
        })
    }

    /// The known build whose variables lie at these distances, and where its image lies. `None` when
    /// several do.
    pub(super) fn build<'k>(
        &self,
        known: &'k [KnownKernel],
    ) -> Option<(&'k KnownKernel, VirtAddr)> {
        let fits = |known: &&KnownKernel| {
            let base = self.active_processes.minus(known.active_processes);
            let modules = self.loaded_modules.since(base) == known.loaded_modules;
            let debugger = match (self.debugger_data, known.debugger_data) {
                (Some(at), Some(rva)) => at.since(base) == rva,
                _ => true,
            };
            modules && debugger && base.in_page() == 0
        };
        let mut all = known.iter().filter(fits);
        let first = all.next()?;
        // One build may be stored in several places.
        all.all(|other| other.build_id == first.build_id)
            .then(|| (first, self.active_processes.minus(first.active_processes)))
    }

    /// Whether memory bears out that a kernel lies at `base`: the first driver of a triage dump's
    /// list lies there, or the process list leads to and fro.
    pub(super) fn confirm(&self, space: &AddressSpace, base: VirtAddr, hints: &[Hint]) -> bool {
        let width = u64::from(space.mode().pointer_bytes());
        if !is_kernel_address(space, base) {
            return false;
        }
        // `_KLDR_DATA_TABLE_ENTRY.DllBase` follows six pointers (64-bit; five and three words).
        let dll_base = width.wrapping_mul(6);
        let driver = hints.iter().find_map(|hint| match hint {
            Hint::Driver(driver) => {
                let at = usize::try_from(dll_base).ok()?;
                let end = at.checked_add(usize::try_from(width).ok()?)?;
                let raw = driver.loader_entry.get(at..end)?;
                let value = raw
                    .iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                Some(VirtAddr(value))
            }
            _ => None,
        });
        if driver == Some(base) {
            return true;
        }
        let first = space.read_pointer(self.active_processes);
        let back = first.and_then(|first| space.read_pointer(first.plus(width)));
        back == Ok(self.active_processes)
    }
}
