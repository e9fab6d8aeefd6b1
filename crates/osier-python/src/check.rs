//! `pyosier.check` and `pyosier.distill`.

use std::path::PathBuf;

use osier::distill::DistillError;
use osier_compare::golden::{Golden, Ignore, Verdict, answer};
use osier_fleet::{Input, RunError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{engine, plain};
use crate::fleet::{failed, several};
use crate::poll::abandonable;
use crate::said::{Paths, options, questions};

/// What came of one question of one snapshot.
#[pyclass(frozen, get_all, module = "pyosier")]
pub(crate) struct Case {
    /// The snapshot's path.
    snapshot: String,
    /// The question's word; open, when the snapshot could not be opened.
    question: &'static str,
    /// same, missing (there is no golden file), differs or failed; updated and kept with update.
    verdict: &'static str,
    /// What differs or failed, in words.
    differences: Vec<String>,
}

impl Case {
    fn new(path: &std::path::Path, question: &'static str, verdict: &Verdict) -> Self {
        let (verdict, differences) = match verdict {
            Verdict::Same => ("same", Vec::new()),
            Verdict::Missing => ("missing", vec![osier_compare::golden::NO_FILE.to_owned()]),
            Verdict::Differs(found) => ("differs", found.iter().map(ToString::to_string).collect()),
            Verdict::Failed(why) => ("failed", vec![why.clone()]),
        };
        Self {
            snapshot: osier_text::path(path).to_string(),
            question,
            verdict,
            differences,
        }
    }
}

#[pymethods]
impl Case {
    /// Whether the rows are the golden ones.
    #[getter]
    fn ok(&self) -> bool {
        matches!(self.verdict, "same" | "kept" | "updated")
    }

    fn __repr__(&self) -> String {
        format!(
            "<Case {} {}: {}>",
            self.snapshot, self.question, self.verdict
        )
    }
}

/// Asks one snapshot, and holds it against its golden rows. Nothing when it is not a snapshot.
fn cases(
    file: &Input,
    golden: &Golden,
    asked: Option<&[osier::ask::Question]>,
    options: &osier::Options,
    (ignore, update): (&mut Ignore, bool),
) -> Option<Vec<Case>> {
    let path = &file.path;
    let guest = match file.open(options) {
        Ok(guest) => guest?,
        Err(why) => return Some(vec![Case::new(path, "open", &Verdict::Failed(why))]),
    };
    let questions = asked.map_or_else(|| golden.questions(), <[_]>::to_vec);
    let cases = questions.into_iter().map(|question| {
        let held = answer(&*guest.provider(), question).and_then(|answer| {
            if update {
                let changed = golden.update(question, &answer)?;
                let mut case = Case::new(path, question.word(), &Verdict::Same);
                case.verdict = if changed { "updated" } else { "kept" };
                return Ok(case);
            }
            let verdict = golden.check(question, &answer, ignore)?;
            Ok(Case::new(path, question.word(), &verdict))
        });
        held.unwrap_or_else(|error| {
            Case::new(path, question.word(), &Verdict::Failed(error.to_string()))
        })
    });
    Some(cases.collect())
}

/// Hold snapshots against the golden rows in the folder golden: files, folders and patterns.
///
/// ask are the questions by their words, ignore fields that do not count (maps.flags), update writes the
/// golden files again. What is known of all snapshots is said as to open.
#[pyfunction]
#[pyo3(signature = (paths, golden, *, ask=None, ignore=Vec::new(), update=false, **said))]
pub(crate) fn check(
    py: Python<'_>,
    paths: Paths,
    golden: PathBuf,
    ask: Option<&Bound<'_, PyAny>>,
    ignore: Vec<String>,
    update: bool,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Vec<Case>> {
    let asked = match ask {
        Some(_) => Some(questions(py, ask)?),
        None => None,
    };
    let usage = |error: String| plain(py, "UsageError", error);
    let mut ignore = Ignore::parse(&ignore).map_err(|error| usage(error.to_string()))?;
    let (files, options, reached) = several(py, paths, said)?;
    if !update && !golden.is_dir() {
        let golden = osier_text::path(&golden);
        let wrong = format!("{golden}: there is no such folder of golden rows; update makes it");
        return Err(plain(py, "NotFoundError", wrong));
    }
    let named = files.iter().map(|file| Golden::of(&golden, &file.path));
    let named = named.collect::<Result<Vec<_>, _>>();
    let named = named.map_err(|error| usage(error.to_string()))?;
    let stems: Vec<_> = files.iter().map(|file| file.path.file_stem()).collect();
    let mut all = Vec::new();
    for (nth, (file, golden)) in files.iter().zip(named).enumerate() {
        let twin = stems
            .iter()
            .take(nth)
            .any(|stem| *stem == file.path.file_stem());
        let (of, asked, options) = (file.clone(), asked.clone(), options.clone());
        let (held, met) = abandonable(py, move || {
            let held = cases(
                &of,
                &golden,
                asked.as_deref(),
                &options,
                (&mut ignore, update),
            );
            (held, ignore)
        })?;
        ignore = met;
        reached.sound(py)?;
        let Some(held) = held else { continue };
        if twin {
            let path = osier_text::path(&file.path);
            let wrong = format!("{path} and another would share golden files; check one at a time");
            return Err(usage(wrong));
        }
        all.extend(held);
    }
    if all.is_empty() {
        let looked = files.len();
        return Err(failed(py, &RunError::Nothing { looked }));
    }
    Ok(all)
}

/// What distilling did.
#[pyclass(frozen, get_all, module = "pyosier")]
pub(crate) struct Distilled {
    /// Pages kept, of 4 KiB.
    pages: usize,
    /// Rows that the questions answered, endings included.
    rows: usize,
    /// Values and lists that could not be read, here as in the whole snapshot.
    lost: usize,
    /// What is odd about the snapshot's file and may make answers wrong or short.
    doubts: Vec<String>,
    /// Bytes of the file.
    bytes: u64,
}

#[pymethods]
impl Distilled {
    fn __repr__(&self) -> String {
        let (pages, bytes, rows) = (self.pages, self.bytes, self.rows);
        format!(
            "Distilled(pages={pages}, rows={rows}, lost={}, bytes={bytes})",
            self.lost
        )
    }
}

/// Write a small snapshot with only the pages that some questions need, and see that it answers the same.
///
/// ask are the questions by their words. What is known of the snapshot is said as to open.
#[pyfunction]
#[pyo3(signature = (path, out, *, ask=None, **said))]
pub(crate) fn distill(
    py: Python<'_>,
    path: PathBuf,
    out: PathBuf,
    ask: Option<&Bound<'_, PyAny>>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Distilled> {
    let questions = questions(py, ask)?;
    let (options, reached) = options(said)?;
    let work = move || osier::distill::distill(&path, &options, &questions, &out);
    let done = abandonable(py, work)?;
    reached.sound(py)?;
    let done = done.map_err(|error| match &error {
        DistillError::Guest(error) => engine(py, error),
        DistillError::Same(_) => plain(py, "UsageError", error.to_string()),
        DistillError::Write { .. } => plain(py, "ReadError", error.to_string()),
        _ => plain(py, "Error", error.to_string()),
    })?;
    Ok(Distilled {
        pages: done.pages,
        rows: done.rows,
        lost: done.lost,
        doubts: done.doubts.iter().map(ToString::to_string).collect(),
        bytes: done.bytes,
    })
}
