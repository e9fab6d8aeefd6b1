//! Offline introspection of frozen machines: open a snapshot, find its kernel, ask it questions.
//!
//! ```
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
//! let guest = osier::open(file)?;
//! for process in guest.processes() {
//!     println!("{} {}", process.pid?, String::from_utf8_lossy(&process.name?));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//!   a file ──► Open ──► Snapshot ──► Attach ──► Guest ──► Answer of rows
//!                                                               │
//!                                       tables ──► format (JSON, CSV, table)
//! ```
//!
//! [`open`] says nothing and keeps nothing; [`Open`] and [`Attach`] say what is known. A row is plain
//! data; [`tables`] describes each kind once, and every format is made of that description. [`panda`]
//! has what only compatibility with PANDA needs.

mod answer;
pub mod ask;
pub mod distill;
pub mod dump;
mod error;
pub mod export;
pub mod format;
mod guest;
mod hit;
pub mod import;
mod kernel;
mod known;
mod located;
pub mod missing;
mod open;
mod opened;
mod options;
pub mod order;
pub mod os_name;
mod package;
pub mod panda;
pub mod process_memory;
mod profiles;
mod question;
mod registers;
mod registry;
mod remembered;
pub mod search;
mod shared;
pub mod sheet;
mod shipped;
pub mod symbol_path;
pub mod tables;
mod untold;

pub use answer::Answer;
pub use error::{Error, ErrorKind};
pub use guest::Guest;
pub use kernel::{LastKernel, Located};
pub use known::known;
pub use open::{Attach, Open, open};
pub use opened::open_snapshot;
pub use options::Options;
pub use profiles::{ProfileSource, infer_profile, isf_of_snapshot, profile_of_pdb};
pub use shared::Shared;

pub use osier_memory::{
    AddressSpace, Cause, CpuState, Each, Fault, Hint, Machine, PageFlags, Paging, PhysAddr,
    PhysicalMemory, VirtAddr,
};
pub use osier_osi::{
    Absent, Carve, Choice, Crash, Current, Device, FileExtra, FileKind, Finding, FoundBy,
    FoundKernel, Handle, Integrity, Interface, Kernel, LinuxFile, LinuxProcess, LinuxWide, LogLine,
    Mapping, MappingKind, Module, Mount, Namespaces, NoAttach, OpenFile, Osi, PageRange, Panda,
    Premise, Privilege, Process, ProcessExtra, ProcessName, ProcessSource, ScanSource, ScanSources,
    Scanned, ScannedKind, Seen, SeenExt, Severity, Sid, Socket, SocketSource, System, TaskState,
    Thread, Variable, WalkEnd, WalkEnds, Why, WindowsProcess, WindowsWide,
};
pub use osier_profile::{BuildId, OsKind, Profile, Source};
pub use osier_snapshot::{
    Anomaly, Effect, Format, OpenError, Progress, Reach, Reading, Snapshot, SnapshotInfo,
};

pub use {osier_linux, osier_memory, osier_profile, osier_snapshot, osier_symbols, osier_windows};

/// The example of the README is run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
