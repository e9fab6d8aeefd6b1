//! Answers: a question to a guest, and everything that it gives.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use osier::WalkEnds;
use osier::format::json_ending;
use osier_fleet::{id, name_of, schema_of};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::arrow;
use crate::errors::plain;
use crate::gather::gather;
use crate::held::Held;
use crate::html;
use crate::owned::OwnedRow;
use crate::poll::Poll;
use crate::row;
use crate::table::{to_arrow, to_pandas, to_polars};
use crate::walk::{Source, Walk};

/// What is known of an answer once all of it was walked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    rows: usize,
    losses: usize,
    ends: WalkEnds,
}

/// How one walk of an answer ended. ``str()`` is a sentence.
#[pyclass(frozen, module = "pyosier", eq)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    walk: &'static str,
    end: osier::WalkEnd,
}

impl End {
    pub(crate) fn all(ends: &WalkEnds) -> Vec<Self> {
        let ends = ends.0.iter().cloned();
        ends.map(|(walk, end)| Self { walk, end }).collect()
    }
}

#[pymethods]
impl End {
    /// What was walked, such as tasks.
    #[getter]
    const fn walk(&self) -> &'static str {
        self.walk
    }

    /// How it ended: closed, or a word of docs/rows.md.
    #[getter]
    fn how(&self) -> &'static str {
        self.end.word()
    }

    /// Whether everything there was has been walked.
    #[getter]
    fn closed(&self) -> bool {
        self.end.is_closed()
    }

    /// The fields of docs/rows.md; addresses are hexadecimal text there.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut json = String::new();
        json_ending(self.walk, &self.end, &mut json);
        py.import("json")?.call_method1("loads", (json,))
    }

    fn __str__(&self) -> String {
        format!("{} {}", self.walk, self.end)
    }

    fn __repr__(&self) -> String {
        format!("<End {} {}>", self.walk, self.end)
    }
}

/// The answer to one question: rows, Arrow columns, and how complete they are.
///
/// An answer holds no rows, but for those of search and kept. Each use walks the guest, which does not change,
/// so that every use gives the same; ``list(answer)`` keeps rows. The columns are kept once somebody asked for
/// them, and so is how the walks ended.
#[pyclass(frozen, generic, module = "pyosier")]
pub(crate) struct Answer {
    held: Held,
    source: Source,
    told: Arc<Mutex<Option<Told>>>,
    batches: Mutex<Option<Arc<[RecordBatch]>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    pub(crate) fn new(held: Held, source: Source) -> Self {
        Self {
            held,
            source,
            told: Arc::default(),
            batches: Mutex::default(),
        }
    }

    /// Walks everything, and shows each row. The provider of the walk is made and let go of without the interpreter's
    /// lock, for each has caches of its own.
    fn walk(
        &self,
        py: Python<'_>,
        row: &mut (dyn FnMut(&osier::tables::Cells<'_>) -> ControlFlow<()> + Send),
    ) -> PyResult<Told> {
        let guest = self.held.guest(py)?;
        let mut poll = Poll::new();
        let told = py.detach(|| {
            let mut told = Told::default();
            let mut walk = Walk::new(&guest, self.source.clone());
            walk.through(&mut || poll.look(), &mut |one| {
                told.rows = told.rows.saturating_add(1);
                told.losses = told.losses.saturating_add(one.losses());
                row(one)
            });
            told.losses = told.losses.saturating_add(walk.lost());
            told.ends = walk.ends().clone();
            told
        });
        poll.raised()?;
        self.held.sound(py, Ok(()))?;
        *locked(&self.told) = Some(told.clone());
        Ok(told)
    }

    fn told(&self, py: Python<'_>) -> PyResult<Told> {
        // What is known stays known, but not of a guest that was closed.
        self.held.guest(py)?;
        if let Some(told) = locked(&self.told).clone() {
            return Ok(told);
        }
        self.walk(py, &mut |_| ControlFlow::Continue(()))
    }

    /// The columns, in batches.
    fn batches(&self, py: Python<'_>) -> PyResult<Arc<[RecordBatch]>> {
        let guest = self.held.guest(py)?;
        if let Some(batches) = locked(&self.batches).clone() {
            return Ok(batches);
        }
        let file = &guest.info().file;
        let reach = self.held.reach();
        let mut poll = Poll::new();
        let gathered = py.detach(|| {
            // It is told by bytes of the file.
            let id = id(file, Some(&*reach), false).map_err(|error| {
                let file = osier_text::path(file);
                format!("{file}: {error}")
            })?;
            let name = name_of(file);
            let labels = (name.as_str(), id.as_str());
            Ok(gather(&guest, &self.source, labels, &mut poll))
        });
        poll.raised()?;
        self.held.sound(py, Ok(()))?;
        let gathered = gathered.map_err(|error: String| plain(py, "ReadError", error))?;
        let gathered = gathered.map_err(|error| arrow::failed(py, &error))?;
        *locked(&self.told) = Some(Told {
            rows: gathered.rows,
            losses: gathered.losses,
            ends: gathered.ends,
        });
        let batches: Arc<[RecordBatch]> = gathered.batches.into();
        *locked(&self.batches) = Some(batches.clone());
        Ok(batches)
    }
}

/// What is said under a table.
fn footer(told: &Told, shown: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = match told.rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    let cut = if shown < told.rows {
        format!(", the first {shown} of them shown")
    } else {
        String::new()
    };
    let lost = match told.losses {
        0 => String::new(),
        1 => ", 1 value lost".to_owned(),
        lost => format!(", {lost} values lost"),
    };
    let closed = if told.ends.all_closed() {
        ", every walk closed"
    } else {
        ""
    };
    lines.push(format!("{rows}{cut}{lost}{closed}"));
    lines.extend(told.ends.bad().map(|(walk, end)| end.of(walk)));
    lines
}

#[pymethods]
impl Answer {
    fn __iter__(&self, py: Python<'_>) -> PyResult<Rows> {
        let guest = self.held.guest(py)?;
        Ok(Rows {
            held: self.held.clone(),
            told: self.told.clone(),
            state: Mutex::new(State {
                walk: py.detach(|| Walk::new(&guest, self.source.clone())),
                ready: Vec::new().into_iter(),
                so_far: Told::default(),
                over: false,
            }),
        })
    }

    /// The question, by the word of the command that asks it: ps, maps and so on.
    #[getter]
    fn question(&self) -> &'static str {
        self.source.word()
    }

    /// How each walk ended.
    #[getter]
    fn ends(&self, py: Python<'_>) -> PyResult<Vec<End>> {
        Ok(End::all(&self.told(py)?.ends))
    }

    /// Whether every walk closed and every value was read.
    #[getter]
    fn complete(&self, py: Python<'_>) -> PyResult<bool> {
        let told = self.told(py)?;
        Ok(told.ends.all_closed() && told.losses == 0)
    }

    /// Number of values that exist in the guest and could not be read.
    #[getter]
    fn losses(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.told(py)?.losses)
    }

