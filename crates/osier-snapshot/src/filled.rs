//! What is unpacked: a file for a short time, written from front to back.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::data::Data;
use crate::error::{OpenError, io_error};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::snapshot::OpenOptions;

/// What a disk keeps free, at most: a twentieth of it when that is less.
const RESERVE: u64 = 1 << 30;
/// Bytes between two looks at the disk's free space.
const LOOK: u64 = 64 << 20;
/// Zeros of this length become holes.
const HOLE: usize = 64 << 10;

/// The bytes of a new file that `fill` writes, in the folder that the options name or, where that cannot
/// hold it, in the system's folder for temporary files: `fill` may be called for each. The file goes
/// with them.
///
/// # Errors
///
/// Neither folder can hold it and keep some space free.
pub(crate) fn filled<T>(
    options: &OpenOptions,
    mut fill: impl FnMut(&mut Writer) -> io::Result<T>,
) -> Result<(Data, T), OpenError> {
    let system = std::env::temp_dir();
    let first = options.index_dir.as_deref().unwrap_or(&system);
    let mut try_in = |dir: &Path| -> io::Result<(Data, T)> {
        let (held, file) = Scratch::create(dir)?;
        let mut writer = Writer::new(file, dir, options.progress.clone());
        let filled = fill(&mut writer)?;
        Ok((
            Data::of_scratch(writer.finish()?, held, options.progress.clone())?,
            filled,
        ))
    };
    let failed = match try_in(first) {
        Ok(filled) => return Ok(filled),
        Err(error) => error,
    };
    if first != system
        && !options.progress.is_over()
        && let Ok(filled) = try_in(&system)
    {
        return Ok(filled);
    }
    Err(io_error(first, "cannot hold the unpacked snapshot")(failed))
}

/// Writes a file from front to back. Stretches of zeros take no space; the disk keeps some free.
pub(crate) struct Writer {
    file: File,
    dir: PathBuf,
    /// Length so far, holes at the end included.
    len: u64,
    /// Bytes that may be written before the free space is looked at again.
    allowed: u64,
    progress: Progress,
}

impl Writer {
    fn new(file: File, dir: &Path, progress: Progress) -> Self {
        Self {
            file,
            dir: dir.to_owned(),
            len: 0,
            allowed: 0,
            progress,
        }
    }

    /// Goes on at `offset`, which is not before what was written; zeros lie between.
    pub(crate) fn zeros_up_to(&mut self, offset: u64) {
        self.len = self.len.max(offset);
    }

    /// Lets the disk take `bytes` more.
    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        if self.allowed < bytes
            && let (Ok(free), Ok(all)) =
                (fs4::available_space(&self.dir), fs4::total_space(&self.dir))
        {
            let reserve = RESERVE.min(all / 20);
            self.allowed = free.saturating_sub(reserve).min(LOOK.max(bytes));
            if self.allowed < bytes {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!(
                        "its disk has {free} bytes free, of which {reserve} are kept, after {} bytes of \
                         the snapshot; make room, or unpack it by hand to another disk",
                        self.len
                    ),
                ));
            }
        }
        self.allowed = self.allowed.saturating_sub(bytes);
        Ok(())
    }

    fn finish(self) -> io::Result<File> {
        self.file.set_len(self.len)?;
        Ok(self.file)
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(piece) = buf.get(..buf.len().min(HOLE)) else {
            return Ok(0);
        };
        if self.progress.is_over() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "opening was stopped",
            ));
        }
        if piece.len() < HOLE || piece.iter().any(|byte| *byte != 0) {
            self.take_room(piece.len() as u64)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            self.file.write_all(piece)?;
        }
        self.len = self.len.saturating_add(piece.len() as u64);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
