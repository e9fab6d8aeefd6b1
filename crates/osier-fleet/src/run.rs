//! A whole run: identify, ask in a pool of threads, write in the order of the inputs.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use osier::format::escape_bytes;
use osier::{Error, Shared};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::answer::{Answer, Found, answer};
use crate::identify::{Identified, Outcome, Subject, identify};
use crate::manifest::{Entry, Status};
use crate::output::Output;
use crate::table::Table;
use crate::{RunOptions, gather};

/// Answers that may wait for an earlier one, for each job.
const AHEAD: usize = 4;

/// The stack of a job's thread, as large as a program's first one usually is.
const STACK: usize = 8 << 20;

/// Why a run could not be done. What became of single snapshots is in the manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The profile or the operating system that was named is none.
    #[error(transparent)]
    Session(#[from] Error),
    /// No snapshot was found.
    #[error("{looked} files were looked at, and none is a snapshot")]
    Nothing {
        /// Files that were looked at.
        looked: usize,
    },
    /// The folder holds an interrupted run of another kind.
    #[error(
        "{folder}: an interrupted run with other options (or of another version) waits here; give \
         it the same options to finish it, or --fresh to throw it away",
        folder = .0.display()
    )]
    OtherRun(PathBuf),
    /// Something could not be written that the run cannot do without.
    #[error(
        "{path}: {source}; what is finished is kept, and the same command goes on from there",
        path = path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A table cannot be written in this format.
    #[error("the tables' columns: {0}")]
    Schema(io::Error),
    /// The threads could not be started.
    #[error(transparent)]
    Pool(#[from] ThreadPoolBuildError),
}

/// What a run tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// So many of all inputs have been looked at.
    Identified {
        /// Inputs looked at.
        done: usize,
        /// Inputs.
        of: usize,
    },
    /// A kernel's types and symbols are missing; its snapshots will fail.
    Missing {
        /// What is missing, and the way out.
        why: &'a str,
        /// Snapshots that hold the kernel.
        snapshots: usize,
    },
    /// The first snapshots were finished by a run that was interrupted.
    Resumed {
        /// How many.
        done: usize,
        /// Snapshots in all.
        of: usize,
    },
    /// A snapshot is finished.
    Finished {
        /// What rows call it.
        name: &'a str,
        /// How it ended.
        status: Status,
        /// Snapshots finished.
        done: usize,
        /// Snapshots in all.
        of: usize,
    },
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Snapshots of which everything was read.
    pub complete: usize,
    /// Snapshots of which something is missing.
    pub partial: usize,
    /// Snapshots without rows.
    pub failed: usize,
    /// Files that were named and are no snapshots.
    pub skipped: usize,
    /// Files of folders that are no snapshots.
    pub others: Vec<PathBuf>,
}

