//! The map of a file: the one place with unsafe code.

#![allow(
    unsafe_code,
    reason = "mapping a file is the operating system's promise, not Rust's"
)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// A file, mapped for reading.
///
/// A snapshot must not be changed while it is read. If somebody truncates it, a read of the lost
/// part ends the process with a bus error, as it does for every program that maps files.
pub(crate) struct FileMap {
    file: File,
    map: Option<Mmap>,
}

impl FileMap {
    /// Maps `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes == 0 {
            return Ok(Self { file, map: None });
        }
        // SAFETY: the map is read-only and private to this process. The one hazard is another
        // process that changes the file under it; the type's documentation says so.
        let map = unsafe { MmapOptions::new().map(&file)? };
        #[cfg(unix)]
        {
            // Pages are read here and there: reading ahead would only fill memory.
            let _ = map.advise(memmap2::Advice::Random);
        }
        Ok(Self {
            file,
            map: Some(map),
        })
    }

    /// Fills `buf` from file offset `offset` without touching the map, so that a pass over the
    /// whole file leaves no trace in this process's memory. Returns the bytes read.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileExt;
            let mut done = 0_usize;
            while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match self.file.read_at(rest, offset.saturating_add(done as u64)) {
                    Ok(0) => break,
                    Ok(n) => done = done.saturating_add(n),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(done)
        }
        #[cfg(not(unix))]
        {
            let _ = &self.file;
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(self.len());
            let rest = self.get(start..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            if let (Some(into), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
                into.copy_from_slice(from);
            }
            Ok(n)
        }
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}
