//! The bytes of a file, copied out of it as they are asked for.
//!
//! | who asks | how |
//! |---|---|
//! | guest memory, a page at a time | [`Data::read`], [`Data::read_at`]: the failure goes to who asked |
//! | guest memory of a small file that is read whole | [`Data::here`], [`Data::page`] |
//! | what opens a file: headers, tables, lists | `Look`, through a window that moves along |
//! | what goes through a file from front to back | [`Reader`] |
//!
//! The last two note the first place that the system could not read: whoever opens a file asks for
//! that place at the end ([`Data::whole`]), so that no header is taken for absent that is there.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use osier_memory::{Cause, PAGE_BYTES, Page};

use crate::distant::Distant;
use crate::error::OpenError;
use crate::map::{Map, Reading};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::snapshot::OpenOptions;
use crate::sweep;
use crate::whole::Whole;

/// Bytes of the first window, and of the smallest and largest.
const WINDOW: usize = 4 << 10;
const SMALL: usize = 64;
const LARGE: usize = 256 << 10;
/// A window of which less than this part was looked at was too large.
const USED: usize = 16;
/// Reads of so many bytes ask first whether they are of a hole: a sparse file's are not worth reading.
const HOLE: usize = 64 << 10;
/// Bytes that a [`Reader`] reads at once.
const STEP: usize = 256 << 10;

/// A file's bytes, or a part of them. Clones share the file.
#[derive(Clone)]
pub(crate) struct Data {
    file: Arc<Held>,
    start: u64,
    len: u64,
}

/// Where bytes are read.
enum Origin {
    File(File),
    Distant(Arc<dyn Distant>),
}

/// The bytes of a whole file.
enum Here {
    Map(Map),
    Copy(Whole),
}

impl Origin {
    /// Copies bytes from `at` on into `buf`, up to the end; returns how many there were. The error is that of the
    /// first byte.
    fn fill(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = at.saturating_add(done as u64);
            let read = match self {
                Self::File(file) if rest.len() >= HOLE => match zeros(file, at, rest) {
                    0 => from(file, at, rest),
                    n => Ok(n),
                },
                Self::File(file) => from(file, at, rest),
                Self::Distant(distant) => distant.read_at(at, rest),
            };
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
}

struct Held {
    origin: Origin,
    /// `None` where bytes are copied as they are asked for.
    here: Option<Here>,
    window: Mutex<Window>,
    /// The first place that could not be read while the file was opened.
    lost: OnceLock<(u64, io::Error)>,
    /// Who may end the opening: nothing more is read then.
    progress: Progress,
    /// Keeps a file for a short time alive; dropped after the rest.
    scratch: Option<Scratch>,
}

/// The bytes that were read last. It grows while it moves along and most of it is looked at, as in a
/// list; it gets small where little of it is, as in headers with pages between them.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
    /// How many bytes were looked at in it.
    used: usize,
}

