//! The arguments. They go no deeper than this crate.

mod known;
mod profile;
mod series;
mod shape;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use known::{InputArgs, KnownArgs, ListArgs, SnapshotArgs};
pub(crate) use profile::{ExportFormat, ProfileCommand};
pub(crate) use series::{
    CheckArgs, MergeArgs, ReportArgs, RunArgs, SeriesArg, SqlArgs, TableFormatArg, TimelineArgs,
};
pub(crate) use shape::{PidArg, ShapeArgs};
use values::{address, byte, pid, range, seconds, size};

/// Reads a machine that has stopped: a memory dump or a PANDA replay snapshot goes in, processes,
/// threads, modules and mappings come out.
#[derive(Parser)]
#[command(name = "osier", version, max_term_width = WIDTH, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How wide help is at most.
pub(crate) const WIDTH: usize = 100;

const AFTER: &str = "Exit status: 0 complete, 1 could not be done, 2 wrong usage, 3 done but \
                     something could not be read (--strict makes it 1).";

#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch")]
pub(crate) struct OutputArgs {
    /// How rows are written [default: a table on a terminal, JSON lines otherwise]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        display_order = 900
    )]
    pub(crate) format: Option<Format>,
    /// Exit with 1, not 3, when something could not be read
    #[arg(long, global = true, display_order = 900)]
    pub(crate) strict: bool,
    /// Every column in tables
    #[arg(short, long, global = true, display_order = 900)]
    pub(crate) wide: bool,
    /// No messages but errors
    #[arg(short, long, global = true, display_order = 900)]
    pub(crate) quiet: bool,
    /// Say how complete the answer is, and where values are missing
    #[arg(short, long, global = true, display_order = 900)]
    pub(crate) verbose: bool,
    /// Colours in tables
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(crate) color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand)]
// Only the arguments of the command that is given are made. Whatever documents their structure would
// then be shown as what the command does, so the structures have plain comments.
#[command(defer = true)]
pub(crate) enum Command {
    /// Show what the snapshot is, which kernel it holds, and how that was decided
    Info(InfoArgs),
    /// List processes
    Ps(PsArgs),
    /// List process handles, PANDA's word: the address of each process's structure, and its page table
    Handles(ListArgs),
    /// Show the current process and thread of each processor
    Current(ListArgs),
    /// List threads
    Threads(ListArgs),
    /// List kernel modules
    Modules(ListArgs),
    /// List mappings
    Maps(MapsArgs),
    /// List the present pages of a process
    Pages(ListArgs),
    /// List open files; on Windows, handles
    Files(ListArgs),
    /// List environment variables
    Env(ListArgs),
    /// Show the kernel's log
    Log(ListArgs),
    /// List mounts, as each process sees them
    Mounts(ListArgs),
    /// List sockets of every network namespace, with who holds them
    Sockets(ListArgs),
    /// List network interfaces and their addresses
    Net(ListArgs),
    /// List processes, threads and modules found by their own bytes, linked into lists or not
    Scan(ListArgs),
    /// Show what does not fit, each with its evidence
    Findings(ListArgs),
    /// Read bytes of memory
    Read(ReadArgs),
    /// Translate virtual addresses, showing every table entry on the way
    Translate(TranslateArgs),
    /// Print what PANDA's plugin `osi_test` prints
    OsiTest(OsiTestArgs),
    /// Find text, bytes, regular expressions and matches of YARA rules in memory, and whose memory it is
    Search(SearchArgs),
    /// Write a process as an ELF core or a minidump, or its program, a kernel module, a stretch of memory
    Dump(DumpArgs),
    /// List the files of which the kernel keeps pages in memory, or write one of them
    Recover(RecoverArgs),
    /// Keep only the pages that some questions need, as an ELF core
    Distill(DistillArgs),
    /// Show what happened between two snapshots of one guest
    Diff(DiffArgs),
    /// Follow the processes through a series of snapshots of one guest
    Timeline(TimelineArgs),
    /// Write one HTML page with everything that a snapshot, or a series of them, says
    Report(ReportArgs),
    /// Hold snapshots against their golden rows, for CI
    Check(CheckArgs),
    /// Write the same memory in another container
    Export(ExportArgs),
    /// Ask many snapshots, and write tables and a manifest
    Run(RunArgs),
    /// Put the parts of a run (`osier run --shard`) together to the tables of the whole
    Merge(MergeArgs),
    /// Ask many snapshots in SQL
    #[cfg_attr(not(feature = "sql"), command(hide = true))]
    Sql(SqlArgs),
    /// Import, show and export kernel profiles
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Write a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual page
    Man {
        /// A page for each command, into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[cfg(unix)]
impl Command {
    /// Whether the command may write a file that is not whole before its end.
    pub(crate) const fn writes_files(&self) -> bool {
        matches!(
            self,
            Self::Distill(_)
                | Self::Dump(_)
                | Self::Recover(_)
                | Self::Export(_)
                | Self::Check(_)
                | Self::Timeline(_)
                | Self::Report(_)
                | Self::Profile(_)
        )
    }
}

#[derive(Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// Also PANDA's checksum of guest memory; reads the whole stream
    #[arg(long)]
    pub(crate) checksum: bool,
}

#[derive(Args)]
pub(crate) struct OsiTestArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// Leave out the row that PANDA makes of the head of Windows's list of modules
    #[arg(long)]
    pub(crate) no_sentinel: bool,
}

