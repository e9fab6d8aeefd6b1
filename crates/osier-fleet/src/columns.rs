//! Rows as Arrow columns. The types are made of the one description of the rows, by these rules:
//!
//! | [`Kind`] | Arrow | |
//! |---|---|---|
//! | `Address`, `Number` | `UInt64` | |
//! | `Signed` | `Int64` | |
//! | `Flag` | `Boolean` | |
//! | `Text` | `Utf8` | |
//! | `Bytes` | `Utf8` | and `NAME_hex`, the bytes where the text does not give them back |
//! | `Instant` | `Timestamp(Microsecond, UTC)` | rounded down; Spark opens no file that has nanoseconds |
//!
//! A column of addresses says so in its metadata, which no file keeps. Before them stand `snapshot` and `id`, after them `absent`: why values are null, as JSON.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
    UInt64Builder,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use osier::Absent;
use osier::format::{hidden_bytes, json_absence, plain_text};
use osier::tables::{Cell, Cells, Column, Columns, Kind};

use crate::called::called;
use crate::labels::labels;

const UTC: &str = "UTC";

/// The metadata of a column of addresses, which are numbers by their type.
const KIND: (&str, &str) = ("kind", "address");

/// Whether the values of a column are addresses: those of a table's own column, or of one that it
/// was passed on to with its metadata.
pub fn is_address(field: &Field) -> bool {
    field
        .metadata()
        .get(KIND.0)
        .is_some_and(|kind| kind == KIND.1)
}

/// The schema of a table with these columns.
pub(crate) fn schema(columns: &Columns) -> SchemaRef {
    let mut fields = vec![
        Field::new("snapshot", DataType::Utf8, false),
        Field::new("id", DataType::Utf8, false),
    ];
    for column in columns.iter() {
        let field = Field::new(called(column.name), data_type(column.kind), true);
        fields.push(if column.kind == Kind::Address {
            field.with_metadata(HashMap::from([(KIND.0.to_owned(), KIND.1.to_owned())]))
        } else {
            field
        });
        if column.kind == Kind::Bytes {
            let name = format!("{}_hex", column.name);
            fields.push(Field::new(name, DataType::Utf8, true));
        }
    }
    fields.push(Field::new("absent", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Address | Kind::Number => DataType::UInt64,
        Kind::Signed => DataType::Int64,
        Kind::Flag => DataType::Boolean,
        Kind::Text | Kind::Bytes => DataType::Utf8,
        Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    }
}

/// The whole microseconds of an instant in nanoseconds, rounded down before 1970 as well: no time is
/// later than it was. Every such instant has them.
fn microseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1000)
}

/// The rows of one snapshot in one table.
pub(crate) struct Batch {
    schema: SchemaRef,
    columns: Vec<(&'static Column, Values, Said)>,
    absent: Rare,
    /// Where the text of `absent` is made.
    line: String,
    rows: usize,
    held: usize,
}

/// The values of a column.
enum Values {
    Number(UInt64Builder),
    Signed(Int64Builder),
    Flag(BooleanBuilder),
    Instant(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(StringBuilder, Rare),
}

/// Text that few rows have: the nulls before the next are only counted.
struct Rare {
    values: StringBuilder,
    nulls: usize,
}

impl Rare {
    /// None yet, with room for so many bytes of text in so many rows; of no text there is room for no rows either.
    fn new(rows: usize, text: usize) -> Self {
        let rows = if text == 0 { 0 } else { rows };
        Self {
            values: StringBuilder::with_capacity(rows, text),
            nulls: 0,
        }
    }

    fn text(&self) -> usize {
        self.values.values_slice().len()
    }

