//! The command `osier`, which the wheel has as well.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Run the command osier with these arguments, its name first, and give its exit status.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| osier_cli::run(&arguments))
}
