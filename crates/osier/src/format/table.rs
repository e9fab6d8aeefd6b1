//! Rows as a table for people.

use std::fmt::Write as _;

use osier_text::{visible_again, visible_bytes};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{arguments_line, iso8601};
use crate::tables::{Cell, Cells, Kind, Table};

/// How a table is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Bytes of the guest's pointers: addresses are padded to them.
    pub pointer_bytes: u8,
    /// Whether to colour.
    pub colour: bool,
    /// Every column, not only the brief ones.
    pub wide: bool,
    /// Whether our own marks and lines are of ASCII alone.
    pub ascii: bool,
    /// Columns of the terminal, into which names and paths are cut; `None` cuts nothing.
    pub width: Option<usize>,
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Columns between two cells.
const GAP: usize = 2;
/// A column is not cut to less.
const LEAST: usize = 12;

/// A cell as it will be drawn.
struct Drawn {
    /// Lines of a tree before the text.
    branch: String,
    text: String,
    mark: Mark,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Head,
    Value,
    None,
    Lost,
}

impl Drawn {
    fn columns(&self) -> usize {
        self.branch.width().saturating_add(self.text.width())
    }
}

/// A table that grows by rows and is then drawn, as wide as its cells ask and the terminal has room
/// for.
pub struct TextTable {
    style: Style,
    table: Option<&'static Table>,
    rows: Vec<Vec<Drawn>>,
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

    /// Adds a row; `branch` stands before its `name`, for trees.
    pub fn add(&mut self, row: &Cells<'_>, branch: &str) {
        self.table.get_or_insert(row.table);
        let shown = row
            .iter()
            .filter(|(column, _)| column.brief || self.style.wide);
        let drawn = shown.map(|(column, cell)| {
            let branch = if column.name == "name" { branch } else { "" };
            Drawn {
                branch: self.style.lines(branch),
                text: self.style.text(cell),
                mark: match cell {
                    Cell::Absent(absent) if absent.is_loss() => Mark::Lost,
                    Cell::Absent(_) | Cell::Null => Mark::None,
                    _ => Mark::Value,
                },
            }
        });
        self.rows.push(drawn.collect());
    }

    /// Puts the rows into another order: the row `order[0]` comes first. A row that is not in it goes.
    pub fn reorder(&mut self, order: &[usize]) {
        let mut rows: Vec<_> = std::mem::take(&mut self.rows)
            .into_iter()
            .map(Some)
            .collect();
        let taken = order.iter().filter_map(|&at| rows.get_mut(at)?.take());
        self.rows = taken.collect();
    }

    /// The lines of the table, each with its end.
    pub fn draw(&self) -> String {
        let Some(table) = self.table else {
            return String::new();
        };
        let columns = table.columns.iter();
        let columns: Vec<_> = columns
            .filter(|column| column.brief || self.style.wide)
            .collect();
        let heads = columns.iter().map(|column| Drawn {
            branch: String::new(),
            text: column.name.to_uppercase(),
            mark: Mark::Head,
        });
        let heads: Vec<Drawn> = heads.collect();
        let mut widths = vec![0_usize; columns.len()];
        for row in std::iter::once(&heads).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.columns());
            }
        }
        if let Some(room) = self.style.width {
            let names = columns.iter().map(|column| column.kind);
            let cut: Vec<bool> = names
                .map(|kind| matches!(kind, Kind::Bytes | Kind::Text))
                .collect();
            fit(&mut widths, &cut, room);
        }
        let mut drawn = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &width), column) in row.iter().zip(&widths).zip(&columns) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let text = self.style.cut(cell, width);
                let pad = " ".repeat(width.saturating_sub(text.width()));
                let (before, after) = match (self.style.colour, cell.mark) {
                    (true, Mark::Head) => (BOLD, PLAIN),
                    (true, Mark::Lost) => (RED, PLAIN),
                    (true, Mark::None) => (DIM, PLAIN),
                    _ => ("", ""),
                };
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

/// Makes the widest of the columns that may be cut narrower until all fit into `room`, or none can
/// be cut further.
fn fit(widths: &mut [usize], may_cut: &[bool], room: usize) {
    let gaps = widths.len().saturating_sub(1).saturating_mul(GAP);
    let mut over = widths
        .iter()
        .fold(gaps, |sum, &width| sum.saturating_add(width))
        .saturating_sub(room);
    while over > 0 {
        let cuttable = widths.iter_mut().zip(may_cut);
        let cuttable = cuttable.filter(|(width, may)| **may && **width > LEAST);
        let Some((widest, _)) = cuttable.max_by_key(|(width, _)| **width) else {
            return;
        };
        *widest = widest.saturating_sub(1);
        over = over.saturating_sub(1);
    }
}

const LOST: &str = "?";