    fn append(&mut self, value: Option<impl AsRef<str>>) {
        match value {
            Some(value) => {
                self.values.append_nulls(std::mem::take(&mut self.nulls));
                self.values.append_value(value);
            }
            None => self.nulls = self.nulls.saturating_add(1),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        self.values.append_nulls(std::mem::take(&mut self.nulls));
        ArrayBuilder::finish(&mut self.values)
    }
}

/// Why a column's value is absent, as its part of `absent`: most of a column's are absent alike.
#[derive(Default)]
struct Said {
    last: Option<Absent>,
    text: String,
}

impl Said {
    fn of(&mut self, column: &Column, why: &Absent) -> &str {
        if self.last.as_ref() != Some(why) {
            self.text.clear();
            self.text.push('"');
            self.text.push_str(called(column.name));
            self.text.push_str("\":");
            json_absence(why, &mut self.text);
            self.last = Some(why.clone());
        }
        &self.text
    }
}

impl Values {
    /// None yet, with room for so many rows, and bytes of text, hidden ones among them.
    fn new(kind: Kind, rows: usize, (text, hidden): (usize, usize)) -> Self {
        match kind {
            Kind::Address | Kind::Number => Self::Number(UInt64Builder::with_capacity(rows)),
            Kind::Signed => Self::Signed(Int64Builder::with_capacity(rows)),
            Kind::Flag => Self::Flag(BooleanBuilder::with_capacity(rows)),
            Kind::Text => Self::Text(StringBuilder::with_capacity(rows, text)),
            Kind::Bytes => {
                let values = StringBuilder::with_capacity(rows, text);
                Self::Bytes(values, Rare::new(rows, hidden))
            }
            Kind::Instant => {
                let values = TimestampMicrosecondBuilder::with_capacity(rows);
                Self::Instant(values.with_timezone(UTC))
            }
        }
    }

    /// The bytes of text so far, and of what text does not give back.
    fn text(&self) -> (usize, usize) {
        match self {
            Self::Number(_) | Self::Signed(_) | Self::Flag(_) | Self::Instant(_) => (0, 0),
            Self::Text(values) => (values.values_slice().len(), 0),
            Self::Bytes(values, hidden) => (values.values_slice().len(), hidden.text()),
        }
    }

    /// Adds a value, or null. Gives the bytes that it takes, or so.
    fn push(&mut self, cell: Option<&Cell<'_>>) -> usize {
        let there = cell.filter(|cell| cell.kind().is_some());
        match self {
            Self::Number(values) => values.append_option(match there {
                Some(Cell::Address(value) | Cell::Number(value)) => Some(*value),
                _ => None,
            }),
            Self::Signed(values) => values.append_option(match there {
                Some(Cell::Number(value)) => i64::try_from(*value).ok(),
                Some(Cell::Numeral(value)) => value.parse().ok(),
                _ => None,
            }),
            Self::Flag(values) => values.append_option(match there {
                Some(Cell::Flag(value)) => Some(*value),
                _ => None,
            }),
            Self::Instant(values) => values.append_option(match there {
                Some(Cell::Instant(value)) => Some(microseconds(*value)),
                _ => None,
            }),
            Self::Text(values) => {
                let text = there.map(plain_text);
                values.append_option(text.as_deref());
                return text.map_or(0, |text| text.len()).saturating_add(WIDTH);
            }
            Self::Bytes(values, hidden) => {
                // Nearly every name is plain text.
                if let Some(Cell::Bytes(bytes)) = there
                    && let Ok(text) = std::str::from_utf8(bytes)
                {
                    values.append_value(text);
                    hidden.append(None::<&str>);
                    return text.len().saturating_add(WIDTH);
                }
                let text = there.map(plain_text);
                values.append_option(text.as_deref());
                hidden.append(there.and_then(hidden_bytes));
                let bytes = text.map_or(0, |text| text.len());
                return bytes.saturating_add(WIDTH);
            }
        }
        WIDTH
    }

