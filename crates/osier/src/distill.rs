//! Distilling: a small snapshot with only the pages that some questions need.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_file::Output;
use osier_memory::{Cause, Fault, Hint, Machine, PhysRun, PhysicalMemory, Recorder};
use osier_profile::{OsKind, Profile};
use osier_snapshot::{Anomaly, Core, Lost, Snapshot, WriteError, write_core};

use crate::ask::{Question, Transcript, transcript};
use crate::panda::{Sentinel, osi_test};
use crate::{Error, Guest, Located, Options, open_snapshot};

/// What distilling did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distilled {
    /// Pages kept, of 4 KiB.
    pub pages: usize,
    /// Rows that the questions answered, endings included.
    pub rows: usize,
    /// Values that could not be read, and endings that are not good; the distilled snapshot has
    /// them as well.
    pub lost: usize,
    /// What is odd about the snapshot's file and may make the answers wrong or short.
    pub doubts: Vec<Anomaly>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a snapshot could not be distilled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// The snapshot, or the distilled one, could not be attached to.
    #[error(transparent)]
    Guest(#[from] Error),
    /// The file could not be written.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot changed meanwhile.
    #[error(
        "{snapshot}: a page that was read before cannot be read again: {fault}; distil it when nobody writes it",
        snapshot = osier_text::path(snapshot)
    )]
    Changed {
        /// The snapshot's file.
        snapshot: PathBuf,
        /// Why the page cannot be read.
        fault: Fault,
    },
    /// The file to write is the snapshot.
    #[error("{file}: this is the snapshot itself; name another file", file = osier_text::path(.0))]
    Same(PathBuf),
    /// The distilled snapshot answers something else.
    #[error(
        "the distilled snapshot answers otherwise, from row {row} of {question} on: {before} \
         became {after}"
    )]
    Differs {
        /// The question.
        question: &'static str,
        /// Number of the first row that differs, from 0.
        row: usize,
        /// The row of the whole snapshot.
        before: String,
        /// The row of the distilled one.
        after: String,
    },
}

/// Writes to `out` an ELF core with the pages of the snapshot at `path` that `questions` and the
/// finding of the kernel touch, opens it again and asks the same questions. Where both processes and
/// mappings are asked for, the core also prints what PANDA's `osi_test` prints of them.
///
/// # Errors
///
/// [`DistillError`]; what was there stays when the core answers otherwise than the whole snapshot.
pub fn distill(
    path: &Path,
    options: &Options,
    questions: &[Question],
    out: &Path,
) -> Result<Distilled, DistillError> {
    // Once unrecorded, so that the profile is there, then with a recorder between: what reading
    // types and symbols out of the snapshot touches need not be kept.
    let guest = Guest::open(path, options)?;
    if osier_file::same(&guest.info().file, out) {
        return Err(DistillError::Same(out.to_owned()));
    }
    let profile = guest.profile().clone();
    let located = guest.located().clone();
    let vmcoreinfo = match &located {
        Located::Linux(found) => found.vmcoreinfo.clone(),
        Located::Windows(_) | Located::Other(_) => None,
    };
    let pointer_bytes = guest.pointer_bytes();
    // Those of the file, and of the kernel's own types and symbols.
    let doubts: Vec<Anomaly> = guest.info().doubts().cloned().collect();
    drop(guest);

    let mut snapshot = open_snapshot(path, options)?;
    let whole = snapshot.machine.memory.clone();
    let recorder = Arc::new(Recorder::new(whole.clone()));
    snapshot.machine.memory = recorder.clone();
    let cpus = snapshot.machine.cpus.clone();
    let noted = snapshot.machine.hints.iter().find_map(|hint| match hint {
        Hint::Vmcoreinfo(text) => Some(text.clone()),
        _ => None,
    });
    // Whoever has no profile of this kernel yet must find it too.
    let bare = Machine {
        memory: recorder.clone(),
        cpus: cpus.clone(),
        hints: snapshot.machine.hints.clone(),
    };
    match located.os() {
        OsKind::Linux => drop(osier_linux::locate(&bare, &[])),
        OsKind::Windows => drop(osier_windows::locate(&bare, &[])),
        OsKind::Other => {} // attaching looks for it as well
    }
    let guest = Guest::attach_with(snapshot, options, profile.clone())?;
    // What the search missed is not missed again, but for what the file should have.
    let of_file = |cause: &Cause| matches!(cause, Cause::FileShort { .. } | Cause::Decode { .. });
    let mut missed = recorder.take_missed();
    missed.retain(|(_, cause)| of_file(cause));
    let before = answers(&guest, questions);
    let printed = printed(&guest, questions);
    drop(guest);
    missed.extend(recorder.take_missed());
    let lost = lost(&*whole, missed);

    let pages = recorder.touched();
    let core = Core {
        memory: &*whole,
        runs: whole.runs(),
        pages: &pages,
        cpus: &cpus,
        vmcoreinfo: noted.as_deref().or(vmcoreinfo.as_deref()),
        pointer_bytes,
        doubts: &doubts,
        lost: &lost,
    };
    let in_file = |error: WriteError| match error {
        WriteError::Io(source) => DistillError::Write {
            file: out.to_owned(),
            source,
        },
        WriteError::Fault(fault) => DistillError::Changed {
            snapshot: path.to_owned(),
            fault,
        },
    };
    let mut output = Output::create(out).map_err(|error| in_file(error.into()))?;
    // What is written through cannot be read again: it is written elsewhere first.
    let mut scratch = match output.written() {
        Some(_) => None,
        None => Some(Output::scratch().map_err(|error| in_file(error.into()))?),
    };
    let core_file = scratch.as_mut().unwrap_or(&mut output);
    write_file(&core, core_file.file()).map_err(in_file)?;
    if let Some(written) = core_file.written() {
        verify(written, options, profile, questions, &before, &printed)?;
    }
    let mut bytes = 0;
    if let Some(mut scratch) = scratch {
        let copied = scratch.copy_to(&mut output);
        bytes = copied.map_err(|error| in_file(error.into()))?;
    }
    let length = output.finish().map_err(|error| in_file(error.into()))?;
    let bytes = length.max(bytes);
    Ok(Distilled {
        pages: pages.len(),
        rows: before.iter().map(|answer| answer.lines.len()).sum(),
        lost: before.iter().map(losses).sum(),
        doubts,
        bytes,
    })
}

