//! Arrow by the PyCapsule protocol: what polars, pandas, pyarrow and DuckDB ask for.

use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::plain;
use crate::pandas;

/// What Arrow says, as an exception.
pub(crate) fn failed(py: Python<'_>, error: &ArrowError) -> PyErr {
    plain(py, "Error", error.to_string())
}

/// Batches as a capsule with an `ArrowArrayStream`. Their columns are shared, not copied.
pub(crate) fn stream<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
    batches: &Arc<[RecordBatch]>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let all: Vec<Result<RecordBatch, ArrowError>> = batches.iter().cloned().map(Ok).collect();
    let reader = RecordBatchIterator::new(all, pandas::told(schema));
    let stream = FFI_ArrowArrayStream::new(Box::new(reader));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// A schema as a capsule with an `ArrowSchema`.
pub(crate) fn schema<'py>(py: Python<'py>, schema: &SchemaRef) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = pandas::told(schema);
    let schema = FFI_ArrowSchema::try_from(&*schema).map_err(|error| failed(py, &error))?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}
