//! The module `pyosier._pyosier`: the engine for Python. `docs/python.md` says what is promised.
//!
//! ```text
//!   pyosier/__init__.py ──► Guest ──► Answer ──► rows (made of osier::tables)
//!                                        └─────► Arrow (osier-fleet's columns), HTML
//! ```
//!
//! Rows, their classes, and Arrow's columns are made of the one description of each table; nothing here
//! names a column. What walks does so detached from the interpreter, and looks every now and then
//! whether somebody wants it to stop ([`poll`]).

#![forbid(unsafe_code)]
#![allow(
    clippy::doc_markdown,
    reason = "what stands over Python's classes and methods are their docstrings"
)]

mod absent;
mod answer;
mod arrow;
mod command;
mod errors;
mod guest;
mod html;
mod memory;
mod opening;
mod owned;
mod poll;
mod row;
mod snapshot;
mod walk;

use pyo3::prelude::*;

/// The engine of the package pyosier.
#[pymodule(gil_used = false)]
fn _pyosier(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<absent::Absent>()?;
    module.add_class::<row::Row>()?;
    module.add_class::<answer::Answer>()?;
    module.add_class::<answer::Rows>()?;
    module.add_class::<answer::End>()?;
    module.add_class::<guest::Guest>()?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<memory::Step>()?;
    module.add_class::<memory::Translation>()?;
    module.add_function(wrap_pyfunction!(opening::open, module)?)?;
    module.add_function(wrap_pyfunction!(opening::snapshot, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    row::add_classes(module)?;
    // What is public is what the package names.
    module.delattr("__all__")
}
