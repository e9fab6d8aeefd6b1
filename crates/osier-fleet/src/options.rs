//! What a run is told.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osier::Options;
use osier::ask::Question;

use crate::part::Whole;
use crate::shard::Shard;
use crate::table::Shape;

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line, RFC 4180.
    Csv,
    /// Apache Parquet; `docs/tables.md` has the types.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl TableFormat {
    /// The ending of file names.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    /// Every format that this build writes.
    pub(crate) const ALL: &[Self] = &[
        Self::Jsonl,
        Self::Csv,
        #[cfg(feature = "parquet")]
        Self::Parquet,
    ];

    /// The format whose files end so.
    pub(crate) fn of_extension(ending: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|format| format.extension() == ending)
    }

    /// How rows are gathered that are written so.
    pub(crate) const fn shape(self) -> Shape {
        match self {
            Self::Jsonl => Shape::Jsonl,
            Self::Csv => Shape::Csv,
            #[cfg(feature = "parquet")]
            Self::Parquet => Shape::Columns,
        }
    }

    /// Whether rows of several snapshots are written together, in row groups.
    pub(crate) const fn has_row_groups(self) -> bool {
        match self {
            Self::Jsonl | Self::Csv => false,
            #[cfg(feature = "parquet")]
            Self::Parquet => true,
        }
    }
}

/// Called with the path of each snapshot before it is read, by the thread and inside the fence
/// that it is read in: to log it, to hold it up, to give up on it by panicking.
#[derive(Clone)]
pub struct Probe(pub Arc<dyn Fn(&Path) + Send + Sync>);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

/// What is asked of every snapshot, and how much may be spent on it.
#[derive(Clone, Debug)]
pub struct Asking {
    /// How each snapshot is opened; its table root and registers should be left out, being one
    /// snapshot's own.
    pub sessions: Options,
    /// The questions; each makes a table of the command's name, such as `ps`.
    pub questions: Vec<Question>,
    /// Number of snapshots that are read at the same time: at most [`most_jobs`](Self::most_jobs).
    pub jobs: usize,
    /// The most time that finding the kernel of one snapshot may take, and that reading it may. The
    /// search looks at it all the time, reading with every row.
    pub time_limit: Option<Duration>,
    /// The most bytes that the rows of one snapshot may take in memory.
    pub memory_limit: usize,
    /// Make the id of a snapshot of all its bytes instead of its size, time and a
    /// sample of them.
    pub hash: bool,
    /// Call snapshots by their paths below this folder, so that names do not depend on what else is
    /// read.
    pub root: Option<PathBuf>,
    /// Read this part of the inputs alone.
    pub shard: Option<Shard>,
    /// Called before each snapshot is read.
    pub probe: Option<Probe>,
}

impl Asking {
    /// The bytes that the rows of one snapshot may take unless something else is said.
    pub const MEMORY_LIMIT: usize = 256 << 20;

    /// The most snapshots that are read at the same time, whatever is asked for: more only get in each
    /// other's way. Eight for each processor, and 64 at least.
    pub fn most_jobs() -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        processors.saturating_mul(8).max(64)
    }

    /// The usual questions ([`Question::USUAL`]).
    pub fn new(sessions: Options, jobs: usize) -> Self {
        Self {
            sessions,
            questions: Question::USUAL.to_vec(),
            jobs,
            time_limit: None,
            memory_limit: Self::MEMORY_LIMIT,
            hash: false,
            root: None,
            shard: None,
            probe: None,
        }
    }
}

/// What a run is told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is asked.
    pub asking: Asking,
    /// How tables are written.
    pub to: TableFormat,
    /// Rows of all tables that are written together where the format has row groups: a group ends
    /// with the snapshot that brings so many.
    pub row_group: usize,
    /// The folder that tables and manifest are written to.
    pub out: PathBuf,
    /// Throw away what an interrupted run left behind.
    pub fresh: bool,
}

impl RunOptions {
    /// Rows that are written together unless something else is said.
    pub const ROW_GROUP: usize = 1 << 17;

    /// A run into `out`, as JSON Lines.
    pub fn new(asking: Asking, out: PathBuf) -> Self {
        Self {
            asking,
            to: TableFormat::Jsonl,
            row_group: Self::ROW_GROUP,
            out,
            fresh: false,
        }
    }

    /// Everything that the bytes of the tables depend on besides the snapshots, as one line.
    pub(crate) fn fingerprint(&self) -> String {
        let asking = &self.asking;
        let shard = asking.shard.map(|shard| format!(" part {shard}"));
        format!(
            "osier {} {} {} {} {}{}",
            env!("CARGO_PKG_VERSION"),
            self.words().join(","),
            self.to.extension(),
            self.row_group,
            self.others(),
            shard.unwrap_or_default(),
        )
    }

    /// The run that parts of it are put together to, over so many inputs whose names have this sum.
    pub(crate) fn whole(&self, inputs: usize, list: String) -> Whole {
        Whole {
            inputs: inputs as u64,
            list,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tables: self.words().into_iter().map(str::to_owned).collect(),
            to: self.to.extension().to_owned(),
            row_group: self.row_group as u64,
            options: self.others(),
        }
    }

    fn words(&self) -> Vec<&'static str> {
        let questions = self.asking.questions.iter();
        questions.map(|question| question.word()).collect()
    }

    /// What rows depend on besides tables and their format.
    fn others(&self) -> String {
        let asking = &self.asking;
        let sessions = Options {
            cache: None,
            ..asking.sessions.clone()
        };
        let (time, memory) = (asking.time_limit, asking.memory_limit);
        format!("{time:?} {memory} {} {sessions:?}", asking.hash)
    }
}
