//! What differs between snapshots: `pyosier.diff` and `pyosier.timeline`.

use osier::Guest as Engine;
use osier::ask::Question;
use osier::tables::Cells;
use osier::{SeenExt as _, WalkEnds};
use osier_compare::timeline::{Glyphs, by_clock, drawing, svg};
use osier_compare::{View, premises};
use osier_fleet::RunError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::answer::End;
use crate::errors::plain;
use crate::fleet::{failed, several};
use crate::guest::Guest;
use crate::owned::OwnedRow;
use crate::poll::abandonable;
use crate::reached::Reached;
use crate::row::{instant, object};
use crate::said::{Paths, options, questions};

/// A guest, or the path of one.
#[derive(FromPyObject)]
pub(crate) enum Which<'py> {
    Guest(Bound<'py, Guest>),
    Path(std::path::PathBuf),
}

impl Which<'_> {
    fn open(self, py: Python<'_>, said: Option<&Bound<'_, PyDict>>) -> PyResult<(Engine, Reached)> {
        match self {
            Self::Guest(guest) => Ok((guest.get().held(py)?, guest.get().reached().clone())),
            Self::Path(path) => {
                let (options, reached) = options(said)?;
                let opened = abandonable(py, move || Engine::open(&path, &options))?;
                Ok((reached.opened(py, opened)?, reached))
            }
        }
    }
}

/// Everything that a guest says.
fn view(guest: &Engine, asked: &[Question]) -> Result<View, String> {
    let label = osier_text::path(&guest.info().file).to_string();
    let view = View::of(label, guest, asked);
    if view.processes.rows.is_empty() {
        let label = view.label;
        return Err(format!(
            "{label}: the process list is empty, which no running system's is"
        ));
    }
    Ok(view)
}

/// How the walks of several views ended, and what was lost.
fn ends<'a>(views: impl IntoIterator<Item = &'a View>) -> (WalkEnds, usize) {
    let (mut ends, mut lost) = (WalkEnds::default(), 0_usize);
    for view in views {
        ends.join(view.ends());
        lost = lost.saturating_add(view.losses());
    }
    (ends, lost)
}

/// What happened between two snapshots of one guest; docs/diff.md has the events.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Diff {
    events: Vec<Py<PyAny>>,
    lines: Vec<String>,
    premises: Vec<String>,
    ends: WalkEnds,
    lost: usize,
}

fn loaded(py: Python<'_>, lines: &[String]) -> PyResult<Vec<Py<PyAny>>> {
    let json = py.import("json")?;
    let load = |line: &String| Ok(json.call_method1("loads", (line.as_str(),))?.unbind());
    lines.iter().map(load).collect()
}

#[pymethods]
impl Diff {
    /// Each event, as a row.
    #[getter]
    fn events(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.events
            .iter()
            .map(|event| event.clone_ref(py))
            .collect()
    }

    /// Each event with the whole row that it is about, as the command writes it.
    fn as_dicts(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        loaded(py, &self.lines)
    }

    /// What is not the same in both although events lean on it: about, was, now, means.
    #[getter]
    fn premises(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        loaded(py, &self.premises)
    }

    /// How each walk of both snapshots ended.
    #[getter]
    fn ends(&self) -> Vec<End> {
        End::all(&self.ends)
    }

    /// Number of values of both that exist in the guest and could not be read.
    #[getter]
    const fn losses(&self) -> usize {
        self.lost
    }

    /// Whether every walk closed and every value was read.
    #[getter]
    fn complete(&self) -> bool {
        self.lost == 0 && self.ends.all_closed()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.events(py).into_pyobject(py)?.call_method0("__iter__")
    }

    fn __len__(&self) -> usize {
        self.events.len()
    }

    fn __repr__(&self) -> String {
        format!("<Diff of {} events>", self.events.len())
    }
}

