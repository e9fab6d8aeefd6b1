//! The answer to a query: columns whose names, number and types are the query's.

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType, UInt64Type,
};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{DFSchema, TableReference};
use osier::tables::{Cell, Kind};
use osier_fleet::is_address;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutColumn {
    /// Its name. Where two columns of different tables have one name, the table's stands before it.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// The answer to a query.
#[derive(Debug)]
pub struct Answer {
    columns: Vec<OutColumn>,
    batches: Vec<RecordBatch>,
}

impl Answer {
    pub(crate) fn new(schema: &DFSchema, batches: Vec<RecordBatch>) -> Self {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for field in schema.fields() {
            let count = uses.entry(field.name().as_str()).or_default();
            *count = count.saturating_add(1);
        }
        let shared = |name: &str| uses.get(name).is_some_and(|&count| count > 1);
        let column = |(table, field): (Option<&TableReference>, &FieldRef)| OutColumn {
            name: match table {
                Some(table) if shared(field.name()) => {
                    format!("{}.{}", table.table(), field.name())
                }
                _ => field.name().clone(),
            },
            kind: kind(field),
        };
        Self {
            columns: schema.iter().map(column).collect(),
            batches,
        }
    }

    /// Its columns.
    pub fn columns(&self) -> &[OutColumn] {
        &self.columns
    }

    /// Its rows: a cell for each column.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Cell<'static>>> {
        self.batches.iter().flat_map(move |batch| {
            (0..batch.num_rows()).map(move |row| {
                let columns = self.columns.iter().zip(batch.columns());
                columns
                    .map(|(column, values)| cell(column.kind, values, row))
                    .collect()
            })
        })
    }
}

/// What the values of a column are: of those of other types, their text.
fn kind(field: &Field) -> Kind {
    match field.data_type() {
        DataType::UInt64 if is_address(field) => Kind::Address,
        DataType::Boolean => Kind::Flag,
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => Kind::Instant,
        numeric if numeric.is_numeric() => Kind::Number,
        _ => Kind::Text,
    }
}

/// The value in a row.
fn cell(kind: Kind, values: &ArrayRef, row: usize) -> Cell<'static> {
    if values.is_null(row) {
        return Cell::Null;
    }
    let text = || array_value_to_string(values, row).unwrap_or_else(|error| error.to_string());
    match kind {
        Kind::Flag => match values.as_boolean_opt() {
            Some(flags) => Cell::Flag(flags.value(row)),
            None => Cell::Text(text()),
        },
        // Microseconds reach further than nanoseconds: those outside are told as the engine tells them.
        Kind::Instant => instant(values, row).map_or_else(|| Cell::Text(text()), Cell::Instant),
        Kind::Address => match values.as_primitive_opt::<UInt64Type>() {
            Some(addresses) => Cell::Address(addresses.value(row)),
            None => Cell::Text(text()),
        },
        Kind::Number | Kind::Signed => number(values, row).unwrap_or_else(|| Cell::Numeral(text())),
        Kind::Text | Kind::Bytes => Cell::Text(text()),
    }
}

/// The instant in a row, in nanoseconds since 1970; `None` when they do not hold it.
fn instant(values: &ArrayRef, row: usize) -> Option<i64> {
    if let Some(instants) = values.as_primitive_opt::<TimestampMicrosecondType>() {
        return instants.value(row).checked_mul(1000);
    }
    let instants = values.as_primitive_opt::<TimestampNanosecondType>()?;
    Some(instants.value(row))
}

/// The number in a row; `None` when it is written as it prints.
fn number(values: &ArrayRef, row: usize) -> Option<Cell<'static>> {
    if let Some(numbers) = values.as_primitive_opt::<UInt64Type>() {
        return Some(Cell::Number(numbers.value(row)));
    }
    if let Some(numbers) = values.as_primitive_opt::<Int64Type>() {
        return u64::try_from(numbers.value(row)).ok().map(Cell::Number);
    }
    let real = match values.as_primitive_opt::<Float64Type>() {
        Some(reals) => Some(reals.value(row)),
        None => values
            .as_primitive_opt::<Float32Type>()
            .map(|reals| f64::from(reals.value(row))),
    };
    // JSON has no infinity, and no NaN.
    real.map(|real| {
        if real.is_finite() {
            Cell::Numeral(real.to_string())
        } else {
            Cell::Text(real.to_string())
        }
    })
}
