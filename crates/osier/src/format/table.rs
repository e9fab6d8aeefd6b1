//! Rows as a table for people.

use std::fmt::Write as _;

use osier_text::{visible_again, visible_bytes};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{arguments_line, iso8601};
use crate::tables::{Cell, Cells, Column, Kind, Table};

/// How a table is drawn.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch")]
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
    /// Whether columns that people seldom look at may be left out where they do not fit.
    pub leave_out: bool,
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Columns between two cells.
const GAP: usize = 2;
/// A column is not cut to less.
const LEAST: usize = 9;
/// Nor a column with the lines of a tree to less.
const LEAST_TREE: usize = 24;
/// Columns that are left out where there is no room, the first first: where the kernel keeps things, and what
/// a list can be sorted by without showing it.
const SELDOM: [&str; 6] = ["taskd", "modd", "asid", "create_time", "start", "threads"];

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

    /// Leaves no column out.
    pub fn keep_all(&mut self) {
        self.style.leave_out = false;
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
                text: self.style.text(column, cell),
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

    /// The columns that are shown.
    fn columns(&self) -> Vec<&'static Column> {
        let columns = self.table.iter().flat_map(|table| table.columns);
        columns
            .filter(|column| column.brief || self.style.wide)
            .collect()
    }

    /// Columns that would be shown and are left out for want of room.
    pub fn left_out(&self) -> Vec<&'static str> {
        let columns = self.columns();
        let shown = self.layout(&columns).shown;
        let left_out = columns.iter().zip(shown).filter(|(_, shown)| !shown);
        left_out.map(|(column, _)| column.name).collect()
    }

    /// How the columns share the room.
    fn layout(&self, columns: &[&'static Column]) -> Layout {
        let mut widths: Vec<usize> = columns.iter().map(|column| column.name.len()).collect();
        let mut least = vec![LEAST; columns.len()];
        for row in &self.rows {
            for ((width, least), cell) in widths.iter_mut().zip(&mut least).zip(row) {
                *width = (*width).max(cell.columns());
                if !cell.branch.is_empty() {
                    *least = LEAST_TREE;
                }
            }
        }
        let may_cut = |column: &&Column| matches!(column.kind, Kind::Bytes | Kind::Text);
        for ((least, width), column) in least.iter_mut().zip(&widths).zip(columns) {
            *least = if may_cut(column) {
                *width.min(least)
            } else {
                *width
            };
        }
        let mut layout = Layout {
            least,
            shown: vec![true; columns.len()],
            zeros: vec![0; columns.len()],
            widths,
        };
        let Some(room) = self.style.width else {
            return layout;
        };
        if layout.sum(&layout.widths) > room {
            for (at, column) in columns.iter().enumerate() {
                layout.drop_zeros(at, self.zeros(at, column), column.name.len());
            }
        }
        for name in SELDOM {
            if !self.style.leave_out || layout.sum(&layout.least) <= room {
                break;
            }
            let at = columns.iter().position(|column| column.name == name);
            if let Some(shown) = at.and_then(|at| layout.shown.get_mut(at)) {
                *shown = false;
            }
        }
        layout.fit(room);
        layout
    }

    /// Zeros that every address of the column begins with, but for the last digit.
    fn zeros(&self, at: usize, column: &Column) -> usize {
        if column.kind != Kind::Address {
            return 0;
        }
        let cells = self.rows.iter().filter_map(|row| row.get(at));
        let digits = cells.filter_map(|cell| cell.text.strip_prefix("0x"));
        let zeros = digits.map(|digits| {
            let rest = digits.trim_start_matches('0').len().max(1);
            digits.len().saturating_sub(rest)
        });
        zeros.min().unwrap_or(0)
    }

    /// The lines of the table, each with its end.
    pub fn draw(&self) -> String {
        if self.table.is_none() {
            return String::new();
        }
        let columns = self.columns();
        let heads = columns.iter().map(|column| Drawn {
            branch: String::new(),
            text: column.name.to_uppercase(),
            mark: Mark::Head,
        });
        let heads: Vec<Drawn> = heads.collect();
        let layout = self.layout(&columns);
        let mut drawn = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for ((at, cell), column) in row.iter().enumerate().zip(&columns) {
                let Some((width, zeros)) = layout.of(at) else {
                    continue;
                };
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let text = match cell
                    .text
                    .strip_prefix("0x")
                    .and_then(|text| text.get(zeros..))
                {
                    Some(digits) if zeros > 0 => format!("0x{digits}"),
                    _ => self.style.cut(cell, width),
                };
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

/// How columns share the room: of each whether it is shown, the zeros that its addresses leave out, its width,
/// and the least that it can have.
struct Layout {
    shown: Vec<bool>,
    zeros: Vec<usize>,
    widths: Vec<usize>,
    least: Vec<usize>,
}

impl Layout {
    /// The width of a column that is shown, and the zeros that its addresses leave out.
    fn of(&self, at: usize) -> Option<(usize, usize)> {
        let shown = self.shown.get(at).copied().unwrap_or(false);
        let (width, zeros) = (self.widths.get(at)?, self.zeros.get(at)?);
        shown.then_some((*width, *zeros))
    }

    /// Leaves so many zeros out of the addresses of a column, whose head has `head` columns.
    fn drop_zeros(&mut self, at: usize, count: usize, head: usize) {
        for widths in [&mut self.widths, &mut self.least] {
            if let Some(width) = widths.get_mut(at).filter(|_| count > 0) {
                *width = width.saturating_sub(count).max(head);
            }
        }
        if let Some(zeros) = self.zeros.get_mut(at) {
            *zeros = count;
        }
    }

    /// Columns of the terminal that the whole takes with columns of these widths.
    fn sum(&self, widths: &[usize]) -> usize {
        let shown = widths.iter().zip(&self.shown).filter(|(_, shown)| **shown);
        let each = shown.map(|(width, _)| width.saturating_add(GAP));
        each.fold(0, usize::saturating_add).saturating_sub(GAP)
    }

    /// Makes the widest of the columns that may be cut narrower until all fit into `room`, or none can
    /// be cut further.
    fn fit(&mut self, room: usize) {
        let mut over = self.sum(&self.widths).saturating_sub(room);
        while over > 0 {
            let columns = self.widths.iter_mut().zip(&self.least).zip(&self.shown);
            let cuttable = columns
                .filter(|((width, least), shown)| **shown && **width > **least)
                .map(|((width, _), _)| width);
            let Some(widest) = cuttable.max_by_key(|width| **width) else {
                return;
            };
            *widest = widest.saturating_sub(1);
            over = over.saturating_sub(1);
        }
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

    /// A value of the column as a table shows it, uncut.
    pub fn text(self, column: &Column, cell: &Cell<'_>) -> String {
        match cell {
            Cell::Number(nanoseconds) if column.seconds => {
                const PER_SECOND: u64 = 1_000_000_000;
                let (seconds, rest) = (nanoseconds / PER_SECOND, nanoseconds % PER_SECOND);
                format!("{seconds}.{:06}", rest / 1000)
            }
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
        leave_out: false,
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
        // Columns that people seldom look at go, and the zeros that all addresses begin with.
        let row = thread(b"x");
        let fitted = |width, leave_out| {
            let mut table = TextTable::new(Style {
                pointer_bytes: 8,
                width: Some(width),
                leave_out,
                ..STYLE
            });
            table.add(&Cells::of(&row), "");
            (table.draw(), table.left_out())
        };
        let (text, left_out) = fitted(80, true);
        assert!(text.contains("0x000000000000c100"), "{text}");
        assert!(left_out.is_empty());
        let (text, left_out) = fitted(31, true);
        assert!(text.contains("  0xc100  "), "{text}");
        assert!(
            left_out.is_empty() && text.lines().all(|line| line.width() <= 31),
            "{text}"
        );
        // Where nothing can be cut further, nothing is lost but the fit.
        let narrow = Style {
            width: Some(10),
            ..STYLE
        };
        assert!(drawn(narrow, &rows).contains("  0xc100  "));
    }
}