#[derive(Args)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Draw the tree of parents
    #[arg(long, conflicts_with_all = ["order", "sort"])]
    pub(crate) tree: bool,
    /// The order of rows
    #[arg(long, value_enum, default_value = "list")]
    pub(crate) order: OrderArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// The kernel's list
    List,
    /// By pid
    Pid,
    /// As PANDA has it: of Linux the list begun after the current process, of Windows System last
    Panda,
}

#[derive(Args)]
pub(crate) struct MapsArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Of this kind only
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,
    /// Only those that hold this address, hexadecimal with or without 0x
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Of a file
    File,
    /// The heap
    Heap,
    /// The main thread's stack; of Windows any thread's
    Stack,
    /// Anything else
    Unknown,
    /// Windows: an image
    Image,
    /// Windows: private memory
    Private,
}

#[derive(Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// In this process's address space [default: the kernel's]
    #[arg(long, value_name = "N", conflicts_with = "phys", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: Option<u32>,
    /// The address is physical; no kernel is looked for
    #[arg(long)]
    pub(crate) phys: bool,
    /// Write this byte where raw bytes cannot be read, and go on [default: stop there]
    #[arg(long, value_name = "BYTE", value_parser = byte)]
    pub(crate) fill: Option<u8>,
    /// The address, hexadecimal with or without 0x
    #[arg(value_parser = address)]
    pub(crate) addr: u64,
    /// Number of bytes: decimal, or hexadecimal with 0x; K, M and G multiply by 1024
    #[arg(value_parser = size)]
    pub(crate) len: u64,
}

#[derive(Args)]
pub(crate) struct TranslateArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// In this process's address space [default: the kernel's]
    #[arg(long, value_name = "N", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: Option<u32>,
    /// The addresses, hexadecimal with or without 0x
    #[arg(required = true, value_parser = address)]
    pub(crate) addr: Vec<u64>,
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// The container
    #[arg(long, value_enum)]
    pub(crate) to: ContainerArg,
    /// The file to write
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContainerArg {
    /// File offset = physical address
    Raw,
    /// An ELF core with processors and VMCOREINFO
    Elf,
    /// LiME, a header before each range
    Lime,
}

#[derive(Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// This text, byte for byte; may be repeated, as every pattern
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// This text as UTF-16, little-endian
    #[arg(long, value_name = "TEXT")]
    pub(crate) wide_text: Vec<String>,
    /// These bytes, in hexadecimal; ? is any half of one
    #[arg(long, value_name = "BYTES")]
    pub(crate) hex: Vec<String>,
    /// This regular expression over bytes
    #[arg(long, value_name = "EXPR")]
    pub(crate) regex: Vec<String>,
    /// What the YARA rules in this file match
    #[arg(long, value_name = "FILE")]
    pub(crate) yara: Vec<PathBuf>,
    /// In the kernel's memory, each page once
    #[arg(long, conflicts_with = "phys")]
    pub(crate) kernel: bool,
    /// In all memory of the machine [default, without --pid and --name]
    #[arg(long)]
    pub(crate) phys: bool,
    /// The most seconds that the search may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// The process
    #[arg(long, value_name = "N", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: Option<u32>,
    /// Its program's file, as far as it is in memory
    #[arg(long, requires = "pid")]
    pub(crate) exe: bool,
    /// These addresses byte for byte, of the process or of the kernel: hexadecimal, the end exclusive
    #[arg(long, value_name = "A-B", value_parser = range, conflicts_with = "exe")]
    pub(crate) range: Option<(u64, u64)>,
    /// The memory of this kernel module; of Windows the image of this driver
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pid", "exe", "range"])]
    pub(crate) module: Option<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Write the file that the list has under this path
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Write the file that the list has with this `mapping`
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "file")]
    pub(crate) mapping: Option<u64>,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct DistillArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    /// The questions: ps, handles, current, threads, modules, maps, pages, files, env, log, `ps_wide`, mounts, sockets, net, scan, findings
    #[arg(
        long,
        value_name = "QUESTIONS",
        value_delimiter = ',',
        default_value = "ps,handles,current,threads,modules,maps"
    )]
    pub(crate) ask: Vec<String>,
    /// The core to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The earlier snapshot
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,
    /// The later snapshot
    #[arg(value_name = "B")]
    pub(crate) after: PathBuf,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// What to compare besides processes (ps): threads, maps, modules, current
    #[arg(
        long,
        value_name = "QUESTIONS",
        value_delimiter = ',',
        default_value = "threads,maps,modules,current"
    )]
    pub(crate) ask: Vec<String>,
    /// Exit with 1 when something happened, as git does
    #[arg(long)]
    pub(crate) exit_code: bool,
}