/// Tell what happened between two snapshots of one guest: paths, or guests.
///
/// ask are the questions by their words; processes are always among them. What is known of both is said as
/// to open.
#[pyfunction]
#[pyo3(signature = (before, after, *, ask=None, **said))]
pub(crate) fn diff(
    py: Python<'_>,
    before: Which<'_>,
    after: Which<'_>,
    ask: Option<&Bound<'_, PyAny>>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Diff> {
    let asked = questions(py, ask)?;
    let other = asked.iter().find(|asked| !View::QUESTIONS.contains(asked));
    if let (Some(_), Some(other)) = (ask, other) {
        let known = View::QUESTIONS.map(Question::word).join(", ");
        let wrong = format!(
            "diff does not compare {}; it compares {known}",
            other.word()
        );
        return Err(plain(py, "UsageError", wrong));
    }
    let (before, first) = before.open(py, said)?;
    let (after, second) = after.open(py, said)?;
    let compared = abandonable(py, move || {
        let (before, after) = (view(&before, &asked)?, view(&after, &asked)?);
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        osier_compare::diff(&before, &after, &mut |event| {
            rows.push(OwnedRow::of(&Cells::of(&event)));
            let mut line = String::new();
            event.json(&mut line);
            lines.push(line);
        });
        let mut found = Vec::new();
        for premise in premises(&before, &after) {
            let mut line = String::new();
            premise.json(&mut line);
            found.push(line);
        }
        Ok((rows, lines, found, ends([&before, &after])))
    })?;
    first.sound(py)?;
    second.sound(py)?;
    let compared: Result<_, String> = compared;
    let (rows, lines, premises, (ends, lost)) = compared.map_err(|why| plain(py, "Error", why))?;
    let events = rows.iter().map(|row| Ok(object(py, row)?.unbind()));
    Ok(Diff {
        events: events.collect::<PyResult<_>>()?,
        lines,
        premises,
        ends,
        lost,
    })
}

/// Processes through a series of snapshots of one guest. Shows itself as SVG in a notebook.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Timeline {
    lives: Vec<Py<PyAny>>,
    moments: Vec<(String, Option<i64>)>,
    by_clock: bool,
    text: String,
    svg: String,
    ends: WalkEnds,
}

#[pymethods]
impl Timeline {
    /// Each process, as a row.
    #[getter]
    fn lives(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.lives.iter().map(|life| life.clone_ref(py)).collect()
    }

    /// The snapshots in their order: what each is called, and what the guest's clock showed.
    #[getter]
    fn moments<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Option<Bound<'py, PyAny>>)>> {
        let moments = self.moments.iter();
        let dated = moments.map(|(label, at)| {
            let at = at.map(|at| instant(py, at)).transpose()?;
            Ok((label.clone(), at))
        });
        dated.collect()
    }

    /// Whether the order is the guest's clock's, and not that of the paths.
    #[getter]
    const fn by_clock(&self) -> bool {
        self.by_clock
    }

    /// How each walk of all snapshots ended.
    #[getter]
    fn ends(&self) -> Vec<End> {
        End::all(&self.ends)
    }

    /// The drawing, as an SVG document.
    fn svg(&self) -> &str {
        &self.svg
    }

    fn _repr_svg_(&self) -> &str {
        &self.svg
    }

    fn __str__(&self) -> &str {
        &self.text
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lives(py).into_pyobject(py)?.call_method0("__iter__")
    }

    fn __len__(&self) -> usize {
        self.lives.len()
    }

    fn __repr__(&self) -> String {
        let (lives, moments) = (self.lives.len(), self.moments.len());
        format!("<Timeline of {lives} processes through {moments} snapshots>")
    }
}

/// Columns of the drawing in text.
const WIDTH: usize = 100;

/// Follow the processes through the snapshots of one guest: files, folders and patterns.
///
/// order is clock (the guest's, where it is known of every snapshot) or given. What is known of all is said
/// as to open.
#[pyfunction]
#[pyo3(signature = (paths, *, order="clock", **said))]
pub(crate) fn timeline(
    py: Python<'_>,
    paths: Paths,
    order: &str,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Timeline> {
    let sorted = match order {
        "clock" => true,
        "given" => false,
        _ => return Err(PyValueError::new_err("order is clock or given")),
    };
    let (files, options, reached) = several(py, paths, said)?;
    let looked = files.len();
    let views = abandonable(py, move || {
        let mut views = Vec::new();
        for file in &files {
            if let Some(guest) = file.open(&options)? {
                views.push(view(&guest, &[Question::Current])?);
            }
        }
        Ok(views)
    })?;
    reached.sound(py)?;
    let views: Result<Vec<View>, String> = views;
    let mut views = views.map_err(|why| plain(py, "Error", why))?;
    if views.is_empty() {
        return Err(failed(py, &RunError::Nothing { looked }));
    }
    let by_clock = sorted && by_clock(&mut views);
    let made = osier_compare::timeline::Timeline::of(&views);
    let glyphs = Glyphs {
        ascii: false,
        colour: false,
    };
    let moments = made.moments.iter();
    let lives = made.lives.iter();
    Ok(Timeline {
        moments: moments
            .map(|moment| (moment.label.clone(), moment.clock.value()))
            .collect(),
        by_clock,
        text: drawing(&made, WIDTH, glyphs),
        svg: svg(&made),
        ends: ends(&views).0,
        lives: lives
            .map(|life| Ok(object(py, &OwnedRow::of(&Cells::of(life)))?.unbind()))
            .collect::<PyResult<_>>()?,
    })
}
