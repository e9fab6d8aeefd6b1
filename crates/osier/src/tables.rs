//! One description of every kind of row, from which JSON, CSV and the terminal's table are made.
//!
//! A [`Table`] names the columns; a [`Row`] gives one [`Cell`] for each. Rows know no format, and
//! formats know no row: `docs/rows.md` is what both keep to.

/// Rows that all have the same columns: each column, and behind it the cell that a row has there.
macro_rules! rows {
    ($(#[$doc:meta])* $all:ident: $kind:ty, $name:literal, |$row:ident| {
        $($column:expr => $cell:expr,)*
    }) => {
        $(#[$doc])*
        pub(super) static $all: [&$crate::tables::Table; 1] = [&$crate::tables::Table {
            name: $name,
            columns: &[$($column,)*],
        }];

        impl $crate::tables::Row for $kind {
            fn table(&self) -> &'static $crate::tables::Table {
                let [table] = $all;
                table
            }

            fn cells(&self) -> Vec<$crate::tables::Cell<'_>> {
                let $row = self;
                vec![$($cell,)*]
            }
        }
    };
}

mod holdings;
mod hunt;
mod kernel;
mod memory;
mod network;
mod of;
mod process;

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::{Absent, FoundBy, ProcessSource, Seen};

pub use of::{hits, kept, of};

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
    /// What its values are, for formats with typed columns.
    pub kind: Kind,
    /// Its words in their order, such as syslog's levels, `emerg` first; empty where words have none.
    pub order: &'static [&'static str],
    /// Whether its numbers are nanoseconds that the terminal's table shows as seconds, as `dmesg` does.
    pub seconds: bool,
}

/// What a column's values are: the kind of [`Cell`] that stands in it when the value is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Cell::Address`].
    Address,
    /// [`Cell::Number`] or [`Cell::Numeral`].
    Number,
    /// The same, of 64 bits with a sign.
    Signed,
    /// [`Cell::Flag`].
    Flag,
    /// [`Cell::Word`] or [`Cell::Text`].
    Text,
    /// [`Cell::Bytes`] or [`Cell::Arguments`]: text that may need its bytes beside it.
    Bytes,
    /// [`Cell::Instant`].
    Instant,
}

impl Column {
    /// The same column with values of another kind.
    #[must_use]
    pub const fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same column with nanoseconds that tables show as seconds.
    const fn in_seconds(self) -> Self {
        Self {
            seconds: true,
            ..self
        }
    }

    /// The same column with words that have an order.
    const fn ordered(self, order: &'static [&'static str]) -> Self {
        Self { order, ..self }
    }
}

impl Cell<'_> {
    /// The kind of column that the cell may stand in; an absent value may stand in any.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Address(_) => Some(Kind::Address),
            Self::Number(_) | Self::Numeral(_) => Some(Kind::Number),
            Self::Flag(_) => Some(Kind::Flag),
            Self::Word(_) | Self::Text(_) => Some(Kind::Text),
            Self::Bytes(_) | Self::Arguments(_) => Some(Kind::Bytes),
            Self::Instant(_) => Some(Kind::Instant),
            Self::Absent(_) | Self::Null => None,
        }
    }
}

/// The columns of several kinds of row that answer one question, each name once: what one file
/// with rows of all of them has. The order is the first kind's; what only later kinds have follows.
#[derive(Clone, Debug)]
pub struct Columns(Vec<&'static Column>);

impl Columns {
    /// The columns of these kinds of row.
    pub fn of(tables: &[&'static Table]) -> Self {
        let mut columns: Vec<&'static Column> = Vec::new();
        for column in tables.iter().flat_map(|table| table.columns) {
            if columns.iter().all(|known| known.name != column.name) {
                columns.push(column);
            }
        }
        Self(columns)
    }

    /// Each column.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static Column> {
        self.0.iter().copied()
    }

    /// The cells of `row` in the order of these columns; `None` where its kind has no such column.
    pub fn cells<'a>(
        &'a self,
        row: &'a Cells<'a>,
    ) -> impl Iterator<Item = Option<&'a Cell<'a>>> + 'a {
        // Both have what they share in one order, so what is wanted is nearly always the next.
        let own = row.table.columns;
        let mut next = 0_usize;
        self.0.iter().map(move |ours| {
            let is = |column: &Column| std::ptr::eq(column, *ours) || column.name == ours.name;
            let at = match own.get(next) {
                Some(column) if is(column) => next,
                _ => own.iter().position(is)?,
            };
            next = at.saturating_add(1);
            row.cells.get(at)
        })
    }
}