/// What could not be read, without what a core says of itself of memory that it does not hold.
fn lost(memory: &dyn PhysicalMemory, missed: Vec<(PhysRun, Cause)>) -> Vec<Lost> {
    let mut lost: Vec<Lost> = Vec::new();
    let mut missed = missed;
    missed.retain(|(_, cause)| *cause != Cause::NotCaptured);
    missed.sort_by_key(|(run, _)| run.start);
    for (run, cause) in missed {
        match lost.last_mut() {
            Some(last) if last.run.end() > run.start => {}
            Some(last) if last.run.end() == run.start && last.cause == cause => {
                last.run.len = last.run.len.saturating_add(run.len);
            }
            _ => lost.push(Lost::of(memory, run, cause)),
        }
    }
    lost
}

fn write_file(core: &Core<'_>, file: &mut File) -> Result<(), WriteError> {
    let mut file = BufWriter::new(file);
    write_core(core, &mut file)?;
    Ok(file.flush()?)
}

/// Every answer.
fn answers(guest: &Guest, questions: &[Question]) -> Vec<Transcript> {
    let answer = |&question: &Question| transcript(&*guest.provider(), question);
    questions.iter().map(answer).collect()
}

/// What PANDA's `osi_test` prints, when its questions are among these: its names of files are not those
/// of the rows of mappings. Nothing of a system that PANDA does not read.
fn printed(guest: &Guest, questions: &[Question]) -> Vec<String> {
    let asked = [Question::Processes, Question::Mappings];
    if !asked.iter().all(|question| questions.contains(question)) {
        return Vec::new();
    }
    let mut text = Vec::new();
    let osi = &*guest.provider();
    match osi_test(osi, guest.pointer_bytes(), Sentinel::Shown, &mut text) {
        Ok(_) => {
            let lines = text.split(|&byte| byte == b'\n');
            lines.map(osier_text::visible_bytes).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Values that were lost, and endings that are not good.
fn losses(answer: &Transcript) -> usize {
    let endings = answer.lines.len().saturating_sub(answer.rows);
    answer.lost.saturating_add(endings)
}

fn verify(
    out: &Path,
    options: &Options,
    profile: Arc<Profile>,
    questions: &[Question],
    before: &[Transcript],
    printed_before: &[String],
) -> Result<(), DistillError> {
    // The core has its own registers and its own addresses.
    let plain = Options {
        registers: None,
        ram_split: None,
        cache: None,
        ..options.clone()
    };
    let snapshot: Snapshot = open_snapshot(out, &plain)?;
    let guest = Guest::attach_with(snapshot, &plain, profile)?;
    let after = answers(&guest, questions);
    for ((question, before), after) in questions.iter().zip(before).zip(&after) {
        same(question.word(), &before.lines, &after.lines)?;
    }
    same("osi-test", printed_before, &printed(&guest, questions))
}

/// An error that names the first row of `question` that is not as it was.
fn same(question: &'static str, before: &[String], after: &[String]) -> Result<(), DistillError> {
    let rows = before.len().max(after.len());
    let differing = (0..rows).find(|&row| before.get(row) != after.get(row));
    let Some(row) = differing else {
        return Ok(());
    };
    let text = |rows: &[String]| rows.get(row).map_or("nothing", String::as_str).to_owned();
    Err(DistillError::Differs {
        question,
        row,
        before: text(before),
        after: text(after),
    })
}
