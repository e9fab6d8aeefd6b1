//! Files for a short time: created under a name that nobody has, gone when they are not needed.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Creates a new file in `dir`, for reading and writing, under a name of its own.
pub(crate) fn create(dir: &Path, what: &str) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("osier-{what}-{}-{number}.tmp", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok((path, opened?)),
        }
    }
}

/// A file that goes with its value.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Creates one in `dir`. On Unix its name is gone at once and the open file lives on.
    pub(crate) fn create(dir: &Path) -> io::Result<(Self, File)> {
        std::fs::create_dir_all(dir)?;
        let (path, file) = create(dir, "unpacked")?;
        let scratch = Self { path };
        if cfg!(unix) {
            scratch.remove();
        }
        Ok((scratch, file))
    }

    fn remove(&self) {
        let removed = std::fs::remove_file(&self.path);
        drop(removed); // gone already, or left to the system
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !cfg!(unix) {
            self.remove();
        }
    }
}
