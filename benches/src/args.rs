//! What the benches are asked.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Osier beside its peers.
#[derive(Parser)]
pub(crate) struct Args {
    /// Only these parts [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
    /// Of the side-by-side part, only peers whose name has one of these words
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Of the side-by-side part, only guests whose title has one of these words
    #[arg(long, value_delimiter = ',')]
    pub(crate) guests: Vec<String>,
    /// Counted runs of each line, after one that is not counted
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Where peers, snapshots and debug symbols are kept
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub(crate) work: PathBuf,
    /// The command to measure
    #[arg(long, default_value = "target/release/osier", value_name = "FILE")]
    pub(crate) osier: PathBuf,
    /// Snapshots of your own for the parts `commands` and `floor`
    pub(crate) snapshots: Vec<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The process list, beside Volatility 3, drgn, crash, mquire, vmi and memflow
    Peers,
    /// The questions after the process list, beside Volatility 3 and drgn
    Triage,
    /// What `osier export` writes, opened by others
    Exports,
    /// Types out of DWARF, beside drgn, isr, pahole and dwarf2json
    Symbols,
    /// Many snapshots in one call, against the number of jobs
    Fleet,
    /// Osier's commands as whole processes, on the snapshots that are named
    Commands,
    /// A process list in process, against its touch floor
    Floor,
    /// What opening a large dump reads, and what a page of a compressed one costs
    Opening,
    /// Memory and time on 5 GiB inside gzip, xz and Zstandard
    Compressed,
}

impl Part {
    /// What stands over its figures.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Peers => "The process list, side by side",
            Self::Triage => "Triage, side by side",
            Self::Exports => "Exports, opened by others",
            Self::Symbols => "Types out of DWARF",
            Self::Fleet => "Many snapshots",
            Self::Commands => "Commands",
            Self::Floor => "The touch floor",
            Self::Opening => "Opening",
            Self::Compressed => "Compressed dumps",
        }
    }
}
