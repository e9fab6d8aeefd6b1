//! Which snapshots, and what is known of them.

use std::path::PathBuf;

use clap::Args;

use super::shape::ShapeArgs;
use super::values::{address, gib, mib, size};

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
