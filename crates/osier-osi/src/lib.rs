#![doc = include_str!("../README.md")]
//!
//! Rows are plain data with public fields. They know no output format; formats know them.
//! A value that could not be read is a [`Err`] with the reason and the place, never a
//! sentinel. A walk returns how it ended: [`WalkEnd::Closed`] is the only good ending.

mod carve;
pub mod code;
mod crash;
mod findings;
mod found_by;
mod holdings;
mod list;
mod log;
mod lookup;
mod merge;
mod network;
mod osi;
mod pages;
mod rows;
pub mod rules;
mod scan;
mod seen;
mod system;
mod token;
mod walk;
mod wide;

pub use carve::{
    Behind, CachedFile, Carve, CarveLinux, CarveWindows, Descriptor, FXSAVE_BYTES, KeptFile,
    ModulePart, ProcessAddress, RegistersFrom, Stretch, SystemFacts, ThreadFacts, UserRegisters,
};
pub use crash::Crash;
pub use findings::{Finding, Severity};
pub use found_by::{FoundBy, ProcessSource};
pub use holdings::{Device, FileExtra, FileKind, LinuxFile, Mount, OpenFile, Variable};
pub use list::{Lists, Walked};
pub use log::LogLine;
pub use lookup::{base_by_name, has_mapping_prefix, in_shared_object, mapping_at};
pub use merge::merge;
pub use network::{Interface, Socket, SocketSource};
pub use osi::{Choice, Kernel, Osi, Panda, Premise};
pub use pages::page_rows;
pub use rows::{
    Current, Handle, LinuxProcess, Mapping, MappingKind, Module, PageRange, Process, ProcessExtra,
    ProcessName, TaskState, Thread, WindowsProcess,
};
pub use scan::{ScanSource, ScanSources, Scanned, ScannedKind};
pub use seen::{Absent, Seen, SeenExt, Why};
pub use system::{FoundKernel, NoAttach, System};
pub use token::{Integrity, Privilege, Sid, WindowsWide};
pub use walk::{Guard, WalkEnd, WalkEnds};
pub use wide::{LinuxWide, Namespaces};
