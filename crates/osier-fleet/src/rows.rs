//! The rows of one snapshot in one table, as they will be written.

use osier::ask::Question;
use osier::format::{csv_header_of, csv_row_of, json_fields, json_string};
use osier::tables::{Columns, Row, of};

use crate::TableFormat;

/// A table of a run: a question, and how its rows are written.
pub(crate) struct Table {
    pub(crate) question: Question,
    to: TableFormat,
    columns: Columns,
}

impl Table {
    pub(crate) fn new(question: Question, to: TableFormat) -> Self {
        Self {
            question,
            to,
            columns: Columns::of(of(question)),
        }
    }

    /// What stands before the first row.
    pub(crate) fn header(&self) -> String {
        let mut header = String::new();
        if self.to == TableFormat::Csv {
            header.push_str("snapshot,id,");
            csv_header_of(&self.columns, &mut header);
            header.push_str("\r\n");
        }
        header
    }

    /// The table's file.
    pub(crate) fn file(&self) -> String {
        format!("{}.{}", self.question.word(), self.to.extension())
    }
}

/// The rows of one snapshot in one table.
pub(crate) struct Rows<'a> {
    table: &'a Table,
    /// The first two fields of every row: the snapshot's name and id.
    label: String,
    text: String,
}

impl<'a> Rows<'a> {
    /// No rows yet of the snapshot `name`, which has this id.
    pub(crate) fn new(table: &'a Table, name: &str, id: &str) -> Self {
        let mut label = String::new();
        match table.to {
            TableFormat::Jsonl => {
                label.push_str("{\"snapshot\":");
                json_string(name, &mut label);
                label.push_str(",\"id\":");
                json_string(id, &mut label);
            }
            TableFormat::Csv => {
                osier::format::csv_text(name, &mut label);
                label.push(',');
                label.push_str(id);
                label.push(',');
            }
        }
        Self {
            table,
            label,
            text: String::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &dyn Row) {
        self.text.push_str(&self.label);
        match self.table.to {
            TableFormat::Jsonl => {
                json_fields(row, &mut self.text);
                self.text.push_str("}\n");
            }
            TableFormat::Csv => {
                csv_row_of(&self.table.columns, row, &mut self.text);
                self.text.push_str("\r\n");
            }
        }
    }

    /// Bytes that the rows take.
    pub(crate) fn held(&self) -> usize {
        self.text.len()
    }

    /// The rows as they are written.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
