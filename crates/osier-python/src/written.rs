//! Files that are written of a guest or a snapshot: `Guest.dump`, `Guest.recover`, `pyosier.export` and
//! `pyosier.report`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use osier::dump::{self, DumpError, KeptFile};
use osier::export::{Container, ExportError};
use osier::{Guest, Options, VirtAddr, WalkEnds};
use osier_fleet::RunError;
use osier_report::{Bounds, Error, Subject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::absent::Absent;
use crate::answer::End;
use crate::errors::{engine, plain};
use crate::fleet::{failed, several};
use crate::poll::abandonable;
use crate::row::text;
use crate::said::{Paths, limit, options, taskds};

/// A stretch of memory that is not in a file that was written.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Lost(dump::Lost);

#[pymethods]
impl Lost {
    /// Its first address; of a program's file, the offset.
    #[getter]
    const fn start(&self) -> u64 {
        self.0.start
    }

    /// Its length in bytes.
    #[getter]
    const fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// What it is a part of.
    #[getter]
    fn of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        text(py, &self.0.of)
    }

    /// Why it is not there.
    #[getter]
    fn why(&self) -> Absent {
        Absent((*self.0.why).clone())
    }

    fn __repr__(&self) -> String {
        let (start, bytes) = (self.0.start, self.0.bytes);
        format!("<Lost {bytes} bytes at {start:#x}: {}>", self.0.why)
    }
}

/// What was written of memory.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Dumped(dump::Dumped);

#[pymethods]
impl Dumped {
    /// Length of the file in bytes.
    #[getter]
    const fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Bytes of memory in it.
    #[getter]
    const fn memory(&self) -> u64 {
        self.0.memory
    }

    /// Threads in it.
    #[getter]
    const fn threads(&self) -> usize {
        self.0.threads
    }

    /// What is not in it: the first stretches, each a Lost.
    #[getter]
    fn lost(&self) -> Vec<Lost> {
        self.0.lost.iter().cloned().map(Lost).collect()
    }

    /// Bytes of all that is not in it.
    #[getter]
    const fn lost_bytes(&self) -> u64 {
        self.0.lost_bytes
    }

    /// How each walk ended.
    #[getter]
    fn ends(&self) -> Vec<End> {
        End::all(&self.0.ends)
    }

    /// Whether everything is in it.
    #[getter]
    fn complete(&self) -> bool {
        self.0.lost_bytes == 0 && self.0.ends.all_closed()
    }

    fn __repr__(&self) -> String {
        let (bytes, memory, lost) = (self.0.bytes, self.0.memory, self.0.lost_bytes);
        format!("<Dumped {memory} bytes of memory in {bytes} bytes, {lost} lost>")
    }
}

/// Why nothing was written of memory, or nothing found.
pub(crate) fn undumped(py: Python<'_>, error: &DumpError) -> PyErr {
    let class = match error {
        DumpError::NotOfThisSystem(_) => "UnsupportedError",
        DumpError::NoMemory(_) => "NoProcessError",
        DumpError::Absent(_) => "UnknownNameError",
        DumpError::Same(_) => "UsageError",
        DumpError::Write { .. } | DumpError::Changed(_) => "ReadError",
        _ => "Error",
    };
    plain(py, class, error.to_string())
}

/// What of a guest is dumped.
#[derive(Clone, Debug)]
enum Part {
    Process(VirtAddr),
    Executable(VirtAddr),
    Module(Vec<u8>),
    Range(Option<VirtAddr>, u64, u64),
}

/// The longest range that is written.
const LONGEST: u64 = 1 << 40;

/// What the arguments of `Guest.dump` mean, and how the list of processes ended.
fn part(
    guest: &Guest,
    py: Python<'_>,
    pid: Option<&Bound<'_, PyAny>>,
    exe: bool,
    module: Option<String>,
    range: Option<(u64, u64)>,
) -> PyResult<(Part, WalkEnds)> {
    let usage = |wrong: String| plain(py, "UsageError", wrong);
    let mut ends = WalkEnds::default();
    let taskd = match pid {
        None => None,
        Some(pid) => {
            let (taskds, walked) = taskds(guest, pid)?;
            ends = walked;
            let [taskd] = taskds.as_slice() else {
                let several = taskds.len();
                let wrong = format!("{several} processes have that pid: name one by its row");
                return Err(usage(wrong));
            };
            Some(*taskd)
        }
    };
    let part = match (taskd, module, range) {
        (None, Some(name), None) if !exe => Part::Module(name.into_bytes()),
        (_, None, Some((first, end)))
            if !exe && (end <= first || end.saturating_sub(first) > LONGEST) =>
        {
            let wrong = "a range ends behind its start, and has at most 1 TiB";
            return Err(usage(wrong.to_owned()));
        }
        (taskd, None, Some((first, end))) if !exe => Part::Range(taskd, first, end),
        (Some(taskd), None, None) if exe => Part::Executable(taskd),
        (Some(taskd), None, None) => Part::Process(taskd),
        _ => {
            let wrong = "dump one of: a pid, a pid's exe, a module, a range (of a pid's or the kernel's memory)";
            return Err(usage(wrong.to_owned()));
        }
    };
    Ok((part, ends))
}