impl Style {
    const fn none(self) -> &'static str {
        if self.ascii { "-" } else { "–" }
    }

    const fn more(self) -> char {
        if self.ascii { '~' } else { '…' }
    }

    /// The lines of a tree in the letters that may be used.
    fn lines(self, branch: &str) -> String {
        if !self.ascii {
            return branch.to_owned();
        }
        let ascii = |c| match c {
            '│' | '├' => '|',
            '└' => '`',
            '─' => '-',
            c => c,
        };
        branch.chars().map(ascii).collect()
    }

    /// A value as a table shows it.
    fn text(self, cell: &Cell<'_>) -> String {
        match cell {
            Cell::Absent(absent) if absent.is_loss() => LOST.to_owned(),
            Cell::Absent(_) | Cell::Null => self.none().to_owned(),
            Cell::Bytes(_) | Cell::Arguments(_) | Cell::Text(_) => {
                let text = cell_text(cell, self.pointer_bytes, self.wide);
                // A name that looks like our marks is no mark.
                match text.chars().next() {
                    Some(c) if text == LOST || text == self.none() => {
                        format!("\\u{{{:x}}}", u32::from(c))
                    }
                    _ => text,
                }
            }
            _ => cell_text(cell, self.pointer_bytes, self.wide),
        }
    }

    /// A cell in `width` columns: of a branch the end is kept, of a text the start.
    fn cut(self, cell: &Drawn, width: usize) -> String {
        if cell.columns() <= width {
            return format!("{}{}", cell.branch, cell.text);
        }
        let text = cell.text.width();
        let room = width.saturating_sub(text.min(LEAST).saturating_add(1));
        let mut branch = cell.branch.as_str();
        if branch.width() > room {
            let mut left = branch.chars();
            while left.as_str().width() > room && left.next().is_some() {}
            branch = left.as_str();
        }
        let mut line = String::new();
        if branch.len() < cell.branch.len() {
            line.push(self.more());
        }
        line.push_str(branch);
        let room = width.saturating_sub(line.width());
        if text <= room {
            line.push_str(&cell.text);
            return line;
        }
        let mut room = room.saturating_sub(1);
        for c in cell.text.chars() {
            let columns = c.width().unwrap_or(0);
            if columns > room {
                break;
            }
            room = room.saturating_sub(columns);
            line.push(c);
        }
        line.push(self.more());
        line
    }
}

/// A value as a table shows it, uncut: addresses padded to the guest's pointers of `pointer_bytes`,
/// with `wide` the fraction of a second too, and of names what cannot be seen by its number.
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
        Cell::Text(text) => visible_again(text).into_owned(),
        Cell::Numeral(number) => number.clone(),
        Cell::Instant(at) => {
            let full = iso8601(*at);
            match full.split_once('.') {
                Some((seconds, _)) if !wide => format!("{seconds}Z"),
                _ => full,
            }
        }
        Cell::Bytes(bytes) => visible_bytes(bytes),
        Cell::Arguments(bytes) => visible_bytes(&arguments_line(bytes)),
        Cell::Absent(absent) => (if absent.is_loss() { LOST } else { "–" }).to_owned(),
        Cell::Null => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use osier_memory::{Cause, Fault, VirtAddr};
    use osier_osi::{Absent, Thread};

    use super::*;

    const STYLE: Style = Style {
        pointer_bytes: 4,
        colour: false,
        wide: false,
        ascii: false,
        width: None,
    };

    fn thread(name: &[u8]) -> Thread {
        Thread {
            pid: Ok(1),
            tid: Err(Absent::unreadable(Fault::new(Cause::NotCaptured))),
            name: Ok(name.to_vec()),
            task: VirtAddr(0xc100),
            state: Err(Absent::not_in_this_kernel()),
        }
    }

    fn drawn(style: Style, rows: &[(&[u8], &str)]) -> String {
        let mut table = TextTable::new(style);
        for (name, branch) in rows {
            table.add(&Cells::of(&thread(name)), branch);
        }
        table.draw()
    }

    #[test]
    fn losses_and_absences_look_different() {
        assert_eq!(
            drawn(STYLE, &[(b"a\x1b\xff", "")]),
            "PID  TID  NAME         TASK        STATE\n  1    ?  a\\u{1b}\\xff  0x0000c100  –\n"
        );
    }

    #[test]
    fn a_name_is_no_mark() {
        let text = drawn(STYLE, &[(b"?", ""), ("–".as_bytes(), ""), (b"-", "")]);
        assert!(
            text.contains(r"\u{3f}") && text.contains(r"\u{2013}"),
            "{text}"
        );
        assert!(text.contains("  -  "), "{text}");
        let ascii = Style {
            ascii: true,
            ..STYLE
        };
        let text = drawn(ascii, &[(b"-", ""), (b"x", "│  └─ ")]);
        assert!(
            text.contains(r"\u{2d}") && text.contains("|  `- x"),
            "{text}"
        );
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let style = Style {
            width: Some(50),
            ..STYLE
        };
        let deep = "│  ".repeat(20) + "└─ ";
        let rows: [(&[u8], &str); 3] = [
            (b"a-name-that-goes-on-and-on-and-on-and-on", ""),
            (b"short", &deep),
            ("日本語日本語日本語日本語日本語".as_bytes(), ""),
        ];
        let text = drawn(style, &rows);
        for line in text.lines() {
            assert!(line.width() <= 50, "{line}");
        }
        assert!(text.contains("a-name-that") && text.contains('…'), "{text}");
        assert!(text.contains("└─ short"), "{text}");
        // Where nothing can be cut further, nothing is lost but the fit.
        let narrow = Style {
            width: Some(10),
            ..STYLE
        };
        assert!(drawn(narrow, &rows).contains("0x0000c100"));
    }
}
