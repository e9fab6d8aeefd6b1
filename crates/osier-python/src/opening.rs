//! Opening: a file or an address becomes a snapshot, and a snapshot whose kernel is found a guest.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::guest::Guest;
use crate::poll::abandonable;
use crate::said::options;
use crate::snapshot::Snapshot;

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
