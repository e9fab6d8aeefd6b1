//! Where a dump is written: from front to back, with holes where the file can have them.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use osier_file::Output;

use super::DumpError;

/// Bytes that are kept before they are written.
const ROOM: usize = 1 << 20;

/// A file that is being written.
pub(super) struct Sink<'a> {
    output: Output,
    path: &'a Path,
    waiting: Vec<u8>,
    at: u64,
    /// Whether what is passed over is a hole.
    sparse: bool,
}

impl<'a> Sink<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self, DumpError> {
        let output = Output::create(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            sparse: output.written().is_some(),
            output,
            path,
            waiting: Vec::with_capacity(ROOM),
            at: 0,
        })
    }

    /// How many bytes were written, holes among them.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DumpError> {
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= ROOM {
            self.flush()?;
        }
        Ok(())
    }

    /// Goes on `bytes` further, over zeros.
    pub(super) fn zeros(&mut self, bytes: u64) -> Result<(), DumpError> {
        const FEW: u64 = 1 << 16;
        if bytes > FEW && self.sparse {
            self.flush()?;
            self.at = self.at.saturating_add(bytes);
            let seek = self.output.file().seek(SeekFrom::Start(self.at));
            return seek.map(drop).map_err(|error| failed(self.path, error));
        }
        let mut left = bytes;
        while left > 0 {
            let some = left.min(FEW);
            self.write(&vec![0; some as usize])?;
            left = left.saturating_sub(some);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DumpError> {
        let written = self.output.file().write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|error| failed(self.path, error))
    }

    /// Gives the file its name.
    pub(super) fn finish(mut self) -> Result<u64, DumpError> {
        self.flush()?;
        let (path, at) = (self.path, self.at);
        let end = || {
            if self.sparse {
                self.output.file().set_len(at)?;
            }
            self.output.finish()
        };
        let length = end().map_err(|error| failed(path, error))?;
        Ok(length.max(at))
    }
}

fn failed(file: &Path, source: io::Error) -> DumpError {
    DumpError::Write {
        file: file.to_owned(),
        source,
    }
}
