//! Parts of a snapshot as files that other tools open: a process as an ELF core or a minidump, its program, a kernel
//! module, a stretch of memory.
//!
//! What a process would see at its addresses is written, not only what its page table has: pages of files
//! out of the page cache, zeros where memory was promised and never touched. What is not in memory is never
//! written as zeros that a reader could take for bytes: in a core it is a segment without bytes, and every
//! stretch of it is told ([`Dumped::lost`]).

mod core_file;
mod either;
mod image;
mod minidump;
mod notes;
mod parts;
mod plan;
mod rebuilt;
mod sink;
mod threads;

use std::io;
use std::path::{Path, PathBuf};

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Carve, WalkEnd, WalkEnds};

use crate::process_memory::alike;

pub use core_file::process_core;
pub use either::process;
pub use minidump::process_minidump;
pub use osier_osi::KeptFile;
pub use parts::{executable, kept, kept_files, module, range};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The system that was found is one of which this cannot be done.
    #[error("of {0} this cannot be written; `osier read` gives bytes of its memory")]
    NotOfThisSystem(String),
    /// The process has no memory.
    #[error("the process has no memory to write: {0}")]
    NoMemory(Box<Absent>),
    /// The program or module cannot be found.
    #[error("{0}")]
    Absent(String),
    /// The file to write is the snapshot.
    #[error("{file}: this is the snapshot itself; name another file", file = osier_text::path(.0))]
    Same(PathBuf),
    /// The file could not be written.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot changed meanwhile.
    #[error(
        "a page that was read before cannot be read again: {0}; dump it when nobody writes the snapshot"
    )]
    Changed(Fault),
}

/// What was written.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Dumped {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Bytes of memory in it, zeros that were never touched among them.
    pub memory: u64,
    /// Threads in it.
    pub threads: usize,
    /// What is not in it: every stretch, up to [`MOST_NAMED`] of them.
    pub lost: Vec<Lost>,
    /// Bytes of all that is not in it.
    pub lost_bytes: u64,
    /// How the walks ended, and which values were lost.
    pub ends: WalkEnds,
}

/// Stretches of lost memory that are named.
pub const MOST_NAMED: usize = 4096;

/// A stretch that could not be written.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its first address; of a program's file, the offset.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is a part of. Bytes.
    pub of: Vec<u8>,
    /// Why.
    pub why: Box<Absent>,
}

impl Dumped {
    /// Notes a stretch that is lost; joins it with the last one where it goes on.
    fn lose(&mut self, start: VirtAddr, bytes: u64, of: &[u8], why: &Absent) {
        self.lost_bytes = self.lost_bytes.saturating_add(bytes);
        if let Some(last) = self.lost.last_mut()
            && last.start.wrapping_add(last.bytes) == start.0
            && last.of == of
            && alike(&last.why, why)
        {
            last.bytes = last.bytes.saturating_add(bytes);
            return;
        }
        if self.lost.len() < MOST_NAMED {
            self.lost.push(Lost {
                start: start.0,
                bytes,
                of: of.to_owned(),
                why: Box::new(why.clone()),
            });
        }
    }
}

/// Whether the program of the process at `taskd` is of 64 bits; where that is lost, an ending of the `walk` says so, and
/// the kernel's own width counts.
fn is_wide(
    guest: &crate::Guest,
    carve: &dyn Carve,
    taskd: VirtAddr,
    walk: &'static str,
    dumped: &mut Dumped,
) -> bool {
    match carve.program_width(taskd) {
        Ok(width) => width == 8,
        Err(absent) => {
            let what = "whether the program is of 32 or 64 bits".to_owned();
            dumped.ends.add(walk, WalkEnd::without(what, &absent));
            guest.pointer_bytes() == 8
        }
    }
}

/// An error when `out` is the snapshot of `guest`.
fn spare(guest: &crate::Guest, out: &Path) -> Result<(), DumpError> {
    if osier_file::same(&guest.info().file, out) {
        return Err(DumpError::Same(out.to_owned()));
    }
    Ok(())
}