impl Data {
    /// The bytes of the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let nobody = Progress::default();
        Self::held(File::open(path)?, Reading::Copy, None, nobody)
    }

    /// As [`open`](Self::open), read as the options say.
    pub(crate) fn open_for(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let progress = options.progress.clone();
        if let Some(distant) = options.distant(path) {
            return Ok(Self::of_distant(distant?, progress));
        }
        Self::held(File::open(path)?, options.reading, None, progress)
    }

    /// The bytes of a file that goes with its last data.
    pub(crate) fn of_scratch(file: File, scratch: Scratch, progress: Progress) -> io::Result<Self> {
        Self::held(file, Reading::Copy, Some(scratch), progress)
    }

    /// Bytes that lie elsewhere.
    pub(crate) fn of_distant(distant: Arc<dyn Distant>, progress: Progress) -> Self {
        let len = distant.bytes();
        Self::made(Origin::Distant(distant), len, (None, None), progress)
    }

    fn held(
        file: File,
        reading: Reading,
        scratch: Option<Scratch>,
        progress: Progress,
    ) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let room = usize::try_from(len).map_err(|_| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than this machine's address space",
            )
        })?;
        let origin = Origin::File(file);
        let here = match (reading, &origin) {
            (Reading::Map, Origin::File(file)) if room > 0 => Some(Here::Map(Map::of(file, room)?)),
            (Reading::Whole, origin) => {
                Whole::of(room, |room| origin.fill(0, room)).map(Here::Copy)
            }
            _ => None,
        };
        Ok(Self::made(origin, len, (here, scratch), progress))
    }

    fn made(
        origin: Origin,
        len: u64,
        (here, scratch): (Option<Here>, Option<Scratch>),
        progress: Progress,
    ) -> Self {
        Self {
            file: Arc::new(Held {
                origin,
                here,
                window: Mutex::default(),
                lost: OnceLock::new(),
                progress,
                scratch,
            }),
            start: 0,
            len,
        }
    }

    /// Length in bytes, as it was when the file was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes `[start, start + len)` as data of their own; `None` when they are not all there.
    pub(crate) fn part(&self, start: u64, len: u64) -> Option<Self> {
        if start.checked_add(len)? > self.len {
            return None;
        }
        Some(Self {
            file: self.file.clone(),
            start: self.start.checked_add(start)?,
            len,
        })
    }

    /// How many of the bytes lie in a file that goes with its last data.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.file.scratch.as_ref().map_or(0, |_| self.len)
    }

    /// The file, or what lies elsewhere.
    pub(crate) fn origin(&self) -> Result<&File, &dyn Distant> {
        match &self.file.origin {
            Origin::File(file) => Ok(file),
            Origin::Distant(distant) => Err(&**distant),
        }
    }

    /// The bytes where they are mapped, or were read whole; `None` where they are copied as they are asked for.
    pub(crate) fn here(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.start).ok()?;
        let end = start.checked_add(usize::try_from(self.len).ok()?)?;
        let all = match self.file.here.as_ref()? {
            Here::Map(map) => map.bytes(),
            Here::Copy(whole) => whole.bytes(),
        };
        all.get(start..end)
    }

    /// The page of guest memory at `offset`, of a file that was read whole.
    pub(crate) fn page(&self, offset: u64) -> Option<Page> {
        let Some(Here::Copy(whole)) = &self.file.here else {
            return None;
        };
        let inside = offset.checked_add(PAGE_BYTES)? <= self.len;
        whole.page(self.start.checked_add(offset).filter(|_| inside)?)
    }

    /// Copies bytes from `offset` on into `buf`; all of them or none.
    ///
    /// # Errors
    ///
    /// The system's; [`io::ErrorKind::UnexpectedEof`] where the file ends before the last of them.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.read_some(offset, buf)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies bytes from `offset` on into `buf`, up to the end of what the file holds by now; returns
    /// how many there were.
    ///
    /// # Errors
    ///
    /// The system's, when it could not read even the first byte.
    pub(crate) fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        if let Some(Here::Copy(_)) = &self.file.here
            && let Some(bytes) = self.slice(offset, len)
        {
            buf.copy_from_slice(bytes);
            return Ok(len);
        }
        self.file
            .origin
            .fill(self.start.saturating_add(offset), buf)
    }

    /// The `len` bytes at `offset`, where they are in memory.
    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.here()?.get(start..start.checked_add(len)?)
    }

    /// The `len` bytes of guest memory, packed or not, at `offset`. The caller knows `len` to be no
    /// more than a page, or a unit of compression, takes.
    ///
    /// # Errors
    ///
    /// [`Cause::FileShort`] past the end of the file, [`Cause::ReadFailed`] where the system says so.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Cause> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(Cause::FileShort { offset });
        }
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)
            .map_err(|error| cause(&error, offset))?;
        Ok(bytes)
    }

    /// Copies the bytes at `offset` into `buf`, through the window; all of them or none. What could
    /// not be read although the file should have it is noted.
    pub(crate) fn peek(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(buf.len() as u64)?;
        if end > self.len {
            return None;
        }
        if buf.is_empty() {
            return Some(());
        }
        if let Some(Here::Copy(_)) = &self.file.here {
            buf.copy_from_slice(self.slice(offset, buf.len())?);
            return Some(());
        }
        let mut window = self.file.window.lock();
        let window = match &mut window {
            Ok(window) => window,
            Err(poisoned) => poisoned.get_mut(),
        };
        let at = self.start.saturating_add(offset);
        if window.copy(at, buf).is_some() {
            return Some(());
        }
        if let Err(error) = self.go_on() {
            self.note(offset, error);
            return None;
        }
        let size = window.next(at);
        if buf.len() < size {
            (window.at, window.used) = (at, 0);
            window.bytes.resize(size, 0);
            let read = self.read_some(offset, &mut window.bytes);
            window.bytes.truncate(read.unwrap_or(0));
            if window.copy(at, buf).is_some() {
                return Some(());
            }
        }
        // What is asked for may be readable where the window is not.
        let read = self.read_at(offset, buf);
        read.map_err(|error| self.note(offset, error)).ok()
    }

    /// Whether opening goes on.
    fn go_on(&self) -> io::Result<()> {
        if self.file.progress.is_over() {
            let text = "opening was stopped";
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    /// Notes that the bytes at `offset` could not be read.
    fn note(&self, offset: u64, error: io::Error) {
        let error = if error.kind() == io::ErrorKind::UnexpectedEof {
            let text = "the file became shorter while it was read";
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        } else {
            error
        };
        let at = self.start.saturating_add(offset);
        let _ = self.file.lost.set((at, error)); // the first counts
    }

    /// Whether something that was looked at could not be read.
    pub(crate) fn has_lost(&self) -> bool {
        self.file.lost.get().is_some()
    }

    /// Makes sure that all could be read that was looked at, of the file at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError::Read`] of the first place that could not.
    pub(crate) fn whole(&self, path: &Path) -> Result<(), OpenError> {
        match self.file.lost.get() {
            None => Ok(()),
            Some((offset, error)) => Err(OpenError::Read {
                path: path.to_owned(),
                offset: *offset,
                source: io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }

    /// The bytes from `at` on, to be read from front to back.
    pub(crate) fn reader(&self, at: u64) -> Reader {
        Reader {
            data: self.clone(),
            at,
            bytes: Vec::new(),
            used: 0,
        }
    }
}

/// Reads from the file at `at`.
#[cfg(unix)]
fn from(file: &File, at: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, at)
}

/// Reads from the file at `at`.
#[cfg(windows)]
fn from(file: &File, at: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, at)
}

/// Fills `buf` with the zeros of a hole that `at` lies in, without a page of it in the system's cache;
/// returns how many there are, 0 outside a hole and where the system does not tell.
#[cfg(unix)]
fn zeros(file: &File, at: u64, buf: &mut [u8]) -> usize {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    let end = match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        // No data from here on: the hole lasts to the file's end, if that still lies behind.
        Err(Errno::NXIO) => file.metadata().map_or(0, |meta| meta.len()),
        Err(_) => return 0,
    };
    let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    let hole = buf.len().min(len);
    buf.get_mut(..hole).unwrap_or_default().fill(0);
    hole
}

/// Nothing is known of holes.
#[cfg(not(unix))]
fn zeros(_: &File, _: u64, _: &mut [u8]) -> usize {
    0
}

/// Why guest memory at `offset` could not be read.
pub(crate) fn cause(error: &io::Error, offset: u64) -> Cause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::FileShort { offset },
        _ => Cause::ReadFailed { offset },
    }
}

