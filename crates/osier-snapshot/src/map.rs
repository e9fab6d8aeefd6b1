//! A file mapped read-only. The one place with `unsafe`.
#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; it happens here and nowhere else"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::scratch::Scratch;

/// A file mapped read-only, or a part of one. Clones share the map.
///
/// Bytes are read in two ways: [`bytes`](Self::bytes) borrows from the map, for single structures;
/// [`read_at`](Self::read_at) copies, for sweeps over everything, so that those pages do not
/// become part of the process.
#[derive(Clone)]
pub(crate) struct Map {
    whole: Arc<Whole>,
    start: usize,
    len: usize,
    reading: Reading,
}

/// How the bytes of guest memory come out of a file that holds them as they lay in the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Page by page, copied into a bounded cache. A file that shrinks, or a disk that fails, while the
    /// snapshot is open is a [`Fault`](osier_memory::Fault) at the addresses that are gone.
    #[default]
    Copy,
    /// Through the file's map. For files that nobody writes and disks that do not fail: bytes that
    /// vanish end the process with SIGBUS.
    Map,
}

struct Whole {
    /// `None` for an empty file, which cannot be mapped.
    mmap: Option<Mmap>,
    file: File,
    /// Keeps a file for a short time alive; dropped after the map.
    _scratch: Option<Scratch>,
}

impl Map {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::of_file(File::open(path)?)
    }

    /// Maps `file`.
    fn of_file(file: File) -> io::Result<Self> {
        Self::held(file, None)
    }

    /// Maps a file that goes with its last map.
    pub(crate) fn of_scratch(file: File, scratch: Scratch) -> io::Result<Self> {
        Self::held(file, Some(scratch))
    }

    fn held(file: File, scratch: Option<Scratch>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let len = usize::try_from(len).map_err(|_| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than this machine's address space",
            )
        })?;
        let mmap = if len == 0 {
            None
        } else {
            // SAFETY: the map is private to this type, read-only, and only handed out as `&[u8]`.
            // A snapshot file is not written while it is read: that is a documented condition of
            // opening one, as there is no way to enforce it.
            Some(unsafe { memmap2::MmapOptions::new().len(len).map(&file)? })
        };
        Ok(Self {
            whole: Arc::new(Whole {
                mmap,
                file,
                _scratch: scratch,
            }),
            start: 0,
            len,
            reading: Reading::default(),
        })
    }

    /// The same map, whose guest memory is read so.
    pub(crate) fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// Whether guest memory is copied out of the file.
    pub(crate) fn copies(&self) -> bool {
        self.reading == Reading::Copy
    }

    /// The mapped bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.whole
            .mmap
            .as_ref()
            .and_then(|mmap| mmap.get(self.start..self.start.checked_add(self.len)?))
            .unwrap_or_default()
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// The bytes `[start, start + len)` as a map of their own; `None` when they are not all there.
    pub(crate) fn part(&self, start: u64, len: u64) -> Option<Self> {
        if start.checked_add(len)? > self.len() {
            return None;
        }
        Some(Self {
            whole: self.whole.clone(),
            start: self.start.checked_add(usize::try_from(start).ok()?)?,
            len: usize::try_from(len).ok()?,
            reading: self.reading,
        })
    }

    /// The mapped file.
    pub(crate) fn file(&self) -> &File {
        &self.whole.file
    }

    /// Copies bytes from `offset` on into `buf`, past the map; all of them or none.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self.read_some(offset, buf)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies bytes from `offset` on into `buf`, past the map, up to the end of what the file holds
    /// by now; returns how many there were.
    pub(crate) fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        use std::os::unix::fs::FileExt as _;
        #[cfg(windows)]
        use std::os::windows::fs::FileExt as _;
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buf.len());
        let mut done = 0_usize;
        while done < wanted {
            let Some(rest) = buf.get_mut(done..wanted) else {
                break;
            };
            let at = offset
                .saturating_add(self.start as u64)
                .saturating_add(done as u64);
            #[cfg(unix)]
            let read = self.whole.file.read_at(rest, at);
            #[cfg(windows)]
            let read = self.whole.file.seek_read(rest, at);
            match read {
                Ok(0) => break,
                Ok(n) => done = done.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => break, // whoever asks for the rest is told
            }
        }
        Ok(done)
    }

    /// Tells the system that the bytes of `range` have been read and will hardly be read again.
    pub(crate) fn release(&self, range: Range<usize>) {
        let Range { start, end } = range;
        let len = end.saturating_sub(start);
        #[cfg(unix)]
        if let Some(mmap) = &self.whole.mmap
            && end <= self.len
            && let Some(start) = self.start.checked_add(start)
        {
            // SAFETY: the map is read-only and backed by the file, so pages that are dropped come
            // back from the file with the same bytes; borrowed slices stay valid.
            let advised = unsafe {
                mmap.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
            };
            drop(advised); // advice only
        }
        #[cfg(not(unix))]
        let _ = (start, end, len);
    }
}
