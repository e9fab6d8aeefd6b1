//! The rows of one snapshot in one table.

use osier::format::{csv_name, csv_row_of, json_cells, json_string};
use osier::tables::Cells;

use crate::called::called;
use crate::table::{Shape, Table};

/// Rows that are being gathered.
pub(crate) struct Rows<'a> {
    table: &'a Table,
    form: Form,
}

enum Form {
    /// The first two fields of every row, and the rows.
    Text { label: String, text: String },
    #[cfg(feature = "arrow")]
    Columns {
        batch: crate::columns::Batch,
        name: String,
        id: String,
    },
}

/// Rows that wait to be written.
pub(crate) enum Piece {
    Text(String),
    #[cfg(feature = "arrow")]
    Columns(arrow_array::RecordBatch),
}

impl<'a> Rows<'a> {
    /// No rows yet of the snapshot `name`, which has this id.
    pub(crate) fn new(table: &'a Table, name: &str, id: &str) -> Self {
        let mut label = String::new();
        match table.shape {
            Shape::Jsonl => {
                label.push_str("{\"snapshot\":");
                json_string(name, &mut label);
                label.push_str(",\"id\":");
                json_string(id, &mut label);
            }
            Shape::Csv => {
                csv_name(&osier_text::visible(name), &mut label);
                label.push(',');
                label.push_str(id);
                label.push(',');
            }
            #[cfg(feature = "arrow")]
            Shape::Columns => {
                let batch = crate::columns::Batch::new(table.schema.clone(), &table.columns);
                let (name, id) = (name.to_owned(), id.to_owned());
                let form = Form::Columns { batch, name, id };
                return Self { table, form };
            }
        }
        Self {
            table,
            form: Form::Text {
                label,
                text: String::new(),
            },
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Cells<'_>) {
        match &mut self.form {
            Form::Text { label, text } => {
                text.push_str(label);
                if self.table.shape == Shape::Csv {
                    csv_row_of(&self.table.columns, row, text);
                    text.push_str("\r\n");
                } else {
                    let cells = row.iter().map(|(column, cell)| (called(column.name), cell));
                    json_cells(cells, text);
                    text.push_str("}\n");
                }
            }
            #[cfg(feature = "arrow")]
            Form::Columns { batch, .. } => batch.push(&self.table.columns, row),
        }
    }

    /// Bytes that the rows take.
    pub(crate) fn held(&self) -> usize {
        match &self.form {
            Form::Text { text, .. } => text.len(),
            #[cfg(feature = "arrow")]
            Form::Columns { batch, .. } => batch.held(),
        }
    }

    /// The rows as they wait to be written. The error says in words what is wrong with them.
    #[cfg_attr(
        not(feature = "arrow"),
        allow(clippy::unnecessary_wraps, reason = "text cannot fail")
    )]
    pub(crate) fn finish(self) -> Result<Piece, String> {
        match self.form {
            Form::Text { text, .. } => Ok(Piece::Text(text)),
            #[cfg(feature = "arrow")]
            Form::Columns { batch, name, id } => {
                let batch = batch.finish(&name, &id);
                batch.map(Piece::Columns).map_err(|error| error.to_string())
            }
        }
    }
}
