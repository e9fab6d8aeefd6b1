//! Opening: what a caller says of a snapshot and of its kernel.

use std::path::PathBuf;

use osier::osier_profile::ProfileStore;
use osier::{Options, PhysAddr, Progress};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::plain;
use crate::guest::Guest;
use crate::poll::abandonable;
use crate::reached::Reached;
use crate::snapshot::Snapshot;

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

/// Open the snapshot at path, find its kernel, and be ready to answer.
///
/// path is a file's, an http:// or https:// address, or an object of a store (s3://, gs://, az://); the last two are
/// read by ranges.
///
/// What is known may be said: profile (a profile or symbol file), group (of a kernelinfo.conf),
/// profiles (folders of profiles), symbols (folders of PDBs), os (linux, windows, or a PANDA -os string),
/// dtb (a page-table root), registers (a text file), ram_split, internal (an internal snapshot of a qcow2
/// image), parts (the other files of a split dump), cache (True: the user's folder; False: none; or a
/// folder), infer (True infers a Linux kernel's structures where nothing tells them), shipped (False leaves
/// out the profiles that ship with Osier), cache_bytes, scratch_limit, search (True reads an address to its
/// end where it must), and progress (called with step, done, all; or 'tqdm').
#[pyfunction]
#[pyo3(signature = (path, **said))]
pub(crate) fn open(
    py: Python<'_>,
    path: PathBuf,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Guest> {
    let (options, reached) = options(said)?;
    let opened = abandonable(py, move || osier::Guest::open(&path, &options))?;
    Ok(Guest::new(reached.opened(py, opened)?, reached))
}

/// Open the snapshot at path without looking for a kernel in it.
///
/// The keyword arguments are those of open.
#[pyfunction]
#[pyo3(signature = (path, **said))]
pub(crate) fn snapshot(
    py: Python<'_>,
    path: PathBuf,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Snapshot> {
    let (options, reached) = options(said)?;
    let with = options.clone();
    let opened = abandonable(py, move || osier::open_snapshot(&path, &with))?;
    Ok(Snapshot::new(reached.opened(py, opened)?, options, reached))
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
