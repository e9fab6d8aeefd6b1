//! Rows as CSV records (RFC 4180), without a line end.
//!
//! After the table's columns stand two of JSON: `absent`, why cells are empty, and `hex`, the bytes
//! of the cells that are not text. Each is empty when it has nothing to say.

use std::fmt::Write as _;

use super::json::{hidden_bytes, json_absence};
use super::plain_text;
use crate::tables::{Cell, Column, Columns, Row, Table};

/// The names of the columns.
pub fn csv_header(table: &'static Table, into: &mut String) {
    csv_header_of(&Columns::of(&[table]), into);
}

/// The names of the columns of several kinds of row.
pub fn csv_header_of(columns: &Columns, into: &mut String) {
    for column in columns.iter() {
        into.push_str(column.name);
        into.push(',');
    }
    into.push_str("absent,hex");
}

/// One record.
pub fn csv_row(row: &dyn Row, into: &mut String) {
    let cells = row.cells().into_iter().map(Some);
    record(row.table().columns.iter().zip(cells), into);
}

/// One record among those of other kinds of row; a column that this kind does not have is empty.
pub fn csv_row_of(columns: &Columns, row: &dyn Row, into: &mut String) {
    record(columns.iter().zip(columns.cells(row)), into);
}

fn record<'a>(cells: impl Iterator<Item = (&'static Column, Option<Cell<'a>>)>, into: &mut String) {
    let mut absent = String::new();
    let mut hidden = String::new();
    for (column, cell) in cells {
        let Some(cell) = cell else {
            into.push(',');
            continue;
        };
        if let Cell::Absent(why) = &cell {
            absent.push(if absent.is_empty() { '{' } else { ',' });
            let _ = write!(absent, "\"{}\":", column.name);
            json_absence(why, &mut absent);
        }
        if let Some(bytes) = hidden_bytes(&cell) {
            hidden.push(if hidden.is_empty() { '{' } else { ',' });
            let _ = write!(hidden, "\"{}\":\"{bytes}\"", column.name);
        }
        csv_text(&plain_text(&cell), into);
        into.push(',');
    }
    for object in [&mut absent, &mut hidden] {
        if !object.is_empty() {
            object.push('}');
        }
    }
    csv_text(&absent, into);
    into.push(',');
    csv_text(&hidden, into);
}

/// One record of cells beside which nothing is said.
pub fn csv_cells<'a>(cells: impl IntoIterator<Item = Cell<'a>>, into: &mut String) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            into.push(',');
        }
        csv_text(&plain_text(&cell), into);
    }
}

/// Writes one value, in quotes when it needs them.
pub fn csv_text(text: &str, into: &mut String) {
    if text.contains(['"', ',', '\n', '\r']) {
        into.push('"');
        into.push_str(&text.replace('"', "\"\""));
        into.push('"');
    } else {
        into.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use osier_memory::VirtAddr;
    use osier_osi::{Seen, Thread};

    use super::*;

    #[test]
    fn a_record_has_all_columns() {
        let row = Thread {
            pid: Seen::Is(1),
            tid: Seen::not_in_this_kernel(),
            name: Seen::Is(b"a,b\xff".to_vec()),
            task: VirtAddr(16),
            state: Seen::not_in_this_kernel(),
        };
        let mut header = String::new();
        csv_header(row.table(), &mut header);
        assert_eq!(header, "pid,tid,name,task,state,absent,hex");
        let mut record = String::new();
        csv_row(&row, &mut record);
        assert_eq!(
            record,
            "1,,\"a,b\\xff\",0x10,,\"{\"\"tid\"\":{\"\"why\"\":\"\"not-in-this-kernel\"\"},\
             \"\"state\"\":{\"\"why\"\":\"\"not-in-this-kernel\"\"}}\",\
             \"{\"\"name\"\":\"\"612c62ff\"\"}\""
        );
    }
}
