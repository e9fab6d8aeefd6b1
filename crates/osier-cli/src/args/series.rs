//! The arguments of the commands that read several snapshots.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use osier_fleet::Shard;

use super::known::{InputArgs, KnownArgs};
use super::values::{mib, seconds, several};

#[derive(Args)]
pub(crate) struct TimelineArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// The order of the series
    #[arg(long, value_enum, default_value = "clock")]
    pub(crate) order: SeriesArg,
    /// Also draw the lifetimes into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Columns of the drawing in a table [default: the terminal's, or 100]
    #[arg(long, value_name = "N")]
    pub(crate) width: Option<usize>,
    /// Draw with ASCII alone [default: when the locale is not of UTF-8]
    #[arg(long)]
    pub(crate) ascii: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeriesArg {
    /// By the guest's clock, or as given where one does not tell it
    Clock,
    /// As given
    Given,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// The page to write, in HTML
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The most rows of one list on the page; all are counted
    #[arg(long, value_name = "N", default_value = "10000", value_parser = several)]
    pub(crate) rows: NonZeroUsize,
    /// The most seconds that the report may take; what is asked by then is on the page
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// The folder of golden rows: DIR/NAME/TABLE.jsonl for the snapshot NAME.elf
    #[arg(long, value_name = "DIR")]
    pub(crate) golden: PathBuf,
    /// The questions [default: ps, handles, current, threads, modules, maps, and what has a file]
    #[arg(long, value_name = "QUESTIONS", value_delimiter = ',')]
    pub(crate) ask: Option<Vec<String>>,
    /// Fields that may differ: TABLE.FIELD, as in maps.flags, or FIELD of every table
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Write the golden rows again
    #[arg(long)]
    pub(crate) update: bool,
    /// Also write the verdicts as `JUnit` XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Also write annotations for GitHub Actions
    #[arg(long)]
    pub(crate) github: bool,
    /// Exit with 0, not 3, when the rows are the golden ones although something could not be read
    #[arg(long)]
    pub(crate) partial_ok: bool,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// The tables: ps, handles, current, threads, modules, maps, pages, files, env, log, `ps_wide`, mounts, sockets, net, scan, findings
    #[arg(
        long,
        value_name = "TABLES",
        value_delimiter = ',',
        default_value = "ps,handles,current,threads,modules,maps"
    )]
    pub(crate) tables: Vec<String>,
    /// The folder to write tables and manifest to
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How tables are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "jsonl")]
    pub(crate) to: TableFormatArg,
    /// Rows in a row group of Parquet, at least
    #[arg(long, value_name = "ROWS", default_value = "131072", value_parser = several)]
    pub(crate) row_group: NonZeroUsize,
    /// Snapshots to read at the same time [default: one for each processor]
    #[arg(short, long, value_name = "N", value_parser = several)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The most seconds that one snapshot may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
    /// The most that the rows of one snapshot may take in memory, in MiB, or as 512K, 1G
    #[arg(long, value_name = "MIB", default_value = "256", value_parser = mib)]
    pub(crate) memory_limit: u64,
    /// Tell snapshots apart by all their bytes, not by size, time and a sample
    #[arg(long)]
    pub(crate) hash: bool,
    /// Call snapshots by their paths below this folder, whatever else is read
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Read one part of the snapshots: 1/4 is the first of four; `osier merge` puts parts together
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Throw away what an interrupted run left in DIR
    #[arg(long)]
    pub(crate) fresh: bool,
}

#[derive(Args)]
pub(crate) struct MergeArgs {
    /// Folders that hold parts of one run
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// The folder to write tables and manifest to
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct SqlArgs {
    /// The query, over the tables ps, handles, current, threads, modules, maps, pages, files, env, log, `ps_wide`, mounts, sockets, net, scan, findings, manifest
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// Snapshots, folders of them, and patterns such as 'dumps/*.elf'
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Also the paths in this file, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// Snapshots to read at the same time [default: one for each processor]
    #[arg(short, long, value_name = "N", value_parser = several)]
    pub(crate) jobs: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormatArg {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values
    Csv,
    /// Apache Parquet
    #[cfg(feature = "parquet")]
    Parquet,
}
