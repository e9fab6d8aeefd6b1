//! What happened between two snapshots: one event, as a row and as JSON.

use osier::SeenExt as _;
use std::fmt::Write as _;
use std::ops::Range;

use osier::format::{cell_text, json_cells, json_string};
use osier::tables::{Cell, Row, Table, brief, number};
use osier::{Absent, Process, Why};

/// What happened. `docs/diff.md` has the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the words of `word` say it, and docs/diff.md at length"
)]
pub enum Kind {
    ProcessStarted,
    ProcessGone,
    ProcessExited,
    ProcessExecuted,
    ProcessRenamed,
    ProcessReparented,
    ProcessCredentials,
    ProcessUnknown,
    ThreadStarted,
    ThreadGone,
    ThreadRenamed,
    ThreadUnknown,
    ModuleLoaded,
    ModuleUnloaded,
    ModuleUnknown,
    Mapped,
    Unmapped,
    Reprotected,
    Grown,
    Shrunk,
    Moved,
    MappingUnknown,
    CurrentChanged,
    CurrentUnknown,
}

impl Kind {
    /// The word in rows.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProcessStarted => "process-started",
            Self::ProcessGone => "process-gone",
            Self::ProcessExited => "process-exited",
            Self::ProcessExecuted => "process-executed",
            Self::ProcessRenamed => "process-renamed",
            Self::ProcessReparented => "process-reparented",
            Self::ProcessCredentials => "process-credentials",
            Self::ProcessUnknown => "process-unknown",
            Self::ThreadStarted => "thread-started",
            Self::ThreadGone => "thread-gone",
            Self::ThreadRenamed => "thread-renamed",
            Self::ThreadUnknown => "thread-unknown",
            Self::ModuleLoaded => "module-loaded",
            Self::ModuleUnloaded => "module-unloaded",
            Self::ModuleUnknown => "module-unknown",
            Self::Mapped => "mapped",
            Self::Unmapped => "unmapped",
            Self::Reprotected => "reprotected",
            Self::Grown => "grown",
            Self::Shrunk => "shrunk",
            Self::Moved => "moved",
            Self::MappingUnknown => "mapping-unknown",
            Self::CurrentChanged => "current-changed",
            Self::CurrentUnknown => "current-unknown",
        }
    }

    /// Whether the snapshots do not tell what happened.
    pub const fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::ProcessUnknown
                | Self::ThreadUnknown
                | Self::ModuleUnknown
                | Self::MappingUnknown
                | Self::CurrentUnknown
        )
    }
}

/// One event, borrowed from the views of two snapshots.
#[derive(Clone)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// To what: the later snapshot's row, or the earlier's when the later has none.
    pub row: &'a dyn Row,
    /// The process that a thread or mapping belongs to.
    pub process: Option<&'a Process>,
    /// The earlier row, and which of its fields had another value.
    pub was: Option<(&'a dyn Row, Vec<&'static str>)>,
    /// The addresses that changed, of a mapping.
    pub range: Option<Range<u64>>,
    /// Why it is not known what happened.
    pub because: Vec<String>,
    /// Bytes of the guest's pointers, for text.
    pub pointer_bytes: u8,
}

/// Fields that say where the kernel keeps things: too much for a line of text.
const PLACES: [&str; 6] = ["taskd", "task", "modd", "asid", "pgd", "flags"];

/// A row's value by the name of its field.
pub(crate) fn cell<'a>(row: &'a dyn Row, field: &str) -> Option<Cell<'a>> {
    let mut columns = row.table().columns.iter();
    let at = columns.position(|column| column.name == field)?;
    row.cells().into_iter().nth(at)
}

impl Event<'_> {
    /// Writes the event as one JSON object: `event`, the row's fields, and where there are any
    /// `at` and `bytes`, `was`, `because`.
    pub fn json(&self, into: &mut String) {
        let _ = write!(into, "{{\"event\":\"{}\"", self.kind.word());
        json_cells(named(self.row, &|_| true), into);
        if let Some(range) = &self.range {
            let bytes = range.end.wrapping_sub(range.start);
            let _ = write!(into, ",\"at\":\"{:#x}\",\"bytes\":{bytes}", range.start);
        }
        if let Some((was, fields)) = &self.was {
            into.push_str(",\"was\":{");
            json_cells(named(*was, &|name| fields.contains(&name)), into);
            into.push('}');
        }
        if !self.because.is_empty() {
            into.push_str(",\"because\":");
            json_string(&self.because.join("; "), into);
        }
        into.push('}');
    }

    fn text(&self, cell: &Cell<'_>) -> String {
        cell_text(cell, self.pointer_bytes, false)
    }

    /// What happened, in a few words.
    fn what(&self) -> String {
        let mut parts = Vec::new();
        if self.was.is_none() && !self.kind.is_unknown() {
            for field in ["file", "perms", "exe", "path"] {
                let known = cell(self.row, field).filter(|c| !matches!(c, Cell::Absent(_)));
                parts.extend(known.map(|known| format!("{field} {}", self.text(&known))));
            }
        }
        if let Some((was, fields)) = &self.was {
            for field in fields.iter().filter(|field| !PLACES.contains(field)) {
                let value = |row| cell(row, field).map_or_else(String::new, |c| self.text(&c));
                parts.push(format!("{field} {} → {}", value(*was), value(self.row)));
            }
        }
        if let Some(range) = &self.range {
            let bytes = range.end.wrapping_sub(range.start);
            parts.push(format!("{bytes} bytes at {:#x}", range.start));
        }
        parts.extend(self.because.iter().cloned());
        parts.join(", ")
    }
}

/// The fields of a row that are wanted, each with its value.
fn named<'a>(row: &'a dyn Row, wanted: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Cell<'a>)> {
    let columns = row.table().columns.iter().map(|column| column.name);
    let all = columns.zip(row.cells());
    all.filter(|(name, _)| wanted(name)).collect()
}

static EVENT: Table = Table {
    name: "event",
    columns: &[
        brief("event"),
        number("cpu"),
        number("pid"),
        brief("name"),
        brief("address"),
        brief("what"),
    ],
};

/// The columns of an event's row.
pub fn event_table() -> &'static Table {
    &EVENT
}

static NONE: Absent = Absent {
    why: Why::NotApplicable("such an event has none"),
    at: None,
};

impl Row for Event<'_> {
    fn table(&self) -> &'static Table {
        &EVENT
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let field = |names: &[&str]| {
            let found = names.iter().find_map(|name| cell(self.row, name));
            found.unwrap_or(Cell::Absent(&NONE))
        };
        let name = match self.process.map(|process| &process.name) {
            Some(name) => match name.get() {
                Some(name) => Cell::Bytes(name),
                None => Cell::Absent(&NONE),
            },
            None => field(&["name"]),
        };
        vec![
            Cell::Word(self.kind.word()),
            field(&["cpu"]),
            field(&["pid"]),
            name,
            field(&["taskd", "task", "modd"]),
            Cell::Text(self.what()),
        ]
    }
}
