//! Files for a short time: created under a name that nobody has, gone when they are not needed.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{OpenError, io_error};
use crate::map::Map;

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

/// A map of a new file that `fill` writes, in the folder that the options name; the file goes with
/// the map.
///
/// # Errors
///
/// The folder cannot hold it.
pub(crate) fn filled<T>(
    options: &crate::OpenOptions,
    fill: impl FnOnce(&mut File) -> io::Result<T>,
) -> Result<(Map, T), OpenError> {
    let system = std::env::temp_dir();
    let dir = options.index_dir.as_deref().unwrap_or(&system);
    let in_dir = || io_error(dir, "cannot hold the unpacked snapshot");
    let (held, mut file) = Scratch::create(dir).map_err(in_dir())?;
    let filled = fill(&mut file).map_err(in_dir())?;
    Ok((Map::of_scratch(file, held).map_err(in_dir())?, filled))
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
