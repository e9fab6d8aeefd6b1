//! Tables that are no guest's answer: columns that a fleet gave.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::arrow;

/// Columns in memory, for whatever takes Arrow's PyCapsule interface.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Table {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

impl Table {
    pub(crate) fn new(schema: SchemaRef, batches: impl Into<Arc<[RecordBatch]>>) -> Self {
        Self {
            schema,
            batches: batches.into(),
        }
    }

    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }
}

/// A pyarrow.Table of anything with the interface.
pub(crate) fn to_arrow<'py>(columns: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let pyarrow = columns.py().import("pyarrow")?;
    pyarrow.call_method1("table", (columns,))
}

/// A polars.DataFrame of anything with the interface.
pub(crate) fn to_polars<'py>(columns: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let polars = columns.py().import("polars")?;
    polars.call_method1("DataFrame", (columns,))
}

/// A pandas.DataFrame of anything with the interface; whole numbers stay whole.
pub(crate) fn to_pandas<'py>(columns: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = columns.py();
    let types = py.import("pandas")?.getattr("ArrowDtype")?;
    let options = PyDict::new(py);
    options.set_item("types_mapper", types)?;
    to_arrow(columns)?.call_method("to_pandas", (), Some(&options))
}

#[pymethods]
impl Table {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    fn __len__(&self) -> usize {
        let rows = self.batches.iter().map(RecordBatch::num_rows);
        rows.fold(0, usize::saturating_add)
    }

    /// The columns, by Arrow's PyCapsule interface. May be asked for again.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer give its own schema whatever was requested.
        let _ = requested_schema;
        arrow::stream(py, &self.schema, &self.batches)
    }

    /// The columns' types, by Arrow's PyCapsule interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, &self.schema)
    }

    /// A pyarrow.Table. Needs pyarrow.
    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_arrow(slf.as_any())
    }

    /// A polars.DataFrame. Needs polars.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_polars(slf.as_any())
    }

    /// A pandas.DataFrame with Arrow's own types. Needs pandas and pyarrow.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_pandas(slf.as_any())
    }

    fn __repr__(&self) -> String {
        format!(
            "<Table of {} rows: {}>",
            self.__len__(),
            self.columns().join(", ")
        )
    }
}
