//! Which rows of a list are wanted, and what of them: the options that every list takes.

pub(crate) mod condition;
mod token;
mod value;

use std::cmp::Ordering;

use glob::Pattern;
use osier::ask::Question;
use osier::tables::{self, Cells, Column, Columns, Table};

use crate::args::{PidArg, ShapeArgs};
use condition::{Condition, Truth, find, glob};
use value::{NoValue, Value};

/// An option that was used wrongly.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Which rows of one list are wanted, and what of them.
#[derive(Default)]
pub(crate) struct Shape {
    condition: Option<Condition>,
    columns: Option<&'static Table>,
    sort: Option<(&'static Column, bool)>,
    /// Their names alone when the list has no names of its own.
    processes: Processes,
    /// The kind of row that was last found to have every column that is asked for.
    fits: Option<&'static Table>,
}

impl Shape {
    /// What `args` say of the answers to `question`.
    ///
    /// # Errors
    /// What was used wrongly.
    pub(crate) fn of(args: &ShapeArgs, question: Question) -> Result<Self, Wrong> {
        match question {
            // Another system's processes have no more than their usual columns.
            Question::Wide => {
                let usual = tables::of(Question::Processes);
                Self::over(args, "ps", &[tables::of(question), usual].concat())
            }
            _ => Self::over(args, question.word(), tables::of(question)),
        }
    }

    /// What the arguments say of a `list` whose rows are of these kinds.
    pub(crate) fn over(
        args: &ShapeArgs,
        list: &'static str,
        kinds: &[&'static Table],
    ) -> Result<Self, Wrong> {
        let all = Columns::of(kinds);
        let wrong = |option: &str, error: String| Wrong(format!("{option}: {error}"));
        let column =
            |option, name: &str| find(&all, list, name).map_err(|error| wrong(option, error));
        let mut shape = Self::default();
        shape.processes.pids.clone_from(&args.pid);
        let mut conditions = Vec::new();
        if let Some(text) = &args.condition {
            let parsed = Condition::parse(text, list, &all);
            conditions.push(parsed.map_err(|error| wrong("--where", error))?);
        }
        if let Some(text) = &args.name {
            let pattern = glob(text).map_err(|error| wrong("--name", error))?;
            // Names of other things than processes are a list's own only where every system's rows have them.
            let has = |table: &&Table| table.columns.iter().any(|column| column.name == "name");
            let own = all.iter().find(|column| column.name == "name");
            match own.filter(|_| kinds.iter().all(has)) {
                Some(name) => conditions.push(Condition::like(name, pattern)),
                None => shape.processes.name = Some(pattern),
            }
        }
        if !conditions.is_empty() {
            shape.condition = Some(Condition::All(conditions));
        }
        if let Some(sort) = &args.sort {
            shape.sort = Some((column("--sort", sort.column.trim())?, sort.descending));
        }
        if !args.columns.is_empty() {
            let mut named: Vec<&str> = Vec::new();
            let picked = args.columns.iter().map(|name| {
                let name = name.trim();
                if named.contains(&name) {
                    let twice = format!("the column `{name}` is named twice");
                    return Err(wrong("--columns", twice));
                }
                named.push(name);
                let column = column("--columns", name)?;
                Ok(Column {
                    brief: true,
                    ..*column
                })
            });
            let picked: Vec<Column> = picked.collect::<Result<_, Wrong>>()?;
            // The one list of this process; its columns are described as long as it runs.
            shape.columns = Some(Box::leak(Box::new(Table {
                name: list,
                columns: Vec::leak(picked),
            })));
        }
        Ok(shape)
    }

    /// The processes that the answer is limited to; `None` when it is of all.
    pub(crate) fn processes(&self) -> Option<Processes> {
        let limited = !self.processes.pids.is_empty() || self.processes.name.is_some();
        limited.then(|| self.processes.clone())
    }

    /// Whether columns are asked for by their names.
    pub(crate) fn picks(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether the rows come in an order of their own.
    pub(crate) fn sorts(&self) -> bool {
        self.sort.is_some()
    }

    /// Whether the row is wanted.
    pub(crate) fn wants(&self, row: &Cells<'_>) -> Truth {
        self.condition
            .as_ref()
            .map_or(Truth::Yes, |condition| condition.of(row))
    }

    /// An error when rows of this kind have not all columns that are asked for: another system's have.
    ///
    /// # Errors
    /// The column, and those that there are.
    pub(crate) fn fit(&mut self, table: &'static Table) -> Result<(), Wrong> {
        if self.fits.is_some_and(|fits| std::ptr::eq(fits, table)) {
            return Ok(());
        }
        let mut asked = Vec::new();
        if let Some(condition) = &self.condition {
            condition.columns(&mut asked);
        }
        asked.extend(self.sort.map(|(column, _)| column.name));
        asked.extend(
            self.columns
                .into_iter()
                .flat_map(|table| table.columns)
                .map(|column| column.name),
        );
        let has = |name: &&str| table.columns.iter().any(|column| column.name == *name);
        if let Some(missing) = asked.iter().find(|name| !has(name)) {
            let known: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            return Err(Wrong(format!(
                "rows of this snapshot's system have no column `{missing}`; they have {}",
                known.join(", ")
            )));
        }
        self.fits = Some(table);
        Ok(())
    }

    /// The row with the columns that are asked for.
    pub(crate) fn pick<'a>(&self, row: &Cells<'a>) -> Option<Cells<'a>> {
        let table = self.columns?;
        let cells = table.columns.iter().filter_map(|wanted| {
            row.iter()
                .find_map(|(column, cell)| (column.name == wanted.name).then(|| cell.clone()))
        });
        Some(Cells {
            table,
            cells: cells.collect(),
        })
    }