impl Summary {
    /// Snapshots in the manifest.
    pub fn snapshots(&self) -> usize {
        let parts = [self.complete, self.partial, self.failed, self.skipped];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    fn count_all(&mut self, statuses: &[Status]) {
        for status in statuses {
            let count = match status {
                Status::Complete => &mut self.complete,
                Status::Partial => &mut self.partial,
                Status::Failed => &mut self.failed,
                Status::Skipped => &mut self.skipped,
            };
            *count = count.saturating_add(1);
        }
    }
}

/// Asks every snapshot of `paths` and writes tables and manifest.
///
/// # Errors
///
/// [`RunError`]. What was finished stays in the folder, and the same call goes on from there.
pub fn run(
    paths: &[PathBuf],
    options: &RunOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, RunError> {
    let shared = Shared::new(&options.sessions)?;
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .stack_size(STACK)
        .thread_name(|number| format!("job {number}"))
        .build()?;
    let inputs = gather(paths);
    let identified = identify(&inputs, &shared, options, &pool, &mut |done| {
        let of = inputs.len();
        watch(Event::Identified { done, of });
    });
    if identified.subjects.is_empty() {
        return Err(RunError::Nothing {
            looked: inputs.len(),
        });
    }
    for kernel in &identified.kernels {
        if let Err(why) = &kernel.profile {
            let snapshots = kernel.snapshots;
            watch(Event::Missing { why, snapshots });
        }
    }
    let tables: Vec<Table> = options
        .questions
        .iter()
        .map(|&question| Table::new(question, options.to))
        .collect::<io::Result<_>>()
        .map_err(RunError::Schema)?;
    let (mut output, done) = Output::open(options, &pool, &tables, &identified.subjects)?;
    let mut summary = Summary {
        others: identified
            .others
            .iter()
            .map(|input| input.path.clone())
            .collect(),
        ..Summary::default()
    };
    let of = identified.subjects.len();
    if !done.is_empty() {
        let done = done.len();
        watch(Event::Resumed { done, of });
    }
    let first = done.len();
    summary.count_all(&done);
    let job = |subject: &Subject| read(subject, &identified, &shared, &tables, options);
    in_order(
        &pool,
        &identified.subjects,
        first,
        job,
        &mut |number, answer| {
            let read = answer.entry.status;
            let written = output.write(answer)?;
            let status = written.last().copied().unwrap_or(read);
            summary.count_all(&written);
            let name = identified.subjects.get(number);
            watch(Event::Finished {
                name: name.map_or("", |subject| &subject.input.name),
                status,
                done: number.saturating_add(1),
                of,
            });
            Ok(())
        },
    )?;
    summary.count_all(&output.flush()?);
    output.finish()?;
    Ok(summary)
}

/// Does `job` for each of `subjects` from number `first` on, and hands what it gives to `write` in
/// the order of the subjects.
///
/// No more jobs are begun than may wait for the earliest one that is not finished, so that the
/// answers in memory are few however long that one takes.
fn in_order(
    pool: &ThreadPool,
    subjects: &[Subject],
    first: usize,
    job: impl Fn(&Subject) -> Answer + Sync,
    write: &mut dyn FnMut(usize, Answer) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let ahead = pool.current_num_threads().saturating_mul(AHEAD);
    let (send, receive) = mpsc::channel();
    let job = &job;
    pool.in_place_scope(|scope| {
        let mut waiting = BTreeMap::new();
        let mut coming = subjects.iter().enumerate().skip(first);
        let mut next = first;
        let mut begun = first;
        while next < subjects.len() {
            while begun.saturating_sub(next) < ahead
                && let Some((number, subject)) = coming.next()
            {
                let send = send.clone();
                scope.spawn(move |_| {
                    // Nobody listens any more when the run is being given up.
                    let _ = send.send((number, job(subject)));
                });
                begun = number.saturating_add(1);
            }
            while let Some(answer) = waiting.remove(&next) {
                write(next, answer)?;
                next = next.saturating_add(1);
            }
            if next < begun
                && !waiting.contains_key(&next)
                && let Ok((number, answer)) = receive.recv()
            {
                waiting.insert(number, answer);
            }
        }
        Ok(())
    })
}

/// What comes of one snapshot.
fn read(
    subject: &Subject,
    identified: &Identified,
    shared: &Shared,
    tables: &[Table],
    options: &RunOptions,
) -> Answer {
    let mut path = String::new();
    escape_bytes(subject.input.path.as_os_str().as_encoded_bytes(), &mut path);
    let mut entry = Entry {
        snapshot: subject.input.name.clone(),
        id: subject.id.clone(),
        path,
        bytes: subject.bytes,
        format: subject.format,
        kernel: None,
        build_id: None,
        profile: None,
        status: Status::Failed,
        why: Vec::new(),
        asked: Vec::new(),
        elapsed: Duration::ZERO,
    };
    let without_rows = |mut entry: Entry, status, why: &str| {
        entry.fail(why.to_owned());
        entry.status = status;
        Answer {
            entry,
            rows: Vec::new(),
        }
    };
    let (number, last) = match &subject.outcome {
        Outcome::Kernel { number, last } => (*number, *last),
        Outcome::None(status, why) => return without_rows(entry, *status, why),
    };
    let Some(kernel) = identified.kernels.get(number) else {
        return without_rows(entry, Status::Failed, "its kernel was not identified");
    };
    entry.kernel = Some(kernel.banner.clone());
    entry.build_id.clone_from(&kernel.build_id);
    match &kernel.profile {
        Err(why) => without_rows(entry, Status::Failed, why),
        Ok((profile, source)) => {
            entry.profile = Some(source.to_string());
            let found = Found {
                last,
                profile,
                source,
            };
            answer(&subject.input, &found, entry, shared, tables, options)
        }
    }
}
