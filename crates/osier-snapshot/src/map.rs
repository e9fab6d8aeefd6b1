//! A file mapped read-only. The one place with `unsafe`.
#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; it happens here and nowhere else"
)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// How the bytes of guest memory come out of a file that holds them as they lay in the machine.
/// Whatever else is read of a file is always copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Page by page, copied into a bounded cache. A file that shrinks, or a disk that fails, while the
    /// snapshot is open is a [`Fault`](osier_memory::Fault) at the addresses that are gone.
    #[default]
    Copy,
    /// A file of at most 16 MiB at once, copied when it is opened; a larger one as by `Copy`. For who asks much of
    /// many small files: one read instead of one a page, into memory that the file before has left.
    Whole,
    /// Through the file's map. For files that nobody writes and disks that do not fail: bytes that
    /// vanish end the process with SIGBUS.
    Map,
}

/// A file's bytes in this process's address space.
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps the first `len` bytes of `file`.
    pub(crate) fn of(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: the map is private to this type, read-only, and only handed out as `&[u8]`. Nobody
        // may write to or shorten the file meanwhile: that is a documented condition of asking for
        // `Reading::Map`, as there is no way to enforce it.
        unsafe { memmap2::MmapOptions::new().len(len).map(file) }.map(Self)
    }

    /// The mapped bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
