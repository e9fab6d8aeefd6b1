//! The arguments of `osier profile`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

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