impl Window {
    /// The size of the next window, which starts at `at`.
    fn next(&self, at: u64) -> usize {
        let held = self.bytes.len();
        let ended = self.at.saturating_add(held as u64);
        if held == 0 {
            WINDOW
        } else if self.used < held / USED {
            SMALL.max(held / 2)
        } else if at.checked_sub(ended).is_some_and(|gap| gap <= held as u64) {
            held.saturating_mul(2).min(LARGE)
        } else {
            held.min(WINDOW)
        }
    }

    /// Copies the bytes at `at` of the file into `buf` when the window has them all.
    fn copy(&mut self, at: u64, buf: &mut [u8]) -> Option<()> {
        let from = usize::try_from(at.checked_sub(self.at)?).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(buf.len())?)?;
        buf.copy_from_slice(bytes);
        self.used = self.used.saturating_add(buf.len());
        Some(())
    }
}

/// Reads a file from front to back. A place that cannot be read is noted, and an error.
pub(crate) struct Reader {
    data: Data,
    /// The offset of the first of `bytes`.
    at: u64,
    bytes: Vec<u8>,
    /// How many of `bytes` have been given out.
    used: usize,
}

impl Reader {
    /// The offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.at.saturating_add(self.used as u64)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.bytes.len() {
            self.at = self.offset();
            self.used = 0;
            let left = self.data.len().saturating_sub(self.at);
            let len = usize::try_from(left).unwrap_or(STEP).min(STEP);
            self.bytes.resize(len, 0);
            let read = self.data.go_on();
            let read = read.and_then(|()| self.data.read_some(self.at, &mut self.bytes));
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            let failed = match read {
                Ok(0) if len > 0 => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => return Ok(&self.bytes),
                Err(error) => error,
            };
            let kind = failed.kind();
            self.data.note(self.at, failed);
            return Err(kind.into());
        }
        Ok(self.bytes.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.used = self.used.saturating_add(amount).min(self.bytes.len());
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let n = sweep::copy(held, buf);
        self.consume(n);
        Ok(n)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.offset().checked_add_signed(by),
            SeekFrom::End(by) => self.data.len().checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        match at.checked_sub(self.at).map(usize::try_from) {
            Some(Ok(used)) if used <= self.bytes.len() => self.used = used,
            _ => {
                self.bytes.clear();
                (self.at, self.used) = (at, 0);
            }
        }
        Ok(at)
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::disallowed_methods,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    use super::*;

    /// A hole reads as zeros, up to the byte where data begins, and nothing lies behind the file's end.
    #[test]
    fn holes_are_zeros_and_end_where_data_does() {
        const MIB: u64 = 1 << 20;
        let path = std::env::temp_dir().join(format!("osier-holes-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        let words: Vec<u8> = (0..MIB / 4).map(|at| (at % 251) as u8 + 1).collect();
        file.set_len(8 * MIB).unwrap();
        file.write_all_at(&words, 2 * MIB + 4096 * 3).unwrap();
        file.write_all_at(b"last", 5 * MIB).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let data = Data::open(&path).unwrap();
        let reading = || {
            for start in [
                0,
                1,
                MIB,
                2 * MIB - 7,
                2 * MIB + 4096 * 3 + 5,
                5 * MIB,
                6 * MIB,
            ] {
                for len in [4096, HOLE as u64, MIB, 3 * MIB, 8 * MIB] {
                    let mut got = vec![0xaa; len as usize];
                    let n = data.read_some(start, &mut got).unwrap();
                    let left = (data.len() - start).min(len) as usize;
                    let held = (file.metadata().unwrap().len().saturating_sub(start)).min(len);
                    assert_eq!(n, left.min(held as usize), "{len} at {start}");
                    assert!(got[..n] == whole[start as usize..][..n], "{len} at {start}");
                }
            }
        };
        // Else the file system keeps no holes, and nothing is tested.
        assert!(file.metadata().unwrap().blocks() * 512 < 4 * MIB);
        reading();
        file.set_len(6 * MIB + 11).unwrap();
        reading();
        std::fs::remove_file(&path).unwrap();
    }

    /// Bytes of a file that is read whole are its own: none of the larger one that had the room before.
    #[test]
    fn a_file_that_is_read_whole_ends_where_it_does() {
        let path = std::env::temp_dir().join(format!("osier-whole-{}", std::process::id()));
        let options = OpenOptions {
            reading: Reading::Whole,
            ..OpenOptions::default()
        };
        let opened = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Data::open_for(&path, &options).unwrap()
        };
        let large = opened(&vec![0xaa; 3 << 20]);
        let room = large.page(0).unwrap().as_ptr();
        drop(large);
        let words: Vec<u8> = (0..PAGE_BYTES * 5 / 2).map(|at| (at % 251) as u8).collect();
        let data = opened(&words);
        assert_eq!(data.page(0).unwrap().as_ptr(), room);
        assert_eq!(data.here().unwrap(), words);
        assert_eq!(*data.page(4096).unwrap(), words[4096..8192]);
        assert!(data.page(8192).is_none() && data.page(u64::MAX - 4095).is_none());
        let part = data.part(100, 5000).unwrap();
        assert_eq!(*part.page(100).unwrap(), words[200..4296]);
        assert!(part.page(1000).is_none());
        let mut buf = [0; 4096];
        assert_eq!(data.read_some(8192, &mut buf).unwrap(), 2048);
        assert_eq!(buf[..2048], words[8192..]);
        assert!(data.peek(8192, &mut buf).is_none());
        assert!(data.peek(4096, &mut buf).is_some() && buf == words[4096..8192]);
        // Another that is open has room of its own, and nothing is read of a file once it is.
        let other = opened(&[7; 10]);
        assert_eq!(data.here().unwrap(), words);
        assert_eq!(other.here().unwrap(), [7; 10]);
        drop((data, part, other));
        // One that is too large is read as it is asked for.
        let file = File::create(&path).unwrap();
        file.set_len((16 << 20) + 1).unwrap();
        let data = Data::open_for(&path, &options).unwrap();
        assert!(data.here().is_none() && data.page(0).is_none());
        std::fs::remove_file(&path).unwrap();
    }
}
