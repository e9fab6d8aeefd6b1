//! Rows as CSV records (RFC 4180), without a line end.
//!
//! A record is one line, and safe to open in a spreadsheet: what cannot be seen is written by its
//! number ([`osier_text`]), and text that a spreadsheet would take for a formula has an apostrophe
//! before it. Both can be undone: drop one apostrophe where a text starts with one, then read the
//! escapes back.
//!
//! After the table's columns stand two of JSON: `absent`, why cells are empty, and `hex`, the bytes
//! of the cells that are not text. Each is empty when it has nothing to say.

use std::fmt::Write as _;

use osier_text::{visible_again, visible_bytes};

use super::json::{hidden_bytes, json_absence};
use super::{arguments_line, plain_text};
use crate::tables::{Cell, Cells, Column, Columns, Table};

/// The names of the columns.
pub fn csv_header(table: &'static Table, into: &mut String) {
    csv_header_of(table.columns.iter().map(|column| column.name), into);
}

/// The names of columns, of several kinds of row or others than the row's own, and those of the two behind them.
pub fn csv_header_of<'a>(names: impl IntoIterator<Item = &'a str>, into: &mut String) {
    for name in names {
        into.push_str(name);
        into.push(',');
    }
    into.push_str("absent,hex");
}

/// One record.
pub fn csv_row(row: &Cells<'_>, into: &mut String) {
    record(row.iter().map(|(column, cell)| (column, Some(cell))), into);
}

/// One record among those of other kinds of row; a column that this kind does not have is empty.
pub fn csv_row_of(columns: &Columns, row: &Cells<'_>, into: &mut String) {
    record(columns.iter().zip(columns.cells(row)), into);
}

fn record<'a>(
    cells: impl Iterator<Item = (&'static Column, Option<&'a Cell<'a>>)>,
    into: &mut String,
) {
    let mut absent = String::new();
    let mut hidden = String::new();
    for (column, cell) in cells {
        let Some(cell) = cell else {
            into.push(',');
            continue;
        };
        if let Cell::Absent(why) = cell {
            absent.push(if absent.is_empty() { '{' } else { ',' });
            let _ = write!(absent, "\"{}\":", column.name);
            json_absence(why, &mut absent);
        }
        if let Some(bytes) = hidden_bytes(cell) {
            hidden.push(if hidden.is_empty() { '{' } else { ',' });
            let _ = write!(hidden, "\"{}\":\"{bytes}\"", column.name);
        }
        csv_cell(cell, into);
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
        csv_cell(&cell, into);
    }
}

/// Writes a cell. Text is what somebody chose; everything else is ours.
fn csv_cell(cell: &Cell<'_>, into: &mut String) {
    match cell {
        Cell::Bytes(bytes) => csv_name(&visible_bytes(bytes), into),
        Cell::Arguments(bytes) => csv_name(&visible_bytes(&arguments_line(bytes)), into),
        Cell::Text(text) => csv_name(&visible_again(text), into),
        _ => csv_text(&plain_text(cell), into),
    }
}

/// Writes text that somebody chose, which no spreadsheet shall take for a formula.
pub fn csv_name(text: &str, into: &mut String) {
    if text.starts_with(FORMULA) {
        csv_text(&format!("'{text}"), into);
    } else {
        csv_text(text, into);
    }
}

/// What starts a formula in some spreadsheet, and the apostrophe that says that none starts.
const FORMULA: [char; 9] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\''];

/// Writes one value, in quotes when it needs them.
fn csv_text(text: &str, into: &mut String) {
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
    use osier_osi::{Absent, Thread};

    use super::*;

    #[test]
    fn no_name_is_a_formula_or_breaks_a_line() {
        let check = |name: &[u8], field: &str| {
            let mut record = String::new();
            csv_cells([Cell::Bytes(name)], &mut record);
            assert_eq!(record, field);
        };
        check(b"=cmd|' /C c'!A0", "'=cmd|' /C c'!A0");
        check(b"@SUM(1)", "'@SUM(1)");
        check("＝1".as_bytes(), "'＝1");
        check(b"-bash", "'-bash");
        check(b"'a", "''a");
        check(b"\t=1", r"\u{9}=1");
        check(b"a\r\nb\x1b[2J", r"a\u{d}\u{a}b\u{1b}[2J");
        check(b"kworker/0:1", "kworker/0:1");
        let mut record = String::new();
        csv_cells([Cell::Numeral("-1".to_owned())], &mut record);
        assert_eq!(record, "-1");
    }

    #[test]
    fn a_record_has_all_columns() {
        let row = Thread {
            pid: Ok(1),
            tid: Err(Absent::not_in_this_kernel()),
            name: Ok(b"a,b\xff".to_vec()),
            task: VirtAddr(16),
            state: Err(Absent::not_in_this_kernel()),
        };
        let mut header = String::new();
        csv_header(Cells::of(&row).table, &mut header);
        assert_eq!(header, "pid,tid,name,task,state,absent,hex");
        let mut record = String::new();
        csv_row(&Cells::of(&row), &mut record);
        assert_eq!(
            record,
            "1,,\"a,b\\xff\",0x10,,\"{\"\"tid\"\":{\"\"why\"\":\"\"not-in-this-kernel\"\"},\
             \"\"state\"\":{\"\"why\"\":\"\"not-in-this-kernel\"\"}}\",\
             \"{\"\"name\"\":\"\"612c62ff\"\"}\""
        );
    }
}
