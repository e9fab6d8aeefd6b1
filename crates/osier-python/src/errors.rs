//! Errors as exceptions. The classes stand in `pyosier/_errors.py`, with what is said of them.

use osier::{Error, ErrorKind, Fault};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::absent::{entry_of, offset_of};

/// An exception of the class `name` of `pyosier._errors`, with these attributes.
fn exception<'py>(
    py: Python<'py>,
    name: &str,
    message: String,
    set: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<()>,
) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let module = py.import("pyosier._errors")?;
        let class = module.getattr(name)?.cast_into::<PyType>()?;
        let raised = class.call1((message,))?;
        set(&raised)?;
        Ok(PyErr::from_value(raised))
    };
    made().unwrap_or_else(|error| error)
}

/// An exception of the class `name` that says no more than its message.
pub(crate) fn plain(py: Python<'_>, name: &str, message: impl Into<String>) -> PyErr {
    exception(py, name, message.into(), |_| Ok(()))
}

/// The class of a kind of error.
const fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::NotASnapshot => "NotASnapshotError",
        ErrorKind::Damaged => "DamagedError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::NoKernel => "NoKernelError",
        ErrorKind::SymbolsMissing => "SymbolsMissingError",
        ErrorKind::Contradiction => "ContradictionError",
        ErrorKind::Usage => "UsageError",
        ErrorKind::Io => "ReadError",
        _ => "Error",
    }
}

/// An error of the engine.
pub(crate) fn engine(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, class(error.kind()), error.to_string(), |raised| {
        raised.setattr("path", error.path().map(std::path::Path::as_os_str))?;
        raised.setattr("offset", error.offset())
    })
}

/// A byte that could not be read.
pub(crate) fn fault(py: Python<'_>, fault: Fault) -> PyErr {
    exception(py, "FaultError", fault.to_string(), |raised| {
        raised.setattr("cause", fault.cause.word())?;
        raised.setattr("va", fault.va.map(|va| va.0))?;
        raised.setattr("pa", fault.pa.map(|pa| pa.0))?;
        raised.setattr("level", fault.level)?;
        raised.setattr("entry", entry_of(fault))?;
        raised.setattr("offset", offset_of(fault))
    })
}

/// What was used is closed.
pub(crate) fn closed(py: Python<'_>) -> PyErr {
    plain(py, "ClosedError", "the guest or snapshot is closed")
}
