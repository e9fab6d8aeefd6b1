//! Rows as a table for people.

use std::fmt::Write as _;

use osier_osi::{Absent, WalkEnd, Why};

use super::{escape_bytes, iso8601, join_arguments};
use crate::tables::{Cell, Row, Table};

/// How a table is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Bytes of the guest's pointers: addresses are padded to them.
    pub pointer_bytes: u8,
    /// Whether to colour.
    pub colour: bool,
    /// Every column, not only the brief ones.
    pub wide: bool,
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// A table that grows by rows and is then drawn, as wide as its cells ask.
pub struct TextTable {
    style: Style,
    table: Option<&'static Table>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// An empty table.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            table: None,
            rows: Vec::new(),
        }
    }

    /// Adds a row; `indent` stands before its `name`, for trees.
    pub fn add(&mut self, row: &dyn Row, indent: &str) {
        let table = row.table();
        self.table.get_or_insert(table);
        let cells = table.columns.iter().zip(row.cells());
        let shown = cells.filter(|(column, _)| column.brief || self.style.wide);
        let texts = shown.map(|(column, cell)| {
            let text = cell_text(&cell, self.style.pointer_bytes, self.style.wide);
            if column.name == "name" && !indent.is_empty() {
                format!("{indent}{text}")
            } else {
                text
            }
        });
        self.rows.push(texts.collect());
    }

    /// The lines of the table, each with its end.
    pub fn draw(&self) -> String {
        let Some(table) = self.table else {
            return String::new();
        };
        let columns: Vec<_> = table
            .columns
            .iter()
            .filter(|column| column.brief || self.style.wide)
            .collect();
        let mut widths: Vec<usize> = columns.iter().map(|column| column.name.len()).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let mut drawn = String::new();
        let heads = columns.iter().map(|column| column.name.to_uppercase());
        let heads: Vec<String> = heads.collect();
        for (nth, row) in std::iter::once(&heads).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((text, &width), column) in row.iter().zip(&widths).zip(&columns) {
                let pad = " ".repeat(width.saturating_sub(text.chars().count()));
                let (before, after) = match (self.style.colour, text.as_str()) {
                    (true, _) if nth == 0 => (BOLD, PLAIN),
                    (true, LOST) => (RED, PLAIN),
                    (true, NONE) => (DIM, PLAIN),
                    _ => ("", ""),
                };
                if !line.is_empty() {
                    line.push_str("  ");
                }
                if column.right {
                    let _ = write!(line, "{pad}{before}{text}{after}");
                } else {
                    let _ = write!(line, "{before}{text}{after}{pad}");
                }
            }
            drawn.push_str(line.trim_end());
            drawn.push('\n');
        }
        drawn
    }
}

const LOST: &str = "?";
const NONE: &str = "–";

/// A value as a table shows it: addresses padded to the guest's pointers of `pointer_bytes`, and
/// with `wide` the fraction of a second too.
pub fn cell_text(cell: &Cell<'_>, pointer_bytes: u8, wide: bool) -> String {
    match cell {
        Cell::Address(address) => {
            let width = usize::from(pointer_bytes)
                .saturating_mul(2)
                .saturating_add(2);
            format!("{address:#0width$x}")
        }
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
        Cell::Word(word) => (*word).to_owned(),
        Cell::Text(text) => visible(text),
        Cell::Numeral(number) => number.clone(),
        Cell::Instant(at) => {
            let full = iso8601(*at);
            match full.split_once('.') {
                Some((seconds, _)) if !wide => format!("{seconds}Z"),
                _ => full,
            }
        }
        Cell::Bytes(bytes) => terminal_text(bytes),
        Cell::Arguments(bytes) => {
            let mut line = String::new();
            join_arguments(bytes, &mut line);
            visible(&line)
        }
        Cell::Absent(absent) => (if absent.is_loss() { LOST } else { NONE }).to_owned(),
        Cell::Null => NONE.to_owned(),
    }
}

/// Bytes as a terminal may show them: what is not text, and every control character, escaped.
pub fn terminal_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    escape_bytes(bytes, &mut text);
    visible(&text)
}

fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Why a value is absent, in words.
pub fn describe_absence(absent: &Absent) -> String {
    let place = absent.at.map_or_else(String::new, |at| format!(" at {at}"));
    match absent.why {
        Why::NotApplicable(because) => because.to_owned(),
        Why::NotInThisKernel => "this kernel does not keep it".to_owned(),
        Why::Unreadable(fault) => fault.to_string(),
        Why::Implausible { raw, rule } => format!("{raw:#x}{place} cannot be right: {rule}"),
    }
}

/// How a walk ended, in words.
pub fn describe_end(walk: &str, end: &WalkEnd) -> String {
    let how = match end {
        WalkEnd::Closed => "closed".to_owned(),
        WalkEnd::Stopped => "was stopped".to_owned(),
        WalkEnd::BrokenLink { from, to, fault } => match to {
            Some(to) => format!("breaks: the link of {from} leads to {to}: {fault}"),
            None => format!("breaks: the link of {from} cannot be read: {fault}"),
        },
        WalkEnd::Inconsistent {
            at,
            back_link,
            expected,
        } => format!("is inconsistent: {at} links back to {back_link}, not to {expected}"),
        WalkEnd::Cycle { at, after } => format!("goes round at {at} after {after} nodes"),
        WalkEnd::Limit { after } => format!("was given up after {after} nodes"),
        WalkEnd::Disagreement {
            between,
            only_first,
            only_second,
        } => format!(
            "disagrees: {between}; {only_first} only in the first, {only_second} only in the second"
        ),
        WalkEnd::NoStart { missing, fault } => match fault {
            Some(fault) => format!("cannot start: {missing}: {fault}"),
            None => format!("cannot start: {missing}"),
        },
    };
    format!("{walk} {how}")
}

#[cfg(test)]
mod tests {
    use osier_memory::{Cause, Fault, VirtAddr};
    use osier_osi::{Seen, Thread};

    use super::*;

    #[test]
    fn losses_and_absences_look_different() {
        let mut table = TextTable::new(Style {
            pointer_bytes: 4,
            colour: false,
            wide: false,
        });
        table.add(
            &Thread {
                pid: Seen::Is(1),
                tid: Seen::unreadable(Fault::new(Cause::NotCaptured)),
                name: Seen::Is(b"a\x1b\xff".to_vec()),
                task: VirtAddr(0xc100),
                state: Seen::not_in_this_kernel(),
            },
            "",
        );
        assert_eq!(
            table.draw(),
            "PID  TID  NAME         TASK        STATE\n  1    ?  a\\u{1b}\\xff  0x0000c100  –\n"
        );
    }
}
