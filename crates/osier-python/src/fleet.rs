//! Many snapshots: `pyosier.run`.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use arrow_array::Array as _;
use osier::Options;
use osier::ask::Question;
use osier_fleet::{
    Answered, Asking, Event, Input, RunError, Status, Summary, answers, answers_of,
    manifest_schema, table_schema,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{engine, plain};
use crate::poll::{PATIENCE, STACK};
use crate::reached::Reached;
use crate::said::{Paths, limit, options, questions};
use crate::table::Table;

/// Snapshots that may wait to be taken.
const AHEAD: usize = 4;

/// What a fleet tells.
enum News {
    Answered(Box<Answered>),
    Ended(Result<Summary, RunError>),
}

/// What one snapshot gave: its tables, and what became of it.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Part {
    manifest: Py<PyAny>,
    tables: Py<PyDict>,
    row: Py<Table>,
}

impl Part {
    /// The line of the manifest, as columns.
    pub(crate) fn row(&self, py: Python<'_>) -> Py<Table> {
        self.row.clone_ref(py)
    }
}

#[pymethods]
impl Part {
    /// The snapshot's line of the manifest: docs/fleet.md has the fields.
    #[getter]
    fn manifest(&self, py: Python<'_>) -> Py<PyAny> {
        self.manifest.clone_ref(py)
    }

    /// The tables by the questions' words, one record batch each; none when the snapshot failed.
    #[getter]
    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.tables.bind(py).copy()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let manifest = self.manifest.bind(py);
        let (name, status) = (manifest.get_item("snapshot")?, manifest.get_item("status")?);
        Ok(format!("<Part {name}: {status}>"))
    }
}

/// A run over many snapshots: iterate over it, or take it whole.
///
/// Snapshots are read by other threads, in the order of the inputs and a few ahead of whoever takes them.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Run {
    questions: Vec<Question>,
    state: Mutex<State>,
}

struct State {
    news: Option<Receiver<News>>,
    /// What is no snapshot, until one is met; nobody waits for that where inputs were gathered before.
    others: VecDeque<Box<Answered>>,
    met: bool,
}

/// How an attempt to take the next part ended.
enum Next {
    Part(Box<Answered>),
    Wait,
    Over,
    Nothing(Vec<String>),
    Failed(RunError),
    Gone,
}

/// Whether there is a file whose format is known. One that is not there, or cannot be read, has none.
fn is_snapshot(part: &Answered) -> bool {
    let format = part.manifest.column_by_name("format");
    format.is_some_and(|format| format.is_valid(0))
}

impl State {
    fn next(&mut self) -> Next {
        if self.met
            && let Some(part) = self.others.pop_front()
        {
            return Next::Part(part);
        }
        let Some(news) = &self.news else {
            return Next::Over;
        };
        match news.recv_timeout(PATIENCE) {
            Ok(News::Answered(part)) => {
                self.met |= part.status != Status::Skipped && is_snapshot(&part);
                self.others.push_back(part);
                Next::Wait
            }
            Ok(News::Ended(ended)) => {
                self.news = None;
                match ended {
                    Err(error) => Next::Failed(error),
                    Ok(_) if self.met => Next::Over,
                    Ok(_) => Next::Nothing(self.others.drain(..).map(|part| part.line).collect()),
                }
            }
            Err(RecvTimeoutError::Timeout) => Next::Wait,
            Err(RecvTimeoutError::Disconnected) => {
                self.news = None;
                Next::Gone
            }
        }
    }
}

/// A failure of a whole run.
pub(crate) fn failed(py: Python<'_>, error: &RunError) -> PyErr {
    match error {
        RunError::Session(error) => engine(py, error),
        RunError::Nothing { .. } => plain(py, "NotASnapshotError", error.to_string()),
        RunError::Begin { .. } | RunError::Write { .. } => {
            plain(py, "ReadError", error.to_string())
        }
        _ => plain(py, "Error", error.to_string()),
    }
}

impl Run {
    fn part(&self, py: Python<'_>, answered: &Answered) -> PyResult<Part> {
        let tables = PyDict::new(py);
        for (question, batch) in self.questions.iter().zip(&answered.tables) {
            let table = Table::new(table_schema(*question), [batch.clone()]);
            tables.set_item(question.word(), Py::new(py, table)?)?;
        }
        let json = py.import("json")?;
        let manifest = json.call_method1("loads", (answered.line.as_str(),))?;
        let row = Table::new(manifest_schema(), [answered.manifest.clone()]);
        Ok(Part {
            manifest: manifest.unbind(),
            tables: tables.unbind(),
            row: Py::new(py, row)?,
        })
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<Part>> {
        loop {
            let next = py.detach(|| {
                let mut state = self.state.try_lock().ok()?;
                Some(state.next())
            });
            let busy = || PyRuntimeError::new_err("another thread is taking from this run");
            match next.ok_or_else(busy)? {
                Next::Part(answered) => return self.part(py, &answered).map(Some),
                Next::Wait => py.check_signals()?,
                Next::Over => return Ok(None),
                Next::Gone => return Err(plain(py, "Error", "the run panicked")),
                Next::Failed(error) => return Err(failed(py, &error)),
                Next::Nothing(lines) => {
                    let looked = lines.len();
                    let nothing = RunError::Nothing { looked };
                    let Some(first) = lines.first() else {
                        return Err(failed(py, &nothing));
                    };
                    let first = py
                        .import("json")?
                        .call_method1("loads", (first.as_str(),))?;
                    let why: Vec<String> = first.get_item("why")?.extract()?;
                    let text = format!("{nothing}; {}", why.join("; "));
                    return Err(plain(py, "NotASnapshotError", text));
                }
            }
        }
    }
}

#[pymethods]
impl Run {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Part>> {
        self.take(py)
    }

