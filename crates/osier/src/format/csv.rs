//! Rows as CSV records (RFC 4180), without a line end.
//!
//! After the table's columns stand two of JSON: `absent`, why cells are empty, and `hex`, the bytes
//! of the cells that are not text. Each is empty when it has nothing to say.

use std::fmt::Write as _;

use super::json::{absence, hidden_bytes};
use super::{escape_bytes, iso8601, join_arguments};
use crate::tables::{Cell, Row, Table};

/// The names of the columns.
pub fn csv_header(table: &Table, into: &mut String) {
    for column in table.columns {
        into.push_str(column.name);
        into.push(',');
    }
    into.push_str("absent,hex");
}

/// One record.
pub fn csv_row(row: &dyn Row, into: &mut String) {
    let mut absent = String::new();
    let mut hidden = String::new();
    for (column, cell) in row.table().columns.iter().zip(row.cells()) {
        let text = match &cell {
            Cell::Address(address) => format!("{address:#x}"),
            Cell::Number(number) => number.to_string(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Word(word) => (*word).to_owned(),
            Cell::Text(text) => text.clone(),
            Cell::Instant(at) => iso8601(*at),
            Cell::Bytes(bytes) => {
                let mut text = String::new();
                escape_bytes(bytes, &mut text);
                text
            }
            Cell::Arguments(bytes) => {
                let mut text = String::new();
                join_arguments(bytes, &mut text);
                text
            }
            Cell::Absent(why) => {
                absent.push(if absent.is_empty() { '{' } else { ',' });
                let _ = write!(absent, "\"{}\":", column.name);
                absence(why, &mut absent);
                String::new()
            }
        };
        if let Some(bytes) = hidden_bytes(&cell) {
            hidden.push(if hidden.is_empty() { '{' } else { ',' });
            let _ = write!(hidden, "\"{}\":\"{bytes}\"", column.name);
        }
        quoted(&text, into);
        into.push(',');
    }
    for object in [&mut absent, &mut hidden] {
        if !object.is_empty() {
            object.push('}');
        }
    }
    quoted(&absent, into);
    into.push(',');
    quoted(&hidden, into);
}

fn quoted(text: &str, into: &mut String) {
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
