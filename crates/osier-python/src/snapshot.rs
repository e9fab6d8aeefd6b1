//! Snapshots alone, without a kernel.

use std::sync::{Arc, Mutex, PoisonError};

use osier::Options;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::closed;
use crate::guest::Guest;
use crate::memory;
use crate::poll::abandonable;
use crate::reached::Reached;

/// An open snapshot, in which no kernel was looked for.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Snapshot {
    opened: Mutex<Option<Arc<osier::Snapshot>>>,
    options: Options,
    reached: Reached,
    label: String,
}

impl Snapshot {
    pub(crate) fn new(snapshot: osier::Snapshot, options: Options, reached: Reached) -> Self {
        Self {
            label: osier_text::path(&snapshot.info.file).to_string(),
            opened: Mutex::new(Some(Arc::new(snapshot))),
            options,
            reached,
        }
    }

    fn opened(&self, py: Python<'_>) -> PyResult<Arc<osier::Snapshot>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.clone().ok_or_else(|| closed(py))
    }
}

#[pymethods]
impl Snapshot {
    /// The file that holds the memory.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<std::path::PathBuf> {
        Ok(self.opened(py)?.info.file.clone())
    }

    /// The format of the file.
    #[getter]
    fn format(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.opened(py)?.info.format.name())
    }

    /// The length of the file in bytes.
    #[getter]
    fn file_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.opened(py)?.info.file_bytes)
    }

    /// What the headers say, as names and values in the order of the file.
    #[getter]
    fn facts(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        Ok(self.opened(py)?.info.facts.clone())
    }

    /// What is odd about the file and may make answers wrong or short.
    #[getter]
    fn doubts(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let opened = self.opened(py)?;
        Ok(opened.info.doubts().map(ToString::to_string).collect())
    }

    /// The stretches of guest-physical memory that the file holds: start and length in bytes.
    #[getter]
    fn runs(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        let opened = self.opened(py)?;
        let runs = opened.machine.memory.runs();
        Ok(runs.iter().map(|run| (run.start.0, run.len)).collect())
    }

    /// The page-table roots of the processors (CR3), in their order.
    #[getter]
    fn cr3(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let opened = self.opened(py)?;
        Ok(opened.machine.cpus.iter().map(|cpu| cpu.cr3).collect())
    }

    /// Bytes at a physical address. Raises FaultError at the first that cannot be read.
    fn read<'py>(
        &self,
        py: Python<'py>,
        address: u64,
        length: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let opened = self.opened(py)?;
        let read = memory::read_physical(py, &opened.machine.memory, address, length);
        self.reached.sound(py)?;
        read
    }

    /// Find the kernel, by what was said when the snapshot was opened.
    fn attach(&self, py: Python<'_>) -> PyResult<Guest> {
        let opened = self.opened(py)?;
        let snapshot = osier::Snapshot {
            machine: opened.machine.clone(),
            info: opened.info.clone(),
        };
        let options = self.options.clone();
        let attached = abandonable(py, move || osier::Guest::attach(snapshot, &options))?;
        let guest = self.reached.opened(py, attached)?;
        Ok(Guest::new(guest, self.reached.clone()))
    }

    /// Let go of the file.
    fn close(&self) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        *opened = None;
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        slf.opened(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!("<Snapshot {}>", self.label)
    }
}