    /// Take everything that is left: a table for each question, of all snapshots, and manifest.
    fn collect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut manifest = Vec::new();
        let mut tables: Vec<Vec<_>> = vec![Vec::new(); self.questions.len()];
        while let Some(part) = self.take(py)? {
            manifest.extend_from_slice(part.row.get().batches());
            for (question, all) in self.questions.iter().zip(&mut tables) {
                if let Some(table) = part.tables.bind(py).get_item(question.word())? {
                    all.extend_from_slice(table.cast::<Table>()?.get().batches());
                }
            }
        }
        let collected = PyDict::new(py);
        for (question, batches) in self.questions.iter().zip(tables) {
            let table = Table::new(table_schema(*question), batches);
            collected.set_item(question.word(), Py::new(py, table)?)?;
        }
        let manifest = Table::new(manifest_schema(), manifest);
        collected.set_item("manifest", Py::new(py, manifest)?)?;
        Ok(collected)
    }

    /// Begin no further snapshot. What is iterated over ends.
    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.news = None;
        state.others.clear();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }
}

/// Ask every snapshot of paths: files, folders and patterns.
///
/// tables are the questions by their words, jobs the snapshots that are read at the same time, time_limit
/// seconds for each, memory_limit bytes of rows of each, hash an id of all bytes, root a folder that
/// snapshots are called by their paths below; progress is called with
/// the snapshots done and all there are. What is known of all snapshots is said as to open. Raises
/// NotASnapshotError when no file is a snapshot; what became of each is in its manifest.
#[pyfunction]
#[pyo3(signature = (paths, *, tables=None, jobs=None, time_limit=None, memory_limit=None, hash=false, root=None, progress=None, **said))]
#[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
pub(crate) fn run(
    py: Python<'_>,
    paths: Paths,
    tables: Option<&Bound<'_, PyAny>>,
    jobs: Option<usize>,
    time_limit: Option<f64>,
    memory_limit: Option<usize>,
    hash: bool,
    root: Option<PathBuf>,
    progress: Option<Py<PyAny>>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Run> {
    let one_each = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let asking = Asking {
        questions: questions(py, tables)?,
        time_limit: time_limit.map(|seconds| limit(py, seconds)).transpose()?,
        memory_limit: memory_limit.unwrap_or(Asking::MEMORY_LIMIT),
        hash,
        root,
        ..Asking::new(options(said)?.0, jobs.unwrap_or_else(one_each).max(1))
    };
    begin(Asked::Paths(paths.list()), asking, progress)
}

/// What a run asks.
pub(crate) enum Asked {
    /// What these paths name.
    Paths(Vec<PathBuf>),
    /// What was gathered before. Where none of it is a snapshot, that is for whoever gathered it to judge.
    Inputs(Vec<Input>),
}

/// Begins a run; `progress` is called with the snapshots done and all there are.
pub(crate) fn begin(asked: Asked, asking: Asking, progress: Option<Py<PyAny>>) -> PyResult<Run> {
    let questions = asking.questions.clone();
    let met = matches!(asked, Asked::Inputs(_));
    let (send, receive) = sync_channel(AHEAD);
    Builder::new().stack_size(STACK).spawn(move || {
        let mut watch = |event: Event<'_>| {
            let (Some(progress), Event::Finished { done, of, .. }) = (&progress, event) else {
                return;
            };
            Python::attach(|py| {
                if let Err(error) = progress.call1(py, (done, of)) {
                    error.write_unraisable(py, Some(progress.bind(py)));
                }
            });
        };
        let mut take = |answered| match send.send(News::Answered(Box::new(answered))) {
            Ok(()) => ControlFlow::Continue(()),
            // Nobody takes any more.
            Err(_) => ControlFlow::Break(()),
        };
        let ended = match asked {
            Asked::Paths(paths) => answers(&paths, &asking, &mut watch, &mut take),
            Asked::Inputs(inputs) => answers_of(inputs, &asking, &mut watch, &mut take),
        };
        let _ = send.send(News::Ended(ended));
    })?;
    Ok(Run {
        questions,
        state: Mutex::new(State {
            news: Some(receive),
            others: VecDeque::new(),
            met,
        }),
    })
}

/// What is said of several snapshots, and the files behind their paths.
pub(crate) fn several(
    py: Python<'_>,
    paths: Paths,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<(Vec<Input>, Options, Reached)> {
    let (options, reached) = options(said)?;
    let paths = paths.list();
    let files = py.detach(|| osier_fleet::gather(&paths, options.reach.as_deref()));
    Ok((files, options, reached))
}
