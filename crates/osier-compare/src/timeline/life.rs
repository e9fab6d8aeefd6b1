//! One process through the series, as a row.

use osier::tables::{Cell, Kind, Row, Table, brief, number, wide};
use osier::{Absent, Process, ProcessExtra, Seen, SeenExt as _, Why};
use osier_text::visible_bytes;

use crate::diff::{Turn, turn};

/// What one snapshot says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// It is not there.
    Missing,
    /// It was not met, but the walk of processes did not close.
    Unknown,
    /// It is there.
    There,
    /// It runs on a processor.
    Current,
}

impl Mark {
    /// The letter in a row's `marks`.
    pub const fn letter(self) -> char {
        match self {
            Self::Missing => '.',
            Self::Unknown => '?',
            Self::There => '=',
            Self::Current => '#',
        }
    }
}

/// One process through the series.
#[derive(Clone, Debug)]
pub struct Life {
    /// The process as it was met last.
    pub process: Process,
    /// Every name that it had, in their order.
    pub names: Vec<Vec<u8>>,
    /// What each snapshot says.
    pub marks: Vec<Mark>,
    /// What became of its program, and in which snapshot that shows first, counted from 0.
    pub turns: Vec<(usize, Turn)>,
    met: Vec<usize>,
}

impl Life {
    pub(super) fn new(process: &Process, moments: usize) -> Self {
        Self {
            process: process.clone(),
            names: Vec::new(),
            marks: vec![Mark::Missing; moments],
            turns: Vec::new(),
            met: Vec::new(),
        }
    }

    /// Notes that the process was met in snapshot `at`.
    pub(super) fn meet(&mut self, process: &Process, at: usize, mark: Mark) {
        if !self.met.is_empty()
            && let Some(turn) = turn(&self.process, process)
        {
            self.turns.push((at, turn));
        }
        self.process = process.clone();
        if let Ok(name) = &process.name
            && self.names.last() != Some(name)
        {
            self.names.push(name.clone());
        }
        if let Some(place) = self.marks.get_mut(at) {
            *place = mark;
        }
        self.met.push(at);
    }

    /// Notes that the walk of snapshot `at` did not close: it may have missed the process.
    pub(super) fn doubt(&mut self, at: usize) {
        if let Some(place) = self.marks.get_mut(at)
            && *place == Mark::Missing
        {
            *place = Mark::Unknown;
        }
    }

    /// Whether it is a thread of the kernel.
    pub fn is_of_the_kernel(&self) -> bool {
        matches!(&self.process.extra, ProcessExtra::Linux(linux) if linux.kernel_thread.value() == Some(true))
    }

    /// Its name and pid; `?` for what was not read.
    pub(super) fn caption(&self) -> (String, String) {
        let unknown = || "?".to_owned();
        let name = self.process.name.get().map(|name| visible_bytes(name));
        let pid = self.process.pid.value().map(|pid| pid.to_string());
        (name.unwrap_or_else(unknown), pid.unwrap_or_else(unknown))
    }

    /// Every name that it had, with arrows between; `None` where none was read.
    pub(super) fn all_names(&self) -> Option<String> {
        let names: Vec<String> = self.names.iter().map(|name| visible_bytes(name)).collect();
        (!names.is_empty()).then(|| names.join(" → "))
    }

    /// Number of the first snapshot that has it, from 1.
    pub fn first(&self) -> usize {
        self.met.first().map_or(0, |at| at.saturating_add(1))
    }

    /// Number of the last snapshot that has it, from 1.
    pub fn last(&self) -> usize {
        self.met.last().map_or(0, |at| at.saturating_add(1))
    }

    /// How many snapshots bear this mark.
    pub fn count(&self, mark: Mark) -> usize {
        self.marks.iter().filter(|&&is| is == mark).count()
    }
}

static LIFE: Table = Table {
    name: "life",
    columns: &[
        number("pid"),
        brief("name").of(Kind::Bytes),
        brief("asid").of(Kind::Address),
        wide("taskd").of(Kind::Address),
        wide("create_time").of(Kind::Number),
        brief("start").of(Kind::Instant),
        number("first"),
        number("last"),
        number("seen"),
        number("current"),
        number("unknown"),
        wide("names"),
        brief("marks"),
        wide("turns"),
    ],
};

/// The columns of a life's row.
pub fn life_table() -> &'static Table {
    &LIFE
}

static NO_NAME: Absent = Absent {
    why: Why::NotApplicable("no name was read"),
    at: None,
};

static NO_TURN: Absent = Absent {
    why: Why::NotApplicable("nothing became of its program"),
    at: None,
};

impl Row for Life {
    fn table(&self) -> &'static Table {
        &LIFE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let process = &self.process;
        let count = |count: usize| Cell::Number(u64::try_from(count).unwrap_or(u64::MAX));
        let current = self.count(Mark::Current);
        vec![
            value(&process.pid, |&pid| Cell::Number(u64::from(pid))),
            value(&process.name, |name| Cell::Bytes(name)),
            value(&process.asid, |asid| Cell::Address(asid.0)),
            Cell::Address(process.taskd.0),
            value(&process.create_time, |&time| Cell::Number(time)),
            value(&process.start, |&start| Cell::Instant(start)),
            count(self.first()),
            count(self.last()),
            count(self.count(Mark::There).saturating_add(current)),
            count(current),
            count(self.count(Mark::Unknown)),
            self.all_names().map_or(Cell::Absent(&NO_NAME), Cell::Text),
            Cell::Text(self.marks.iter().map(|mark| mark.letter()).collect()),
            if self.turns.is_empty() {
                Cell::Absent(&NO_TURN)
            } else {
                let turns = self.turns.iter();
                let words =
                    turns.map(|(at, turn)| format!("{} {}", at.saturating_add(1), turn.word()));
                Cell::Text(words.collect::<Vec<_>>().join(", "))
            },
        ]
    }
}

fn value<'a, T>(value: &'a Seen<T>, cell: impl FnOnce(&'a T) -> Cell<'a>) -> Cell<'a> {
    match value {
        Ok(value) => cell(value),
        Err(absent) => Cell::Absent(absent),
    }
}
