//! What is looked for in memory: `Guest.search` and `Guest.kept`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier::dump::kept_files;
use osier::search::{Hit, Pattern, PatternError, Rules, Scope, Searched, search, search_rules};
use osier::tables::{Cells, hits, kept as kept_tables};
use osier::{Guest, WalkEnds};
use pyo3::prelude::*;

use crate::errors::plain;
use crate::owned::OwnedRow;
use crate::poll::abandonable;
use crate::said::{Paths, taskds};
use crate::walk::Found;
use crate::written::undumped;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// One text, or several.
#[derive(FromPyObject)]
pub(crate) enum Texts {
    // A text is a sequence as well, and comes first.
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// What is looked for, each kind as the command's option of its name has it.
pub(crate) struct Wanted {
    pub(crate) text: Option<Texts>,
    pub(crate) wide_text: Option<Texts>,
    pub(crate) hex: Option<Texts>,
    pub(crate) regex: Option<Texts>,
    pub(crate) yara: Option<Paths>,
}

impl Wanted {
    fn read(self) -> Result<(Vec<Pattern>, Vec<Rules>), PatternError> {
        let mut patterns = Vec::new();
        let mut add = |texts: Option<Texts>, make: fn(&str) -> Result<Pattern, PatternError>| {
            for text in texts.map(Texts::list).unwrap_or_default() {
                patterns.push(make(&text)?);
            }
            Ok(())
        };
        add(self.text, Pattern::text)?;
        add(self.wide_text, Pattern::wide_text)?;
        add(self.hex, Pattern::hex)?;
        add(self.regex, Pattern::regex)?;
        let files = self.yara.map(Paths::list).unwrap_or_default();
        let rules = files.iter().map(|file: &PathBuf| Rules::of_file(file));
        Ok((patterns, rules.collect::<Result<_, _>>()?))
    }
}

/// What was looked at, and what was not.
fn tell(done: &Searched) -> (usize, Vec<String>) {
    let pages = |bytes: u64| usize::try_from(bytes.div_ceil(PAGE)).unwrap_or(usize::MAX);
    let said = done.lost.iter().map(|(why, bytes)| {
        let pages = pages(*bytes);
        let plural = if pages == 1 { "" } else { "s" };
        format!("not searched: {pages} page{plural}: {why}")
    });
    (pages(done.lost_bytes()), said.collect())
}

/// Looks for what is wanted in the memory of one process, of the kernel, or of the machine.
pub(crate) fn hunt(
    py: Python<'_>,
    guest: Guest,
    wanted: Wanted,
    pid: Option<&Bound<'_, PyAny>>,
    kernel: bool,
    limit: Option<Duration>,
) -> PyResult<Found> {
    let usage = |wrong: &str| plain(py, "UsageError", wrong);
    let read = py.detach(|| wanted.read());
    let (patterns, rules) = read.map_err(|error| usage(&error.to_string()))?;
    if patterns.is_empty() && rules.is_empty() {
        return Err(usage(
            "search for what? give text, wide_text, hex, regex or yara",
        ));
    }
    if pid.is_some() && kernel {
        return Err(usage("the kernel's memory is no process's"));
    }
    let of = pid.map(|pid| taskds(&guest, pid)).transpose()?;
    abandonable(py, move || {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let osi = &*guest.provider();
        let (scope, mut ends) = match of {
            Some((taskds, ends)) => (Scope::Processes(osi, taskds), ends),
            None if kernel => (Scope::Kernel(osi), WalkEnds::default()),
            None => (Scope::all_of(osi), WalkEnds::default()),
        };
        let mut rows = Vec::new();
        let mut show = |hit: Hit| {
            rows.push(OwnedRow::of(&Cells::of(&hit)));
            ControlFlow::Continue(())
        };
        let mut all = Vec::new();
        if !patterns.is_empty() {
            all.push(search(&scope, &patterns, until, &mut show));
        }
        for rules in &rules {
            all.push(search_rules(&scope, rules, until, &mut show));
        }
        // The memory is the same for each: what is not there is told once.
        let (lost, remarks) = all.first().map(tell).unwrap_or_default();
        for done in all {
            ends.join(done.ends);
        }
        Found {
            word: "search",
            tables: hits(),
            rows,
            lost,
            remarks,
            ends,
        }
    })
}

/// The files of which the kernel keeps pages.
pub(crate) fn kept(py: Python<'_>, guest: Guest) -> PyResult<Arc<Found>> {
    let found = abandonable(py, move || {
        let mut rows = Vec::new();
        let ends = kept_files(&guest, &mut |file| {
            rows.push(OwnedRow::of(&Cells::of(&file)));
            ControlFlow::Continue(())
        });
        ends.map(|ends| Found {
            word: "recover",
            tables: kept_tables(),
            rows,
            lost: 0,
            remarks: Vec::new(),
            ends,
        })
    })?;
    found.map(Arc::new).map_err(|error| undumped(py, &error))
}
