//! What `pyosier/panda.py` is made of: PANDA's answers as tuples, and memory as a processor sees it.

use osier::osier_memory::CpuState;
use osier::panda::{Printed, Sentinel, current_process, libraries, modules, processes};
use osier::{AddressSpace, Current, Osi, Process, Seen, SeenExt as _, VirtAddr};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::ControlFlow;

use crate::guest::Guest;
use crate::memory;

/// `taskd`, `pgd`, `asid`, `pid`, `ppid`, `name`, `create_time`.
type Proc<'py> = (u64, u64, u64, u32, u32, Option<Bound<'py, PyBytes>>, u64);

/// `modd`, `base`, `size`, `name`, `file`, `offset`, `flags`.
type Module<'py> = (
    u64,
    u64,
    u64,
    Option<Bound<'py, PyBytes>>,
    Option<Bound<'py, PyBytes>>,
    u64,
    u64,
);

/// A process, and the pid and tid of its thread.
type Running<'py> = (Option<Proc<'py>>, Option<(u32, u32)>);

fn bytes<'py>(py: Python<'py>, text: Option<&[u8]>) -> Option<Bound<'py, PyBytes>> {
    text.map(|text| PyBytes::new(py, text))
}

/// All ones of the guest's width, which PANDA has where there is no address space.
const fn none(pointer_bytes: u8) -> u64 {
    if pointer_bytes == 4 {
        0xffff_ffff
    } else {
        u64::MAX
    }
}

fn process<'py>(
    py: Python<'py>,
    process: &Process,
    name: &Seen<Vec<u8>>,
    pointer_bytes: u8,
) -> Proc<'py> {
    let none = none(pointer_bytes);
    (
        process.taskd.0,
        process.pgd.value().map_or(0, |pgd| pgd.0),
        process.asid.value().map_or(none, |asid| asid.0),
        process.pid.value().unwrap_or(0),
        process.ppid.value().unwrap_or(0),
        bytes(py, name.get().map(Vec::as_slice)),
        process.create_time.value().unwrap_or(0),
    )
}

/// What the processor of this number runs.
fn current(osi: &dyn Osi, cpu: u32) -> Option<Current> {
    let mut found = None;
    // How the walk ended does not matter: PANDA has no place to say it.
    let _ = osi.current(&mut |row| {
        if row.cpu != cpu {
            return ControlFlow::Continue(());
        }
        found = Some(row);
        ControlFlow::Break(())
    });
    found
}

/// The processes in PANDA's order.
#[pyfunction]
pub(crate) fn panda_processes<'py>(
    py: Python<'py>,
    guest: &Bound<'py, Guest>,
) -> PyResult<Vec<Proc<'py>>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    let rows = py.detach(|| {
        let osi = guest.provider();
        let current = current_process(&*osi).map(|process| process.taskd);
        processes(&*osi, current, &mut Printed::default())
    });
    asked.sound(py, Ok(()))?;
    let pointer_bytes = guest.pointer_bytes();
    let rows = rows.iter();
    Ok(rows
        .map(|row| process(py, row, &row.name, pointer_bytes))
        .collect())
}

/// The process that a processor runs, and its thread: PANDA names the thread of Linux.
#[pyfunction]
pub(crate) fn panda_current<'py>(
    py: Python<'py>,
    guest: &Bound<'py, Guest>,
    cpu: u32,
) -> PyResult<Running<'py>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    let found = py.detach(|| current(&*guest.provider(), cpu));
    asked.sound(py, Ok(()))?;
    let Some(row) = found else {
        return Ok((None, None));
    };
    let linux = guest.located().os() == osier::OsKind::Linux;
    let thread = row.thread.get();
    let running = row.process.get().map(|running| {
        let name = match thread {
            Some(thread) if linux => &thread.name,
            _ => &running.name,
        };
        process(py, running, name, guest.pointer_bytes())
    });
    let ids = thread.and_then(|thread| Some((thread.pid.value()?, thread.tid.value()?)));
    Ok((running, ids))
}

