//! What pandas is told of columns.
//!
//! Of a column of whole numbers of which one is missing pandas makes floating point, and an address loses its last
//! digits; of yes and no it makes objects. A table's metadata can name other types for them, those of pandas that have
//! a place for what is missing. Whoever takes a table without pandas need not know of it.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use osier::format::json_string;

/// The key of a table's metadata that pandas looks at (`docs/development/developer.rst` of pandas).
const KEY: &str = "pandas";

/// What pandas calls a column's type: its own where NumPy's has no place for what is missing.
const fn types(of: &DataType) -> (&'static str, &'static str) {
    match of {
        DataType::UInt64 => ("uint64", "UInt64"),
        DataType::Int64 => ("int64", "Int64"),
        DataType::Boolean => ("bool", "boolean"),
        _ => ("unicode", "object"),
    }
}

/// The same columns, whose metadata says what pandas shall make of them.
pub(crate) fn told(schema: &SchemaRef) -> SchemaRef {
    let mut json = String::from(r#"{"index_columns":[],"column_indexes":[],"columns":["#);
    for (number, field) in schema.fields().iter().enumerate() {
        let (pandas, numpy) = types(field.data_type());
        json.push_str(if number == 0 {
            r#"{"name":"#
        } else {
            r#",{"name":"#
        });
        json_string(field.name(), &mut json);
        json.push_str(r#","field_name":"#);
        json_string(field.name(), &mut json);
        json.push_str(r#","pandas_type":""#);
        json.push_str(pandas);
        json.push_str(r#"","numpy_type":""#);
        json.push_str(numpy);
        json.push_str(r#"","metadata":null}"#);
    }
    json.push_str("]}");
    let mut metadata = schema.metadata().clone();
    metadata.insert(KEY.to_owned(), json);
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata))
}
