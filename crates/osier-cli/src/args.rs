//! The arguments. They go no deeper than this crate.

mod shape;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use osier_fleet::Shard;

pub(crate) use shape::{PidArg, ShapeArgs};
use values::{address, byte, gib, mib, pid, range, seconds, several, size};

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

// The snapshot, and what is known of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct SnapshotArgs {
    /// The snapshot: a memory dump, an ELF core, a QEMU stream, or a PANDA recording; or its address
    #[arg(value_name = "SNAP")]
    pub(crate) snapshot: PathBuf,
    #[command(flatten)]
    pub(crate) known: KnownArgs,
}

// A snapshot, and which rows of a list are wanted.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
}

// Which snapshots.
#[derive(Args, Clone, Debug)]
pub(crate) struct InputArgs {
    /// Snapshots, folders of them, patterns such as 'dumps/*.elf', and addresses
    #[arg(value_name = "PATH", required_unless_present = "inputs_from")]
    pub(crate) paths: Vec<PathBuf>,
    /// Also the paths in this file, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs_from: Option<PathBuf>,
}

// What is known of a snapshot, or of each of several.
#[expect(clippy::struct_excessive_bools, reason = "each is one switch")]
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KnownArgs {
    /// The kernel profile to use, or a symbol file to make it of
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// The group of a kernelinfo.conf that --profile names
    #[arg(long, value_name = "NAME", requires = "profile")]
    pub(crate) group: Option<String>,
    /// A folder of kernel profiles; may be repeated [env: `OSIER_PROFILES`, a list of folders]
    #[arg(long, value_name = "DIR")]
    pub(crate) profiles: Vec<PathBuf>,
    /// The operating system: linux, windows, or a PANDA -os string
    #[arg(long, value_name = "NAME")]
    pub(crate) os: Option<String>,
    /// A page table that maps the kernel, hexadecimal: a CR3, or a process's root
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) dtb: Option<u64>,
    /// The processors' registers, as memsavep or `info registers -a` writes them
    #[arg(long, value_name = "FILE")]
    pub(crate) registers: Option<PathBuf>,
    /// Where the RAM below 4 GiB ends, when the file is a bare pc.ram block
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) ram_split: Option<u64>,
    /// The internal snapshot to read, by number or name, when the file is a qcow2 image with several
    #[arg(long, value_name = "NAME")]
    pub(crate) internal: Option<String>,
    /// Another file of a split dump; may be repeated [default: those beside SNAP]
    #[arg(long, value_name = "FILE")]
    pub(crate) part: Vec<PathBuf>,
    /// The most decoded memory to keep of a compressed snapshot, in MiB, or as 512K, 1G [default: 64]
    #[arg(long, value_name = "N", value_parser = mib)]
    pub(crate) cache_mib: Option<u64>,
    /// The most that a compressed snapshot may be unpacked to, in GiB, or as 512M [default: 64]
    #[arg(long, value_name = "N", value_parser = gib)]
    pub(crate) scratch_gib: Option<u64>,
    /// Neither read nor write the cache of profiles and indexes
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Infer the structures of a Linux kernel that has neither types nor a profile; what its memory does not
    /// prove is absent
    #[arg(long)]
    pub(crate) infer: bool,
    /// Leave out the profiles that ship with Osier
    #[arg(long)]
    pub(crate) no_shipped: bool,
    /// Read on where a snapshot behind an address would be read whole, as a search does
    #[arg(long)]
    pub(crate) search: bool,
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
    /// List process handles
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
    /// List open files, of Windows handles
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
    /// Find text, bytes, regular expressions and what YARA rules match in memory, with whose they are
    Search(SearchArgs),
    /// Write a process as an ELF core that gdb opens, or its program, a kernel module, a stretch of memory
    Dump(DumpArgs),
    /// List the files of which the kernel keeps pages in memory, or write one of them
    Recover(RecoverArgs),
    /// Keep only the pages that some questions need, as an ELF core
    Distill(DistillArgs),
    /// Tell what happened between two snapshots of one guest
    Diff(DiffArgs),
    /// Follow the processes through a series of snapshots of one guest
    Timeline(TimelineArgs),
    /// Write one page to look at: everything that a snapshot, or a series of them, says
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
    #[arg(long, value_name = "N", conflicts_with = "phys", value_parser = pid)]
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
    #[arg(long, value_name = "N", value_parser = pid)]
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
    #[arg(long, value_name = "N", value_parser = pid)]
    pub(crate) pid: Option<u32>,
    /// Its program's file, as far as it is in memory
    #[arg(long, requires = "pid")]
    pub(crate) exe: bool,
    /// These addresses byte for byte, of the process or of the kernel: hexadecimal, the end exclusive
    #[arg(long, value_name = "A-B", value_parser = range, conflicts_with = "exe")]
    pub(crate) range: Option<(u64, u64)>,
    /// The memory of this kernel module
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

#[derive(Subcommand)]
pub(crate) enum ProfileCommand {
    /// Make a profile of symbol files: vmlinux, BTF, PDB, System.map, ISF, kernelinfo.conf
    Import {
        /// The files; together they describe one kernel
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The profile to write [default: into the cache, under the kernel's build id]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The group of a kernelinfo.conf
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
    },
    /// Download the PDB of a Windows kernel from a symbol server, and make a profile of it
    ///
    /// Beside addresses that are given as snapshots, the only use of a network.
    Fetch {
        /// The PDB's name, such as ntkrnlmp.pdb
        name: String,
        /// GUID and age, as the error about the missing PDB gives them
        #[arg(value_name = "GUIDAGE")]
        key: String,
        /// The symbol server
        #[arg(long, value_name = "URL", default_value = osier_fetch::MICROSOFT)]
        server: String,
        /// The folder that keeps the PDB, laid out as a symbol server [default: in the cache]
        #[arg(short, long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Show what a profile holds
    Show {
        /// The profile
        file: PathBuf,
        /// Only this structure, its members and their places
        #[arg(value_name = "STRUCT")]
        structure: Option<String>,
    },
    /// Write the types and symbols of a snapshot's kernel, a profile or a symbol file in another tool's format
    Export {
        /// A snapshot, a profile, or a symbol file: vmlinux with DWARF, BTF, a PDB
        file: PathBuf,
        /// The format
        #[arg(long, value_enum)]
        to: ExportFormat,
        /// The file to write [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// PANDA's kernelinfo.conf
    Kernelinfo,
    /// Volatility 3's ISF
    Isf,
}