    /// What the row is ordered by.
    pub(crate) fn key(&self, row: &Cells<'_>) -> Key {
        let value = self.sort.and_then(|(by, _)| {
            let mut cells = row.iter();
            let cell = cells.find_map(|(column, cell)| (column.name == by.name).then_some(cell));
            Some(Value::of(by, cell?))
        });
        Key(value.unwrap_or(Err(NoValue { lost: false })))
    }

    /// The column that rows are ordered by.
    pub(crate) fn ordering(&self) -> Option<&'static str> {
        self.sort.map(|(column, _)| column.name)
    }

    /// The order of rows with these keys: those without a value last.
    pub(crate) fn compare(&self, one: &Key, other: &Key) -> Ordering {
        let descending = self.sort.is_some_and(|(_, descending)| descending);
        match (&one.0, &other.0) {
            (Ok(one), Ok(other)) if descending => other.cmp(one),
            (Ok(one), Ok(other)) => one.cmp(other),
            (one, other) => one.is_err().cmp(&other.is_err()),
        }
    }
}

/// What a row is ordered by.
pub(crate) struct Key(Result<Value, NoValue>);

impl Key {
    /// Whether the row has a value to be ordered by.
    pub(crate) fn is_known(&self) -> bool {
        self.0.is_ok()
    }

    /// Whether the guest has the value, and it was lost on the way: nobody knows where the row belongs.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.0, Err(NoValue { lost: true }))
    }
}

/// The processes that an answer is limited to.
#[derive(Clone, Default)]
pub(crate) struct Processes {
    /// Their ids; empty when any will do.
    pub(crate) pids: Vec<PidArg>,
    /// What they are called; `None` when any name will do.
    pub(crate) name: Option<Pattern>,
}

impl Processes {
    /// Whether the id is one of them.
    pub(crate) fn has(&self, pid: u32) -> bool {
        self.pids.is_empty()
            || (self.pids.iter()).any(|pids| (pids.first..=pids.last).contains(&pid))
    }

    /// Whether a process of this name is one of them.
    pub(crate) fn is_called(&self, name: &[u8]) -> bool {
        let mut text = String::new();
        osier::format::escape_bytes(name, &mut text);
        self.name
            .as_ref()
            .is_none_or(|pattern| pattern.matches(&text))
    }
}
