//! Snapshots that are no files of this machine: whoever opens one may say how others are reached.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a snapshot that lies elsewhere, as they were when it was opened.
pub trait Distant: Debug + Send + Sync {
    /// Their number.
    fn bytes(&self) -> u64;

    /// Copies bytes from `offset` on into `buf`: all that fit and are there. Every read is of the version that was
    /// opened.
    ///
    /// # Errors
    ///
    /// They could not be read, or are another version's by now.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// A number that tells this version of this snapshot from every other.
    fn version(&self) -> u64;
}

/// Opens what is no file of this machine.
pub trait Reach: Debug + Send + Sync {
    /// What `name` names; `None` where it names a file. The same name gives the same version as long as this lives.
    fn open(&self, name: &Path) -> Option<io::Result<Arc<dyn Distant>>>;

    /// Names of everything below `name` that [`Self::open`] takes, sorted; `None` where it names nothing that others lie
    /// below, or what cannot be listed.
    fn list(&self, name: &Path) -> Option<io::Result<Vec<PathBuf>>> {
        let _ = name;
        None
    }
}
