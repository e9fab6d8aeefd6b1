//! One description of every kind of row, from which JSON, CSV and the terminal's table are made.
//!
//! A [`Table`] names the columns; a [`Row`] gives one [`Cell`] for each. Rows know no format, and
//! formats know no row: `docs/rows.md` is what both keep to.

mod kernel;
mod memory;
mod process;

use osier_osi::{Absent, FoundBy, Seen};

/// A kind of row.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, such as `process`.
    pub name: &'static str,
    /// Its columns, in the order of every format.
    pub columns: &'static [Column],
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// The field's name.
    pub name: &'static str,
    /// Whether the terminal's table shows it unasked.
    pub brief: bool,
    /// Whether the terminal aligns it to the right.
    pub right: bool,
}

/// A value of a row, borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// An address; width is the guest's.
    Address(u64),
    /// A count, size, id or time in the kernel's own unit.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// One of a few known words.
    Word(&'static str),
    /// Text of our own making.
    Text(String),
    /// A name or path: bytes.
    Bytes(&'a [u8]),
    /// Arguments, each ended by a NUL.
    Arguments(&'a [u8]),
    /// Nanoseconds since 1970-01-01 UTC.
    Instant(i64),
    /// No value, and why.
    Absent(&'a Absent),
}

/// A row of a table.
pub trait Row {
    /// The kind of row.
    fn table(&self) -> &'static Table;

    /// One cell for each column of [`table`](Self::table), in their order.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// Number of values that exist in the guest and were lost on the way.
    fn losses(&self) -> usize {
        let lost = |cell: &Cell<'_>| matches!(cell, Cell::Absent(absent) if absent.is_loss());
        self.cells().iter().filter(|cell| lost(cell)).count()
    }
}

/// A column that the terminal's table shows unasked.
pub const fn brief(name: &'static str) -> Column {
    Column {
        name,
        brief: true,
        right: false,
    }
}

/// A column of numbers that the terminal's table shows unasked.
pub const fn number(name: &'static str) -> Column {
    Column {
        name,
        brief: true,
        right: true,
    }
}

/// A column that the terminal's table shows when it is asked for every one.
pub const fn wide(name: &'static str) -> Column {
    Column {
        name,
        brief: false,
        right: false,
    }
}

/// The cell of a value that may be absent.
fn seen<'a, T>(value: &'a Seen<T>, cell: impl FnOnce(&'a T) -> Cell<'a>) -> Cell<'a> {
    match value {
        Seen::Is(value) => cell(value),
        Seen::Not(absent) => Cell::Absent(absent),
    }
}

fn id(value: &Seen<u32>) -> Cell<'_> {
    seen(value, |&id| Cell::Number(u64::from(id)))
}

fn count(value: &Seen<u64>) -> Cell<'_> {
    seen(value, |&count| Cell::Number(count))
}

fn bytes(value: &Seen<Vec<u8>>) -> Cell<'_> {
    seen(value, |bytes| Cell::Bytes(bytes))
}

/// The word of a source in the field `found_by`.
const fn found_by(source: FoundBy) -> &'static str {
    match source {
        FoundBy::Both => "both",
        FoundBy::List => "list",
        FoundBy::PidTable => "pid-table",
        FoundBy::ListUnchecked => "list-unchecked",
    }
}

/// A row as its parts, for questions that are no provider's: what a caller put together.
#[derive(Clone, Debug)]
pub struct Plain<'a> {
    /// The kind of row.
    pub table: &'static Table,
    /// Its cells.
    pub cells: Vec<Cell<'a>>,
}

impl Row for Plain<'_> {
    fn table(&self) -> &'static Table {
        self.table
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        self.cells.clone()
    }
}