    fn finish(mut self, arrays: &mut Vec<ArrayRef>) {
        match &mut self {
            Self::Number(values) => arrays.push(ArrayBuilder::finish(values)),
            Self::Signed(values) => arrays.push(ArrayBuilder::finish(values)),
            Self::Flag(values) => arrays.push(ArrayBuilder::finish(values)),
            Self::Instant(values) => arrays.push(ArrayBuilder::finish(values)),
            Self::Text(values) => arrays.push(ArrayBuilder::finish(values)),
            Self::Bytes(values, hidden) => {
                arrays.push(ArrayBuilder::finish(values));
                arrays.push(hidden.finish());
            }
        }
    }
}

/// Bytes of a value besides its text.
const WIDTH: usize = 9;

/// Rows, and bytes of their text, that there is room for from the start: about what most lists of a snapshot have,
/// whose columns all wait to be written.
const ROWS: usize = 127;
const TEXT: usize = 1024;

/// Room that rows like those of the batches before take.
#[derive(Default)]
pub(crate) struct Room {
    rows: usize,
    /// Of each column, as [`Values::text`] tells it.
    text: Vec<(usize, usize)>,
    absent: usize,
}

impl Room {
    /// Room for what is in `batch` as well.
    pub(crate) fn join(&mut self, batch: &Batch) {
        self.rows = self.rows.max(batch.rows);
        self.absent = self.absent.max(batch.absent.text());
        self.text.resize(batch.columns.len(), (0, 0));
        for (room, (_, values, _)) in self.text.iter_mut().zip(&batch.columns) {
            let (text, hidden) = values.text();
            *room = (room.0.max(text), room.1.max(hidden));
        }
    }

    fn of(&self, number: usize) -> (usize, usize) {
        let known = self.text.get(number);
        known.copied().unwrap_or((TEXT, 0))
    }
}

impl Batch {
    /// No rows yet, and room for a few.
    pub(crate) fn new(schema: SchemaRef, columns: &Columns) -> Self {
        Self::with_room(schema, columns, &Room::default())
    }

    /// No rows yet, and `room` for some.
    pub(crate) fn with_room(schema: SchemaRef, columns: &Columns, room: &Room) -> Self {
        let rows = room.rows.max(ROWS);
        let new = |(number, column): (usize, &'static Column)| {
            let values = Values::new(column.kind, rows, room.of(number));
            (column, values, Said::default())
        };
        Self {
            schema,
            columns: columns.iter().enumerate().map(new).collect(),
            absent: Rare::new(rows, room.absent),
            line: String::new(),
            rows: 0,
            held: 0,
        }
    }

    /// Adds a row, whose cells are in the order of `columns`.
    pub(crate) fn push(&mut self, columns: &Columns, row: &Cells<'_>) {
        let absent = &mut self.line;
        absent.clear();
        for ((column, values, said), cell) in self.columns.iter_mut().zip(columns.cells(row)) {
            let bytes = values.push(cell);
            self.held = self.held.saturating_add(bytes);
            if let Some(Cell::Absent(why)) = cell {
                absent.push(if absent.is_empty() { '{' } else { ',' });
                absent.push_str(said.of(column, why));
            }
        }
        if absent.is_empty() {
            self.absent.append(None::<&str>);
        } else {
            absent.push('}');
            self.absent.append(Some(&*absent));
        }
        self.held = self.held.saturating_add(absent.len());
        self.rows = self.rows.saturating_add(1);
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that the rows take, or so.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The rows, each with the snapshot's name and id.
    ///
    /// # Errors
    ///
    /// A cell was not of its column's kind.
    pub(crate) fn finish(self, name: &str, id: &str) -> Result<RecordBatch, ArrowError> {
        let labels = labels(name, id, self.rows);
        self.labelled(labels)
    }

    /// The rows, after the columns `snapshot` and `id` of as many.
    ///
    /// # Errors
    ///
    /// A cell was not of its column's kind.
    pub(crate) fn labelled(mut self, labels: [ArrayRef; 2]) -> Result<RecordBatch, ArrowError> {
        let mut arrays = Vec::new();
        for (_, values, _) in self.columns {
            values.finish(&mut arrays);
        }
        arrays.push(self.absent.finish());
        if self.rows > ROWS {
            // Columns grow by doubling: half of what they take may be empty.
            arrays.iter_mut().for_each(Array::shrink_to_fit);
        }
        let arrays = labels.into_iter().chain(arrays).collect();
        RecordBatch::try_new(self.schema, arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::microseconds;

    #[test]
    fn instants_are_rounded_down() {
        let cases = [
            (0, 0),
            (999, 0),
            (1000, 1),
            (-1, -1),
            (-1000, -1),
            (-1001, -2),
            (i64::MAX, 9_223_372_036_854_775),
            (i64::MIN, -9_223_372_036_854_776),
        ];
        for (nanoseconds, wanted) in cases {
            assert_eq!(microseconds(nanoseconds), wanted, "{nanoseconds}");
        }
    }
}
