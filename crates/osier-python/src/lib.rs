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
#![allow(
    clippy::needless_pass_by_value,
    reason = "an argument of Python's is extracted into a value"
)]

mod absent;
mod answer;
mod arrow;
mod check;
mod command;
mod compare;
mod errors;
mod fleet;
mod gather;
mod guest;
mod held;
mod html;
mod memory;
mod opening;
mod owned;
mod panda;
mod pandas;
mod planned;
mod poll;
mod reached;
mod row;
mod said;
mod search;
mod snapshot;
mod table;
mod tree;
mod types;
mod walk;
mod written;

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
    module.add_class::<table::Table>()?;
    module.add_class::<tree::Tree>()?;
    module.add_class::<fleet::Run>()?;
    module.add_class::<fleet::Part>()?;
    module.add_class::<compare::Diff>()?;
    module.add_class::<compare::Timeline>()?;
    module.add_class::<check::Case>()?;
    module.add_class::<check::Distilled>()?;
    module.add_class::<types::Type>()?;
    module.add_class::<types::Member>()?;
    module.add_class::<types::Object>()?;
    module.add_function(wrap_pyfunction!(fleet::run, module)?)?;
    module.add_function(wrap_pyfunction!(compare::diff, module)?)?;
    module.add_function(wrap_pyfunction!(compare::timeline, module)?)?;
    module.add_function(wrap_pyfunction!(check::check, module)?)?;
    module.add_function(wrap_pyfunction!(check::distill, module)?)?;
    module.add_class::<written::Lost>()?;
    module.add_class::<written::Dumped>()?;
    module.add_class::<written::Exported>()?;
    module.add_class::<written::Report>()?;
    module.add_function(wrap_pyfunction!(written::export, module)?)?;
    module.add_function(wrap_pyfunction!(written::report, module)?)?;
    module.add_function(wrap_pyfunction!(opening::open, module)?)?;
    module.add_function(wrap_pyfunction!(opening::snapshot, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    module.add_function(wrap_pyfunction!(planned::planned_inputs, module)?)?;
    module.add_function(wrap_pyfunction!(planned::planned_run, module)?)?;
    module.add_function(wrap_pyfunction!(planned::planned_manifest, module)?)?;
    module.add_function(wrap_pyfunction!(planned::planned_columns, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_processes, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_current, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_mappings, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_modules, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_heap, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_cpu, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_read, module)?)?;
    module.add_function(wrap_pyfunction!(panda::panda_translate, module)?)?;
    row::add_classes(module)?;
    // What is public is what the package names.
    module.delattr("__all__")
}
