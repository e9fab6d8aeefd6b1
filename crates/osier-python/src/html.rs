//! An answer as a table in a notebook. Everything that a guest wrote is shown escaped.

use osier::format::cell_text;
use osier::tables::{Cell, Row};
use osier_text::markup;

use crate::owned::OwnedRow;

/// Rows that are shown.
pub(crate) const SHOWN: usize = 100;

/// A table of the first rows, and under it what is said of all.
pub(crate) fn table(rows: &[OwnedRow], pointer_bytes: u8, footer: &[String]) -> String {
    let mut html = String::from("<table>\n<thead><tr>");
    let columns = rows.first().map_or(&[][..], |row| row.table.columns);
    for column in columns {
        html.push_str("<th scope=\"col\">");
        html.push_str(&markup(column.name));
        html.push_str("</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row.cells() {
            html.push_str(&data(&cell, pointer_bytes));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
    for line in footer {
        html.push_str("<p>");
        html.push_str(&markup(line));
        html.push_str("</p>\n");
    }
    html
}

/// A cell; an absent one tells its reason where the pointer rests.
fn data(cell: &Cell<'_>, pointer_bytes: u8) -> String {
    let text = cell_text(cell, pointer_bytes, false);
    let text = markup(&text);
    match cell {
        Cell::Absent(why) => format!("<td title=\"{}\">{text}</td>", markup(&why.to_string())),
        _ => format!("<td>{text}</td>"),
    }
}