/// Writes part of a guest's memory to the file `out`.
pub(crate) fn write_dump(
    py: Python<'_>,
    guest: Guest,
    out: PathBuf,
    pid: Option<&Bound<'_, PyAny>>,
    exe: bool,
    module: Option<String>,
    range: Option<(u64, u64)>,
) -> PyResult<Dumped> {
    let (part, ends) = part(&guest, py, pid, exe, module, range)?;
    let done = abandonable(py, move || match part {
        Part::Process(taskd) => dump::process(&guest, taskd, &out),
        Part::Executable(taskd) => dump::executable(&guest, taskd, &out),
        Part::Module(name) => dump::module(&guest, &name, &out),
        Part::Range(taskd, first, end) => dump::range(&guest, taskd, first..end, &out),
    })?;
    let mut done = done.map_err(|error| undumped(py, &error))?;
    done.ends.join(ends);
    Ok(Dumped(done))
}

/// Writes a file of which the kernel keeps pages to the file `out`.
pub(crate) fn write_kept(
    py: Python<'_>,
    guest: Guest,
    file: &Bound<'_, PyAny>,
    out: PathBuf,
) -> PyResult<Dumped> {
    let mapping = match file.extract::<u64>() {
        Ok(mapping) => mapping,
        Err(_) => file.getattr("mapping")?.extract()?,
    };
    let done = abandonable(py, move || {
        let mut found: Option<KeptFile> = None;
        let ends = dump::kept_files(&guest, &mut |file| {
            if file.mapping.0 == mapping {
                found = Some(file);
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        let file = found.ok_or_else(|| {
            let short = if ends.is_complete() {
                String::new()
            } else {
                format!("; the list could not be read to its end: {ends}")
            };
            let wrong = format!("the kernel keeps no file whose pages are at {mapping:#x}{short}");
            DumpError::Absent(wrong)
        })?;
        dump::kept(&guest, &file, &out)
    })?;
    done.map(Dumped).map_err(|error| undumped(py, &error))
}

/// An error when `out` would be written over a file that is read.
fn spare<'a>(
    py: Python<'_>,
    out: &Path,
    paths: impl IntoIterator<Item = &'a Path>,
    options: &Options,
) -> PyResult<()> {
    let mut read = paths.into_iter().flat_map(|path| options.files_of(path));
    if read.any(|file| osier_file::same(&file, out)) {
        let out = osier_text::path(out);
        let wrong = format!("{out}: this file is read, and would be written over; name another");
        return Err(plain(py, "UsageError", wrong));
    }
    Ok(())
}

/// What came of an export.
#[pyclass(frozen, get_all, module = "pyosier")]
pub(crate) struct Exported {
    /// Bytes of memory in the file.
    memory: u64,
    /// Bytes that the snapshot should hold and that could not be read.
    unread: u64,
    /// Why, of the first of them.
    fault: Option<String>,
    /// Bytes that the snapshot's writer left out and that stand as zeros in raw memory.
    left_out: u64,
    /// What is odd about the snapshot's file and may make the memory wrong or short.
    doubts: Vec<String>,
    /// Length of the file in bytes.
    bytes: u64,
}

#[pymethods]
impl Exported {
    /// Whether the file has all of the memory.
    #[getter]
    fn complete(&self) -> bool {
        self.fault.is_none() && self.left_out == 0 && self.doubts.is_empty()
    }

    fn __repr__(&self) -> String {
        let (memory, bytes, unread) = (self.memory, self.bytes, self.unread);
        format!("<Exported {memory} bytes of memory in {bytes} bytes, {unread} unread>")
    }
}

/// Write the memory of a snapshot to the file out in another container: raw, elf or lime.
///
/// What is known of the snapshot is said as to open.
#[pyfunction]
#[pyo3(signature = (path, out, *, to, **said))]
pub(crate) fn export(
    py: Python<'_>,
    path: PathBuf,
    out: PathBuf,
    to: &str,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Exported> {
    let to = match to {
        "raw" => Container::Raw,
        "elf" => Container::Elf,
        "lime" => Container::Lime,
        _ => {
            let to = osier_text::visible(to);
            let wrong = format!("no container is called `{to}`; there are raw, elf, lime");
            return Err(plain(py, "UsageError", wrong));
        }
    };
    let (options, reached) = options(said)?;
    spare(py, &out, [path.as_path()], &options)?;
    let done = abandonable(py, move || osier::export::export(&path, &options, to, &out))?;
    reached.sound(py)?;
    let done = done.map_err(|error| match &error {
        ExportError::Open(error) => engine(py, error),
        ExportError::Same(_) => plain(py, "UsageError", error.to_string()),
        ExportError::NoPhysicalMemory => plain(py, "UnsupportedError", error.to_string()),
        _ => plain(py, "ReadError", error.to_string()),
    })?;
    Ok(Exported {
        memory: done.memory,
        unread: done.unread,
        fault: done.fault.map(|fault| fault.to_string()),
        left_out: done.left_out,
        doubts: done.doubts.iter().map(ToString::to_string).collect(),
        bytes: done.bytes,
    })
}

/// What became of a report.
#[pyclass(frozen, get_all, module = "pyosier")]
pub(crate) struct Report {
    /// Names of the snapshots on the page, in its order.
    snapshots: Vec<String>,
    /// Those that could not be read, each with the reason.
    failed: Vec<(String, String)>,
    /// Names of files that were no snapshots.
    others: Vec<String>,
    /// Whether a series is in the order of the guest's clock; of one snapshot it is.
    by_clock: bool,
    /// Number of values that exist in the guests and could not be read.
    losses: usize,
    /// What else is missing, in words.
    remarks: Vec<String>,
    /// Whether everything that was asked of every snapshot was read.
    complete: bool,
}

#[pymethods]
impl Report {
    fn __repr__(&self) -> String {
        format!(
            "<Report of {}: {} values lost>",
            self.snapshots.join(", "),
            self.losses
        )
    }
}

impl Report {
    fn of(report: osier_report::Report) -> Self {
        let complete = report.is_complete();
        let told = report.snapshots.iter();
        let losses = told.fold(0_usize, |sum, one| sum.saturating_add(one.lost));
        let one = report.snapshots.len() == 1;
        let mut remarks = Vec::new();
        for told in &report.snapshots {
            let name = if one {
                String::new()
            } else {
                format!("{}: ", told.name)
            };
            let doubts = told.doubts.iter().map(ToString::to_string);
            let late = told.late.then(|| "the time limit was over".to_owned());
            let all = doubts.chain(told.ends.iter().cloned()).chain(late);
            remarks.extend(all.map(|said| format!("{name}{said}")));
        }
        let failed = report.failed.into_iter();
        Self {
            snapshots: report.snapshots.into_iter().map(|told| told.name).collect(),
            failed: failed.map(|one| (one.name, one.why)).collect(),
            others: report.others,
            by_clock: report.by_clock,
            losses,
            remarks,
            complete,
        }
    }
}

/// Write what snapshots say as one HTML page, the file out: files, folders and patterns.
///
/// rows is the most rows of one list that are shown, wide shows every column, time_limit is the seconds for all of
/// it. What is known of all snapshots is said as to open. docs/report.md tells of the page.
#[pyfunction]
#[pyo3(signature = (paths, out, *, rows=None, wide=false, time_limit=None, **said))]
pub(crate) fn report(
    py: Python<'_>,
    paths: Paths,
    out: PathBuf,
    rows: Option<usize>,
    wide: bool,
    time_limit: Option<f64>,
    said: Option<&Bound<'_, PyDict>>,
) -> PyResult<Report> {
    let limit = time_limit.map(|seconds| limit(py, seconds)).transpose()?;
    let (files, options, reached) = several(py, paths, said)?;
    spare(
        py,
        &out,
        files.iter().map(|file| file.path.as_path()),
        &options,
    )?;
    let looked = files.len();
    let page = osier_text::path(&out).to_string();
    let written = abandonable(py, move || {
        let until = |limit: Duration| Some((Instant::now().checked_add(limit)?, limit));
        let usual = Bounds::default();
        let bounds = Bounds {
            rows: rows.unwrap_or(usual.rows),
            wide,
            until: limit.and_then(until),
            ..usual
        };
        let left = || {
            let until = bounds.until.map(|(until, _)| until);
            until.map(|until| until.saturating_duration_since(Instant::now()))
        };
        let opens: Vec<_> = files
            .iter()
            .map(|file| || file.open_within(&options, left()))
            .collect();
        let names = osier_report::names(files.iter().map(|file| file.name.as_str()));
        let subjects = names.into_iter().zip(&opens);
        let subjects: Vec<_> = subjects
            .map(|(name, open)| Subject { name, open })
            .collect();
        osier_report::write(&subjects, &bounds, &out)
    })?;
    reached.sound(py)?;
    let written = written.map_err(|error| match &error {
        Error::Nothing(_) if looked != 1 => failed(py, &RunError::Nothing { looked }),
        Error::Nothing(why) => plain(py, "NotASnapshotError", why.as_str()),
        Error::Io(why) => plain(py, "ReadError", format!("{page}: {why}")),
        Error::Scratch { .. } => plain(py, "ReadError", error.to_string()),
    })?;
    Ok(Report::of(written))
}
