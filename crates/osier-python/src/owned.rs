//! A row that owns its cells: what crosses from a walk to the interpreter.

use osier::Absent;
use osier::tables::{Cell, Cells, Row, Table};

/// A [`Cell`] that owns what it holds.
#[derive(Clone, Debug)]
pub(crate) enum Owned {
    Address(u64),
    Number(u64),
    Numeral(String),
    Flag(bool),
    Word(&'static str),
    Text(String),
    Bytes(Vec<u8>),
    Arguments(Vec<u8>),
    Instant(i64),
    Absent(Box<Absent>),
    Null,
}

impl Owned {
    fn of(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Address(value) => Self::Address(*value),
            Cell::Number(value) => Self::Number(*value),
            Cell::Numeral(text) => Self::Numeral(text.clone()),
            Cell::Flag(value) => Self::Flag(*value),
            Cell::Word(word) => Self::Word(word),
            Cell::Text(text) => Self::Text(text.clone()),
            Cell::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Cell::Arguments(bytes) => Self::Arguments(bytes.to_vec()),
            Cell::Instant(at) => Self::Instant(*at),
            Cell::Absent(absent) => Self::Absent(Box::new((*absent).clone())),
            Cell::Null => Self::Null,
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Address(value) => Cell::Address(*value),
            Self::Number(value) => Cell::Number(*value),
            Self::Numeral(text) => Cell::Numeral(text.clone()),
            Self::Flag(value) => Cell::Flag(*value),
            Self::Word(word) => Cell::Word(word),
            Self::Text(text) => Cell::Text(text.clone()),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
            Self::Arguments(bytes) => Cell::Arguments(bytes),
            Self::Instant(at) => Cell::Instant(*at),
            Self::Absent(absent) => Cell::Absent(absent),
            Self::Null => Cell::Null,
        }
    }
}

/// A row that owns its cells.
#[derive(Clone, Debug)]
pub(crate) struct OwnedRow {
    pub(crate) table: &'static Table,
    pub(crate) cells: Vec<Owned>,
}

impl OwnedRow {
    pub(crate) fn of(row: &Cells<'_>) -> Self {
        Self {
            table: row.table,
            cells: row.cells.iter().map(Owned::of).collect(),
        }
    }
}

impl Row for OwnedRow {
    fn table(&self) -> &'static Table {
        self.table
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        self.cells.iter().map(Owned::cell).collect()
    }
}