    /// What else is to be said, in words: of search, which memory was not searched.
    #[getter]
    fn remarks(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.held.guest(py)?;
        Ok(self.source.remarks().to_vec())
    }

    /// Number of rows.
    fn count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.told(py)?.rows)
    }

    /// The columns, by Arrow's PyCapsule interface. May be asked for again.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer give its own schema whatever was requested.
        let _ = requested_schema;
        let batches = self.batches(py)?;
        arrow::stream(py, &schema_of(self.source.tables()), &batches)
    }

    /// The columns' types, by Arrow's PyCapsule interface. Nothing is walked.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        self.held.guest(py)?;
        arrow::schema(py, &schema_of(self.source.tables()))
    }

    /// A pyarrow.Table. Needs pyarrow.
    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_arrow(slf.as_any())
    }

    /// A polars.DataFrame. Needs polars.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_polars(slf.as_any())
    }

    /// A pandas.DataFrame with Arrow's own types, in which addresses stay whole numbers. Needs pandas
    /// and pyarrow.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_pandas(slf.as_any())
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let pointer_bytes = self.held.guest(py)?.pointer_bytes();
        let mut first: Vec<OwnedRow> = Vec::new();
        let told = self.walk(py, &mut |row| {
            if first.len() < html::SHOWN {
                first.push(OwnedRow::of(row));
            }
            ControlFlow::Continue(())
        })?;
        let mut footer = footer(&told, first.len());
        footer.extend_from_slice(self.source.remarks());
        Ok(html::table(&first, pointer_bytes, &footer))
    }

    fn __repr__(&self) -> String {
        format!("<Answer {} of {}>", self.source.word(), self.held.label())
    }
}

/// The rows of an answer, one process after another where each is asked by itself.
#[pyclass(generic, module = "pyosier")]
pub(crate) struct Rows {
    held: Held,
    told: Arc<Mutex<Option<Told>>>,
    state: Mutex<State>,
}

struct State {
    walk: Walk,
    ready: std::vec::IntoIter<OwnedRow>,
    so_far: Told,
    over: bool,
}

impl State {
    /// Walks until there are rows, or everything was walked.
    fn fill(&mut self, poll: &mut Poll) {
        let mut rows = Vec::new();
        while rows.is_empty() && !self.over {
            let so_far = &mut self.so_far;
            let more = self.walk.step(&mut |row| {
                so_far.rows = so_far.rows.saturating_add(1);
                so_far.losses = so_far.losses.saturating_add(row.losses());
                rows.push(OwnedRow::of(row));
                poll.look()
            });
            self.over = !more;
            if poll.look().is_break() {
                self.over = true;
            }
        }
        self.ready = rows.into_iter();
    }
}

#[pymethods]
impl Rows {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.held.guest(py)?;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = state.ready.next() {
            return row::object(py, &row).map(Some);
        }
        if state.over {
            return Ok(None);
        }
        let mut poll = Poll::new();
        py.detach(|| state.fill(&mut poll));
        poll.raised()?;
        self.held.sound(py, Ok(()))?;
        if state.over {
            state.so_far.losses = state.so_far.losses.saturating_add(state.walk.lost());
            state.so_far.ends = state.walk.ends().clone();
            *locked(&self.told) = Some(state.so_far.clone());
        }
        match state.ready.next() {
            Some(row) => row::object(py, &row).map(Some),
            None => Ok(None),
        }
    }
}
