//! What a caller says, in the engine's words: of a snapshot and its kernel, paths, processes, questions, limits.

use std::path::PathBuf;
use std::time::Duration;

use osier::ask::Question;
use osier::osier_profile::ProfileStore;
use osier::{Options, PhysAddr, Progress};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::plain;
use crate::reached::Reached;

/// One path, or several.
#[derive(FromPyObject)]
pub(crate) enum Paths {
    // A text is a sequence as well, and comes first.
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl Paths {
    /// All of them.
    pub(crate) fn list(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path],
            Self::Several(paths) => paths,
        }
    }
}

/// The folder of the cache: the user's, none, or one that is named.
fn cache(value: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
    if let Ok(wanted) = value.extract::<bool>() {
        return Ok(wanted.then(ProfileStore::user_cache).flatten());
    }
    if value.is_none() {
        return Ok(None);
    }
    value.extract().map(Some)
}

/// Whom to tell how far opening has got: a callable, or `tqdm` by name.
fn progress(value: &Bound<'_, PyAny>) -> PyResult<Progress> {
    let py = value.py();
    let called = if value.is_instance_of::<PyString>() {
        let make = py.import("pyosier._progress")?.getattr("named")?;
        make.call1((value,))?.unbind()
    } else if value.is_callable() {
        value.clone().unbind()
    } else {
        let wrong = "progress is a callable, or the name 'tqdm'";
        return Err(PyTypeError::new_err(wrong));
    };
    Ok(Progress::new(move |step, done, all| {
        Python::attach(|py| {
            if let Err(error) = called.call1(py, (step, done, all)) {
                error.write_unraisable(py, Some(called.bind(py)));
            }
        });
    }))
}

/// Everything that a caller says, in the engine's words, and what addresses are reached by.
pub(crate) fn options(said: Option<&Bound<'_, PyDict>>) -> PyResult<(Options, Reached)> {
    let mut options = Options::default();
    let (mut keep, mut search) = (true, false);
    for (name, value) in said.into_iter().flatten() {
        let name: String = name.extract()?;
        let absent = value.is_none();
        match name.as_str() {
            "cache" => {
                options.cache = cache(&value)?;
                keep = false;
            }
            "infer" => options.infer = value.extract::<bool>()?,
            "search" => search = value.extract()?,
            "shipped" => options.no_shipped = !value.extract::<bool>()?,
            "profile" | "profiles" | "symbols" | "parts" | "group" | "os" | "dtb" | "registers"
            | "ram_split" | "internal" | "cache_bytes" | "scratch_limit" | "progress"
                if absent => {}
            "profile" => options.profile = Some(value.extract()?),
            "profiles" => options.profiles = value.extract::<Paths>()?.list(),
            "symbols" => options.symbol_folders = value.extract::<Paths>()?.list(),
            "parts" => options.parts = value.extract::<Paths>()?.list(),
            "group" => options.group = Some(value.extract()?),
            "os" => options.os = Some(value.extract()?),
            "dtb" => options.table_root = Some(PhysAddr(value.extract()?)),
            "registers" => options.registers = Some(value.extract()?),
            "ram_split" => options.ram_split = Some(value.extract()?),
            "internal" => options.internal = Some(value.extract()?),
            "cache_bytes" => options.cache_bytes = Some(value.extract()?),
            "scratch_limit" => options.scratch_limit = Some(value.extract()?),
            "progress" => options.progress = progress(&value)?,
            _ => {
                let wrong = format!("open() got an unexpected keyword argument '{name}'");
                return Err(PyTypeError::new_err(wrong));
            }
        }
    }
    if keep {
        options.cache = ProfileStore::user_cache();
    }
    let reached = Reached::new(options.cache.as_deref(), search);
    options.reach = Some(reached.reach());
    Ok((options, reached))
}

/// The processes that `pid` names: a pid, or a row that has a `taskd`.
pub(crate) fn taskds(
    guest: &osier::Guest,
    pid: &Bound<'_, PyAny>,
) -> PyResult<(Vec<osier::VirtAddr>, osier::WalkEnds)> {
    let py = pid.py();
    if let Ok(pid) = pid.extract::<u32>() {
        let (found, ends) = py.detach(|| osier::ask::by_pid(&*guest.provider(), pid));
        return match found.len() {
            1.. => Ok((found, ends)),
            _ if ends.is_complete() => Err(plain(
                py,
                "NoProcessError",
                format!("no process has pid {pid}"),
            )),
            _ => {
                let why =
                    format!("no process with pid {pid} was found, and the list is incomplete");
                Err(plain(py, "NoProcessError", why))
            }
        };
    }
    let wrong = || PyTypeError::new_err("pid is a process id, or a row with a taskd");
    let taskd = pid.getattr("taskd").map_err(|_| wrong())?;
    let taskd = taskd.extract::<u64>().map_err(|_| wrong())?;
    Ok((vec![osier::VirtAddr(taskd)], osier::WalkEnds::default()))
}

/// The question that a word asks.
pub(crate) fn question(py: Python<'_>, word: &str) -> PyResult<Question> {
    Question::of_word(word).ok_or_else(|| {
        let known = Question::ALL.map(Question::word).join(", ");
        let word = osier_text::visible(word);
        let wrong = format!("no question is called `{word}`; there are {known}");
        plain(py, "UsageError", wrong)
    })
}

/// The questions that are asked, by their words.
pub(crate) fn questions(
    py: Python<'_>,
    words: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Question>> {
    let Some(words) = words else {
        return Ok(Question::USUAL.to_vec());
    };
    if words.is_instance_of::<PyString>() {
        return Ok(vec![question(py, &words.extract::<String>()?)?]);
    }
    let words: Vec<String> = words.extract()?;
    words.iter().map(|word| question(py, word)).collect()
}

/// A number of seconds as a time limit.
pub(crate) fn limit(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let wrong = format!("time_limit is a number of seconds from 0 on, and not {seconds}");
        plain(py, "UsageError", wrong)
    })
}
