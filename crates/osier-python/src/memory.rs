//! Bytes and addresses.

use std::sync::Arc;

use osier::osier_memory::PhysicalMemory;
use osier::{AddressSpace, Fault, Guest, PhysAddr, VirtAddr};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{fault, plain};
use crate::poll::Poll;
use crate::said::taskds;

/// Bytes that are read at a time: no more is set aside than could be read so far.
pub(crate) const WINDOW: u64 = 1 << 20;

/// The address space of a process, or of the kernel.
pub(crate) fn space(
    py: Python<'_>,
    guest: &Guest,
    pid: Option<&Bound<'_, PyAny>>,
) -> PyResult<AddressSpace> {
    let Some(pid) = pid else {
        return Ok(guest.provider().kernel_space().clone());
    };
    let (taskds, _) = taskds(guest, pid)?;
    let [taskd] = taskds.as_slice() else {
        let several = format!(
            "{} processes have this pid: it is not known which one is meant",
            taskds.len()
        );
        return Err(plain(py, "NoProcessError", several));
    };
    guest.provider().address_space(*taskd).map_err(|absent| {
        let why = format!("the process has no address space to read by: {absent}");
        plain(py, "NoProcessError", why)
    })
}

/// Reads bytes at an address.
type Piece<'a> = dyn Fn(u64, &mut [u8]) -> Result<(), Fault> + Sync + 'a;

/// Reads piece by piece, and stops at the first byte that cannot be read.
fn pieces<'py>(
    py: Python<'py>,
    address: u64,
    length: u64,
    piece: &Piece<'_>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut poll = Poll::new();
    let read = py.detach(|| {
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < length && poll.look().is_continue() {
            let done = bytes.len();
            let at = address.wrapping_add(done as u64);
            // To the window's end, so that pieces end where pages do.
            let room = WINDOW.wrapping_sub(at % WINDOW);
            let more = room.min(length.wrapping_sub(done as u64));
            bytes.resize(done.saturating_add(more as usize), 0);
            piece(at, bytes.get_mut(done..).unwrap_or_default())?;
        }
        Ok(bytes)
    });
    poll.raised()?;
    let bytes = read.map_err(|why| fault(py, why))?;
    Ok(PyBytes::new(py, &bytes))
}

/// Bytes at a virtual address.
pub(crate) fn read<'py>(
    py: Python<'py>,
    space: &AddressSpace,
    address: u64,
    length: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let space = std::sync::Mutex::new(space.clone());
    pieces(py, address, length, &|at, bytes| {
        let space = space
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        space.read(VirtAddr(at), bytes)
    })
}

/// Bytes at a physical address.
pub(crate) fn read_physical<'py>(
    py: Python<'py>,
    memory: &Arc<dyn PhysicalMemory>,
    address: u64,
    length: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    pieces(py, address, length, &|at, bytes| {
        memory.read(PhysAddr(at), bytes)
    })
}

/// One table entry on the way of a translation.
#[pyclass(frozen, get_all, module = "pyosier", eq)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The paging level: 1 is the page table, 5 the PML5.
    level: u8,
    /// The physical address of the entry.
    at: u64,
    /// The entry as it stands in memory.
    entry: u64,
    /// Bits of the entry that are set although the processor reserves them.
    reserved: u64,
}

#[pymethods]
impl Step {
    fn __repr__(&self) -> String {
        format!(
            "Step(level={}, at={:#x}, entry={:#x})",
            self.level, self.at, self.entry
        )
    }
}

/// Where a virtual address leads.
#[pyclass(frozen, get_all, module = "pyosier", eq)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The virtual address.
    va: u64,
    /// The physical address of the byte.
    pa: u64,
    /// Bytes of the page that maps it.
    page_size: u64,
    /// The table entries on the way, root first.
    steps: Vec<Step>,
}

#[pymethods]
impl Translation {
    fn __repr__(&self) -> String {
        format!(
            "Translation(va={:#x}, pa={:#x}, page_size={})",
            self.va, self.pa, self.page_size
        )
    }
}

/// Where a virtual address leads.
pub(crate) fn translate(
    py: Python<'_>,
    space: &AddressSpace,
    address: u64,
) -> PyResult<Translation> {
    let walk = space.walk(VirtAddr(address));
    let to = walk.outcome.map_err(|why| fault(py, why))?;
    let steps = walk.steps.iter().map(|step| Step {
        level: step.level,
        at: step.at.0,
        entry: step.entry,
        reserved: step.reserved,
    });
    Ok(Translation {
        va: address,
        pa: to.pa.0,
        page_size: to.page_bytes,
        steps: steps.collect(),
    })
}

/// The physical address of a virtual one.
pub(crate) fn physical(py: Python<'_>, space: &AddressSpace, address: u64) -> PyResult<u64> {
    let found = space.translate(VirtAddr(address));
    Ok(found.map_err(|why| fault(py, why))?.0)
}
