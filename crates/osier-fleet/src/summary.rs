//! What a run tells while it goes on, how it ends, and why it could not be done.

use std::io;
use std::path::{Path, PathBuf};

use osier::Error;
use rayon::ThreadPoolBuildError;

use crate::manifest::Status;

/// Why a run could not be done. What became of single snapshots is in the manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What was named as a profile or an operating system is not one.
    #[error(transparent)]
    Session(#[from] Error),
    /// No snapshot was found.
    #[error("{looked} files were looked at, and none is a snapshot")]
    Nothing {
        /// Files that were looked at.
        looked: usize,
    },
    /// What was named as the folder that names begin below is not a folder.
    #[error("{path}: {source}: snapshots cannot be called by their places below it", path = osier_text::path(path))]
    Root {
        /// The folder as it was named.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file has no place below the folder that names begin below. Nothing was read.
    #[error(
        "{path}: it does not lie below {root}, which --root names; nothing was read",
        path = osier_text::path(path),
        root = osier_text::path(root)
    )]
    NotBelow {
        /// The file.
        path: PathBuf,
        /// The folder as it was named.
        root: PathBuf,
    },
    /// The folder holds an interrupted run of another kind.
    #[error(
        "{folder}: an interrupted run with other options (or of another version) waits here; give \
         it the same options to finish it, or --fresh to throw it away",
        folder = osier_text::path(.0)
    )]
    OtherRun(PathBuf),
    /// Another run writes into the folder.
    #[error("{folder}: another run is writing here; wait until it ends, or name another folder", folder = osier_text::path(.0))]
    Busy(PathBuf),
    /// A snapshot lies where a table would be written.
    #[error("{path}: this snapshot would be written over by a table; name another folder", path = osier_text::path(.0))]
    Over(PathBuf),
    /// A file that no run wrote lies where a table would be written.
    #[error(
        "{path}: this file is there, and no run wrote it, for no manifest lies beside it; name another folder",
        path = osier_text::path(.0)
    )]
    Foreign(PathBuf),
    /// The run could not begin to write.
    #[error("{path}: {source}; nothing was begun", path = osier_text::path(path))]
    Begin {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something could not be written that the run cannot do without.
    #[error(
        "{path}: {source}; what is finished is kept, and the same command goes on from there",
        path = osier_text::path(path)
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
        /// Its file.
        path: &'a Path,
        /// What rows call it.
        name: &'a str,
        /// How it ended.
        status: Status,
        /// What is odd about its file and may make its rows wrong or short.
        doubts: &'a [String],
        /// Why it was not read whole, in words.
        why: &'a [String],
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
    /// Tables in the folder that this run did not write, in another format or of another question: those
    /// of an earlier run, which the manifest no longer describes.
    pub stale: Vec<PathBuf>,
}

impl Summary {
    /// Snapshots in the manifest.
    pub fn snapshots(&self) -> usize {
        let parts = [self.complete, self.partial, self.failed, self.skipped];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    pub(crate) fn count_all(&mut self, statuses: impl IntoIterator<Item = Status>) {
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
