//! What a program that spreads a run over machines needs: the inputs, as a plan hands them out, and the columns.
//!
//! The names of inputs are given where all of them are known, and go with them.

use std::ffi::OsString;
use std::path::PathBuf;

use osier_fleet::{Asking, Input, gather, gather_below, manifest_schema, table_schema};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::fleet::{Asked, Part, Run, begin, failed};
use crate::said::{Paths, limit, options, question, questions};
use crate::table::Table;

/// An input as Python has it: its path, its name, whether it was named itself, and why it cannot be opened.
type Planned = (OsString, String, bool, Option<String>);

/// Tell what paths name, as run does, and call it by its place below root.
#[pyfunction]
#[pyo3(signature = (paths, *, root=None, **said))]
pub(crate) fn planned_inputs(
    py: Python<'_>,
    paths: Paths,
    root: Option<PathBuf>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Vec<Planned>> {
    let (options, _) = options(said)?;
    let paths = paths.list();
    let found = py.detach(|| {
        let reach = options.reach.as_deref();
        match &root {
            Some(root) => gather_below(&paths, root, reach),
            None => Ok(gather(&paths, reach)),
        }
    });
    let found = found.map_err(|error| failed(py, &error))?;
    let planned = |input: Input| {
        (
            input.path.into_os_string(),
            input.name,
            input.named,
            input.problem,
        )
    };
    Ok(found.into_iter().map(planned).collect())
}

/// Ask these inputs, one after the other.
#[pyfunction]
#[pyo3(signature = (inputs, tables, *, time_limit=None, memory_limit=None, **said))]
pub(crate) fn planned_run(
    py: Python<'_>,
    inputs: Vec<Planned>,
    tables: &Bound<'_, PyAny>,
    time_limit: Option<f64>,
    memory_limit: Option<usize>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Run> {
    let inputs = inputs
        .into_iter()
        .map(|(path, name, named, problem)| Input {
            path: path.into(),
            name,
            named,
            problem,
        });
    let asking = Asking {
        questions: questions(py, Some(tables))?,
        time_limit: time_limit.map(|seconds| limit(py, seconds)).transpose()?,
        memory_limit: memory_limit.unwrap_or(Asking::MEMORY_LIMIT),
        ..Asking::new(options(said)?.0, 1)
    };
    begin(Asked::Inputs(inputs.collect()), asking, None)
}

/// Tell a snapshot's line of the manifest, as columns.
#[pyfunction]
pub(crate) fn planned_manifest(py: Python<'_>, part: PyRef<'_, Part>) -> Py<Table> {
    part.row(py)
}

/// Tell the columns of a question's table, or of the manifest: a table without rows.
#[pyfunction]
pub(crate) fn planned_columns(py: Python<'_>, word: &str) -> PyResult<Table> {
    let schema = match word {
        "manifest" => manifest_schema(),
        word => table_schema(question(py, word)?),
    };
    Ok(Table::new(schema, []))
}
