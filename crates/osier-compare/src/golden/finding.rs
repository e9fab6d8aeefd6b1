//! Differences as rows, for the formats that programs read.

use osier::tables::{Cell, Row, Table, brief, number};
use osier::{Absent, Why};

use super::{Change, Difference};

static FINDING: Table = Table {
    name: "finding",
    columns: &[
        brief("snapshot"),
        brief("table"),
        brief("change"),
        number("line"),
        brief("row"),
        brief("field"),
        brief("was"),
        brief("now"),
    ],
};

static NOTHING: Absent = Absent {
    why: Why::NotApplicable("this change has none"),
    at: None,
};

/// One thing that `check` found, as a row: `docs/ci.md` has its fields.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// The snapshot's path.
    pub snapshot: &'a str,
    /// The question's word, or `open`.
    pub table: &'static str,
    /// What was found.
    pub what: What<'a>,
}

/// What `check` found.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A difference.
    Difference(&'a Difference),
    /// No comparing, and why.
    Failure(&'a str),
}

impl Row for Finding<'_> {
    fn table(&self) -> &'static Table {
        &FINDING
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let none = || Cell::Absent(&NOTHING);
        let text = |text: &str| Cell::Text(text.to_owned());
        let value = |value: &Option<String>| value.as_deref().map_or_else(none, text);
        let (word, place, values) = match &self.what {
            What::Failure(why) => ("failed", None, [none(), none(), text(why)]),
            What::Difference(found) => {
                let (word, values) = match &found.change {
                    Change::Gone => ("gone", [none(), none(), none()]),
                    Change::New => ("new", [none(), none(), none()]),
                    Change::Field { field, was, now } => {
                        ("field", [text(field), value(was), value(now)])
                    }
                    Change::Order { now } => ("order", [none(), none(), text(now)]),
                };
                (word, Some((found.line, &found.row)), values)
            }
        };
        let line = place.and_then(|(line, _)| u64::try_from(line).ok());
        let mut cells = vec![
            text(self.snapshot),
            Cell::Word(self.table),
            Cell::Word(word),
            line.map_or_else(none, Cell::Number),
            place.map_or_else(none, |(_, row)| text(row)),
        ];
        cells.extend(values);
        cells
    }
}
