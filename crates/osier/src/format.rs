//! How cells become text: JSON objects, CSV records, lines of a terminal's table.

mod csv;
mod json;
mod table;
mod text;
mod wall_clock;

pub use csv::{csv_cells, csv_header, csv_header_of, csv_name, csv_row, csv_row_of};
pub use json::{
    hidden_bytes, json_absence, json_cells, json_end, json_ending, json_fields, json_row,
    json_string,
};
pub use table::{Style, TextTable, cell_text};
use text::{arguments_line, push_address, push_number};
pub use text::{escape_bytes, hex, join_arguments, plain_text};
pub use wall_clock::iso8601;
