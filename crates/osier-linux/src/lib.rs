#![doc = include_str!("../README.md")]
//!
//! ```text
//!   Machine ──► locate ──► Located ─┐
//!                                   ├──► Linux (implements Osi) ──► rows
//!   Profile (from anywhere) ────────┘
//! ```
//!
//! One file for each kernel object. Shapes are chosen by which members exist, never by version
//! number.

mod attach;
mod carve;
mod clock;
mod code_symbols;
mod constants;
mod cpus;
mod crash;
mod current;
mod environment;
mod family;
mod fds;
mod file_tree;
mod files;
mod findings;
mod frames;
mod group;
mod guest;
mod hashes;
mod infer;
mod inode;
mod interfaces;
mod kept;
mod lacking;
mod layouts;
mod list;
mod locate;
mod log;
mod maple;
mod mappings;
mod maps;
mod memory;
mod mm;
mod modules;
mod mount;
mod mounts;
mod named;
mod netns;
mod page_cache;
mod pages;
mod path;
mod pid;
mod policy;
mod process;
mod provider;
mod radix;
mod registers;
mod scan;
mod slabs;
mod sockets;
mod state;
mod symbols;
mod tasks;
mod thread_struct;
mod threads;
#[cfg(test)]
mod toy;
mod user;
mod vma;
mod wanted;
mod wide;

pub use attach::{AttachError, Linux};
pub use code_symbols::{CodeSymbols, ReadCodeSymbols};
pub use infer::{NotInferred, infer};
pub use lacking::lacking;
pub use locate::{
    KnownKernel, LocateError, Located, again, find_vmcoreinfo, glance, locate, locate_by,
};
pub use policy::linux_policy;
pub use wanted::WANTED;
