//! Processes, and with each what belongs to it.
//!
//! A process is known again by its `taskd`, pid and create time. A thread that executes a program
//! takes its leader's pid and create time over (Linux `de_thread`), and its own `task_struct`
//! becomes the leader's: such a process is known by the latter two.

use osier::SeenExt as _;
use std::collections::HashMap;

use osier::Process;
use osier::tables::Cell;

use super::fields::{changed, undeleted};
use super::pair::{Pair, compatible, pair};
use super::teller::{Kinds, Teller};
use super::{mappings, threads};
use crate::event::cell;
use crate::view::Belongings;
use crate::{Kind, View};

const KINDS: Kinds = Kinds {
    new: Kind::ProcessStarted,
    gone: Kind::ProcessGone,
    unknown: Kind::ProcessUnknown,
};

/// What another program brings with it.
const PROGRAM: [&str; 7] = ["name", "taskd", "asid", "pgd", "exe", "path", "cmdline"];

/// What a process leaves when it exits and waits for its parent.
const EXIT: [&str; 7] = [
    "asid",
    "pgd",
    "state",
    "threads",
    "exe",
    "cmdline",
    "exit_time",
];

/// What events depend on.
const COMPARED: [&str; 9] = [
    "pid",
    "ppid",
    "name",
    "asid",
    "create_time",
    "uid",
    "gid",
    "exe",
    "path",
];

type Owner<'a> = (&'a Process, &'a Belongings);

/// Tells what happened to the processes, their threads and mappings.
pub(super) fn compare<'a>(before: &'a View, after: &'a View, teller: &mut Teller<'a, '_>) {
    let owners = |view: &'a View| -> Vec<Owner<'a>> {
        view.processes.rows.iter().zip(&view.belongings).collect()
    };
    let place = |owner: Owner<'_>| owner.0.taskd.0;
    let pairs = pair(&owners(before), &owners(after), place, |one, other| {
        same(one.0, other.0)
    });
    let ends = (&before.processes.ends, &after.processes.ends);
    for pair in &reunited(pairs) {
        let &Pair::Both((a, had), (b, has)) = pair else {
            teller.lone(KINDS, pair, |owner| owner.0, ends);
            continue;
        };
        let went_on = changes(a, b, teller);
        threads::compare(b, &had.threads, &has.threads, teller);
        if went_on {
            mappings::compare(b, &had.mappings, &has.mappings, teller);
        }
    }
}

/// Whether what stands at one place is the same process.
pub(crate) fn same(one: &Process, other: &Process) -> bool {
    compatible(&one.pid, &other.pid) && compatible(&one.create_time, &other.create_time)
}

/// Joins what stands at two places and has the same pid and create time.
fn reunited(pairs: Vec<Pair<Owner<'_>>>) -> Vec<Pair<Owner<'_>>> {
    let life = |process: &Process| Some((process.pid.value()?, process.create_time.value()?));
    let mut arrived = HashMap::new();
    for pair in &pairs {
        if let Pair::After { row, .. } = pair
            && let Some(life) = life(row.0)
        {
            arrived.insert(life, *row);
        }
    }
    let mut joined = Vec::with_capacity(pairs.len());
    let mut moved = Vec::new();
    for pair in pairs {
        let now = match &pair {
            Pair::Before { row, .. } => life(row.0).and_then(|life| arrived.remove(&life)),
            Pair::After { row, .. } if moved.contains(&row.0.taskd) => continue,
            _ => None,
        };
        joined.push(match (pair, now) {
            (Pair::Before { row, .. }, Some(now)) => {
                moved.push(now.0.taskd);
                Pair::Both(row, now)
            }
            (pair, _) => pair,
        });
    }
    joined
}

/// What became of a process's program from one snapshot to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// It runs another program, in another address space.
    Executed,
    /// It has another name, and still runs the same program.
    Renamed,
    /// It gave its memory back, and waits for its parent.
    Exited,
}

impl Turn {
    /// The word in rows.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Renamed => "renamed",
            Self::Exited => "exited",
        }
    }
}

/// What became of the program of a process that both snapshots have.
pub(crate) fn turn(a: &Process, b: &Process) -> Option<Turn> {
    if has_memory(a) && !has_memory(b) && !changed(a, b, &["asid"]).is_empty() {
        return Some(Turn::Exited);
    }
    if executed(a, b) {
        return Some(Turn::Executed);
    }
    (!changed(a, b, &["name"]).is_empty()).then_some(Turn::Renamed)
}

/// Tells what changed of a process. Says whether it still runs the same program.
fn changes<'a>(a: &'a Process, b: &'a Process, teller: &mut Teller<'a, '_>) -> bool {
    let turn = turn(a, b);
    let told: Option<(Kind, &[&'static str])> = turn.map(|turn| match turn {
        Turn::Exited => (Kind::ProcessExited, &EXIT[..]),
        Turn::Executed => (Kind::ProcessExecuted, &PROGRAM[..]),
        Turn::Renamed => (Kind::ProcessRenamed, &["name"][..]),
    });
    if let Some((kind, fields)) = told {
        teller.changed(kind, a, b, fields);
    }
    teller.changed(Kind::ProcessReparented, a, b, &["ppid"]);
    teller.changed(Kind::ProcessCredentials, a, b, &["uid", "gid"]);
    teller.lost(Kind::ProcessUnknown, a, b, &COMPARED);
    !matches!(turn, Some(Turn::Exited | Turn::Executed))
}

fn has_memory(process: &Process) -> bool {
    process.asid.get().is_some()
}

/// Whether the process has another address space or another program's file. The new page table may
/// stand where the old one stood, so each is asked.
fn executed(a: &Process, b: &Process) -> bool {
    let program = |process| {
        let path = ["exe", "path"].iter().find_map(|name| cell(process, name));
        match path {
            Some(Cell::Bytes(path)) => Some(undeleted(path).to_vec()),
            _ => None,
        }
    };
    let another_file = match (program(a), program(b)) {
        (Some(was), Some(now)) => was != now,
        _ => false,
    };
    another_file || !changed(a, b, &["asid"]).is_empty()
}
