#![doc = include_str!("../README.md")]
//!
//! ```text
//!   PhysicalMemory  ──►  Paging (a const table per mode)  ──►  AddressSpace (root + policy + cache)
//!        ▲                                                            │
//!   a snapshot format                                          bytes, or a Fault
//! ```
//!
//! Nothing here knows a file format or an operating system. What a non-present page-table entry
//! means is injected as a [`NotPresentPolicy`]. Reads take `&self`; a byte that cannot be read is a
//! [`Fault`] that says why and where, never a zero.

mod address;
mod encryption;
mod fault;
mod machine;
mod paging;
mod physical;
mod ranges;
mod record;
mod space;
mod sweep;
mod visit;

pub use address::{PAGE_BYTES, PhysAddr, VirtAddr};
pub use encryption::encryption_bits;
pub use fault::{Cause, Codec, Fault, Filter, Gap, Store};
pub use machine::{CpuState, CrashDump, Driver, Hint, Machine, Segment, Segments};
pub use paging::{
    AbsentEntry, NotPresent, NotPresentPolicy, Paging, PolicyWords, Step, Translation, Walk,
    hardware_policy,
};
pub use physical::{Chunk, Page, PhysRun, PhysicalMemory, ZERO_PAGE};
pub use ranges::{MappedRange, PageFlags, TablesMet};
pub use record::Recorder;
pub use space::AddressSpace;
pub use visit::{Each, Visit};