/// A value of a row, borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// An address; width is the guest's.
    Address(u64),
    /// A count, size, id or time in the kernel's own unit.
    Number(u64),
    /// A number that was computed and is no `u64`, as it is written: negative, or with a fraction.
    Numeral(String),
    /// Yes or no.
    Flag(bool),
    /// One of a few known words.
    Word(&'static str),
    /// Text of our own making; names in it are shown already, by the rule of [`osier_text`].
    Text(String),
    /// A name or path: bytes.
    Bytes(&'a [u8]),
    /// Arguments, each ended by a NUL.
    Arguments(&'a [u8]),
    /// Nanoseconds since 1970-01-01 UTC.
    Instant(i64),
    /// No value, and why.
    Absent(&'a Absent),
    /// No value in what was computed, which knows no reason.
    Null,
}

/// A row of a table.
pub trait Row {
    /// The kind of row.
    fn table(&self) -> &'static Table;

    /// One cell for each column of [`table`](Self::table), in their order.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// A row as its cells, built once: what every format and every count is made of.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    /// The kind of row.
    pub table: &'static Table,
    /// One for each of its columns, in their order.
    pub cells: Vec<Cell<'a>>,
}

impl<'a> Cells<'a> {
    /// The cells of `row`.
    pub fn of(row: &'a dyn Row) -> Self {
        #[cfg(test)]
        built::note();
        Self {
            table: row.table(),
            cells: row.cells(),
        }
    }

    /// Each column with its cell.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Column, &Cell<'a>)> {
        self.table.columns.iter().zip(&self.cells)
    }

    /// Number of values that exist in the guest and were lost on the way.
    pub fn losses(&self) -> usize {
        self.absent(Absent::is_loss)
    }

    /// Number of values that cannot be right.
    pub fn implausible(&self) -> usize {
        self.absent(Absent::is_implausible)
    }

    fn absent(&self, is: impl Fn(&Absent) -> bool) -> usize {
        let cells = self.cells.iter();
        cells
            .filter(|cell| matches!(cell, Cell::Absent(absent) if is(absent)))
            .count()
    }
}

/// A column that the terminal's table shows unasked.
pub const fn brief(name: &'static str) -> Column {
    Column {
        name,
        brief: true,
        right: false,
        kind: Kind::Text,
        order: &[],
        seconds: false,
    }
}

/// A column of numbers that the terminal's table shows unasked.
pub const fn number(name: &'static str) -> Column {
    Column {
        right: true,
        kind: Kind::Number,
        ..brief(name)
    }
}

/// A column that the terminal's table shows when it is asked for every one.
pub const fn wide(name: &'static str) -> Column {
    Column {
        brief: false,
        ..brief(name)
    }
}

/// The cell of a value that may be absent.
fn seen<'a, T>(value: &'a Seen<T>, cell: impl FnOnce(&'a T) -> Cell<'a>) -> Cell<'a> {
    match value {
        Ok(value) => cell(value),
        Err(absent) => Cell::Absent(absent),
    }
}

fn id(value: &Seen<u32>) -> Cell<'_> {
    seen(value, |&id| Cell::Number(u64::from(id)))
}

fn count(value: &Seen<u64>) -> Cell<'_> {
    seen(value, |&count| Cell::Number(count))
}

fn virt(value: &Seen<VirtAddr>) -> Cell<'_> {
    seen(value, |address| Cell::Address(address.0))
}

fn phys(value: &Seen<PhysAddr>) -> Cell<'_> {
    seen(value, |address| Cell::Address(address.0))
}

/// The word of a number, or the number where it has none.
fn word(words: &'static [&'static str], number: u8) -> Cell<'static> {
    match words.get(usize::from(number)) {
        Some(word) => Cell::Word(word),
        None => Cell::Text(number.to_string()),
    }
}

/// Text of our own words.
fn words(value: &Seen<String>) -> Cell<'_> {
    seen(value, |words| Cell::Text(words.clone()))
}

fn flag(value: &Seen<bool>) -> Cell<'_> {
    seen(value, |&flag| Cell::Flag(flag))
}

fn bytes(value: &Seen<Vec<u8>>) -> Cell<'_> {
    seen(value, |bytes| Cell::Bytes(bytes))
}

/// The word of a set of sources in the field `found_by`.
const fn found_by(found_by: FoundBy) -> &'static str {
    let table = found_by.has(ProcessSource::PidTable);
    match found_by.has(ProcessSource::List) {
        true if table => "both",
        true if found_by.lacks(ProcessSource::PidTable) => "list",
        true => "list-unchecked",
        false if table => "pid-table",
        false => "children",
    }
}

/// How many rows were made into cells by this thread.
#[cfg(test)]
pub(crate) mod built {
    thread_local! {
        static BUILT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    pub(super) fn note() {
        BUILT.set(BUILT.get().saturating_add(1));
    }

    /// How many `work` makes.
    pub(crate) fn by(work: impl FnOnce()) -> usize {
        let before = BUILT.get();
        work();
        BUILT.get().saturating_sub(before)
    }
}
