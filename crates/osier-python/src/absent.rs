//! Why a value is `None`.

use osier::{Cause, Fault, Why};
use pyo3::prelude::*;

/// Why a value of a row is None.
///
/// ``str()`` gives the reason as a sentence. The attributes are those of an absence in
/// ``docs/rows.md``; each is None where it does not apply.
#[pyclass(frozen, module = "pyosier", eq)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent(pub(crate) osier::Absent);

/// The page-table entry that a cause names.
pub(crate) fn entry_of(fault: Fault) -> Option<u64> {
    match fault.cause {
        Cause::NotPresent { entry } | Cause::Elsewhere { entry, .. } => Some(entry),
        _ => None,
    }
}

/// The place in the file that a cause names.
pub(crate) fn offset_of(fault: Fault) -> Option<u64> {
    match fault.cause {
        Cause::FileShort { offset }
        | Cause::ReadFailed { offset }
        | Cause::Decode { offset, .. } => Some(offset),
        _ => None,
    }
}

impl Absent {
    const fn fault(&self) -> Option<Fault> {
        match self.0.why {
            Why::Unreadable(fault) => Some(fault),
            _ => None,
        }
    }
}

#[pymethods]
impl Absent {
    /// The word of docs/rows.md: not-applicable, not-in-this-kernel, unreadable or implausible.
    #[getter]
    const fn why(&self) -> &'static str {
        match self.0.why {
            Why::NotApplicable(_) => "not-applicable",
            Why::NotInThisKernel => "not-in-this-kernel",
            Why::Unreadable(_) => "unreadable",
            Why::Implausible { .. } => "implausible",
        }
    }

    /// Whether the value exists in the guest and was lost on the way.
    #[getter]
    fn loss(&self) -> bool {
        self.0.is_loss()
    }

    /// Of a value that does not apply: why not, in words.
    #[getter]
    const fn because(&self) -> Option<&'static str> {
        match self.0.why {
            Why::NotApplicable(because) => Some(because),
            _ => None,
        }
    }

    /// Of a value that could not be read: what stood in the way, a word of docs/rows.md.
    #[getter]
    fn cause(&self) -> Option<&'static str> {
        self.fault().map(|fault| fault.cause.word())
    }

    /// The virtual address of the value.
    #[getter]
    fn va(&self) -> Option<u64> {
        let of_fault = self.fault().and_then(|fault| fault.va);
        of_fault.or(self.0.at).map(|va| va.0)
    }

    /// The physical address of the byte, or of the page-table entry, that could not be read.
    #[getter]
    fn pa(&self) -> Option<u64> {
        Some(self.fault()?.pa?.0)
    }

    /// The paging level whose entry stood in the way; 1 is the page table.
    #[getter]
    fn level(&self) -> Option<u8> {
        self.fault()?.level
    }

    /// The page-table entry that stood in the way.
    #[getter]
    fn entry(&self) -> Option<u64> {
        self.fault().and_then(entry_of)
    }

    /// Where in the file the byte should be.
    #[getter]
    fn offset(&self) -> Option<u64> {
        self.fault().and_then(offset_of)
    }

    /// Of a value that cannot be right: what was read.
    #[getter]
    const fn raw(&self) -> Option<u64> {
        match self.0.why {
            Why::Implausible { raw, .. } => Some(raw),
            _ => None,
        }
    }

    /// Of a value that cannot be right: the rule that it breaks.
    #[getter]
    const fn rule(&self) -> Option<&'static str> {
        match self.0.why {
            Why::Implausible { rule, .. } => Some(rule),
            _ => None,
        }
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Absent {}: {}>", self.why(), self.0)
    }
}