/// The mappings of a process as PANDA lists and names them.
#[pyfunction]
pub(crate) fn panda_mappings<'py>(
    py: Python<'py>,
    guest: &Bound<'py, Guest>,
    taskd: u64,
) -> PyResult<Vec<Module<'py>>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    let rows = py.detach(|| {
        let osi = guest.provider();
        libraries(&*osi, VirtAddr(taskd), &mut Printed::default())
    });
    asked.sound(py, Ok(()))?;
    let rows = rows.iter().map(|row| {
        let mapping = &row.mapping;
        (
            mapping.modd.0,
            mapping.base.value().map_or(0, |base| base.0),
            mapping.size.value().unwrap_or(0),
            bytes(py, row.name.as_deref()),
            bytes(py, row.file.as_deref()),
            mapping.offset.value().unwrap_or(0),
            mapping.flags.value().unwrap_or(0),
        )
    });
    Ok(rows.collect())
}

/// The kernel modules that PANDA lists.
#[pyfunction]
pub(crate) fn panda_modules<'py>(
    py: Python<'py>,
    guest: &Bound<'py, Guest>,
) -> PyResult<Vec<Module<'py>>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    let rows = py.detach(|| {
        let osi = guest.provider();
        modules(&*osi, Sentinel::Shown, &mut Printed::default())
    });
    asked.sound(py, Ok(()))?;
    let rows = rows.iter().map(|row| {
        (
            row.modd.0,
            row.base.value().map_or(0, |base| base.0),
            row.size.value().unwrap_or(0),
            bytes(py, row.name.get().map(Vec::as_slice)),
            bytes(py, row.file.get().map(Vec::as_slice)),
            0,
            0,
        )
    });
    Ok(rows.collect())
}

/// Where the heap of a process begins and ends; nothing, where it has none.
#[pyfunction]
pub(crate) fn panda_heap(
    py: Python<'_>,
    guest: &Bound<'_, Guest>,
    taskd: u64,
) -> PyResult<Option<(u64, u64)>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    let bounds = py.detach(|| {
        let provider = guest.provider();
        provider.panda()?.heap_bounds(VirtAddr(taskd)).value()
    });
    asked.sound(py, Ok(()))?;
    Ok(bounds.map(|(start, end)| (start.0, end.0)))
}

/// A processor, as the file holds it.
fn processor(guest: &osier::Guest, cpu: u32) -> PyResult<&CpuState> {
    let mut cpus = guest.machine().cpus.iter();
    let found = cpus.find(|state| state.index == cpu);
    found.ok_or_else(|| PyIndexError::new_err(format!("the snapshot has no processor {cpu}")))
}

/// The address space that a processor translates by.
fn space(guest: &osier::Guest, cpu: u32) -> PyResult<AddressSpace> {
    let cr3 = processor(guest, cpu)?.cr3;
    let provider = guest.provider();
    let kernel = provider.kernel_space();
    Ok(kernel.with_root(kernel.root_of_cr3(cr3)))
}

/// `cr3`, the instruction pointer, and the privilege level of a processor.
#[pyfunction]
pub(crate) fn panda_cpu(
    py: Python<'_>,
    guest: &Bound<'_, Guest>,
    cpu: u32,
) -> PyResult<(u64, u64, Option<u8>)> {
    let guest = guest.get().held(py)?;
    let state = processor(&guest, cpu)?;
    let root = space(&guest, cpu)?.root();
    Ok((root.0, state.rip, state.cpl))
}

/// Bytes as a processor sees them.
#[pyfunction]
pub(crate) fn panda_read<'py>(
    py: Python<'py>,
    guest: &Bound<'py, Guest>,
    cpu: u32,
    address: u64,
    length: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    asked.sound(py, memory::read(py, &space(&guest, cpu)?, address, length))
}

/// Where an address leads as a processor sees it.
#[pyfunction]
pub(crate) fn panda_translate(
    py: Python<'_>,
    guest: &Bound<'_, Guest>,
    cpu: u32,
    address: u64,
) -> PyResult<u64> {
    let asked = guest.get();
    let guest = asked.held(py)?;
    asked.sound(py, memory::physical(py, &space(&guest, cpu)?, address))
}
