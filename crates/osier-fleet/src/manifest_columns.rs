//! Entries of the manifest as Arrow columns: `utf8`, `uint64`, and `float64` for milliseconds. Lists
//! and objects are their JSON.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::manifest::{Entry, FIELDS, FieldKind, Value};

/// The columns of the manifest.
pub fn schema() -> SchemaRef {
    let fields = FIELDS.iter().map(|field| {
        let kind = match field.kind {
            FieldKind::Text | FieldKind::Json => DataType::Utf8,
            FieldKind::Number => DataType::UInt64,
            FieldKind::Milliseconds => DataType::Float64,
        };
        Field::new(field.name, kind, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// One entry.
pub(crate) fn batch(entry: &Entry) -> Result<RecordBatch, ArrowError> {
    let arrays = entry.values().map(|value| -> ArrayRef {
        match value {
            Value::Text(text) => Arc::new(StringArray::from(vec![text])),
            Value::Json(text) => Arc::new(StringArray::from(vec![text])),
            Value::Number(number) => Arc::new(UInt64Array::from(vec![number])),
            Value::Milliseconds(time) => Arc::new(Float64Array::from(vec![time])),
        }
    });
    RecordBatch::try_new(schema(), arrays.to_vec())
}
