//! The folder of a run, held so that no other run writes into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use crate::RunError;

/// A folder that is held. The lock lies on the folder itself: it goes with the process, however that
/// ends, and leaves no file behind.
pub(crate) struct Held {
    /// `None` where folders cannot be locked.
    _lock: Option<File>,
    /// What to remove when nothing came of the run.
    made: Option<PathBuf>,
}

impl Held {
    /// Makes the folder when it is not there, and holds it.
    pub(crate) fn of(folder: &Path) -> Result<Self, RunError> {
        let made = (!folder.exists()).then(|| folder.to_owned());
        let failed = |source| RunError::Begin {
            path: folder.to_owned(),
            source,
        };
        if folder.is_file() {
            return Err(failed(std::io::ErrorKind::NotADirectory.into()));
        }
        fs::create_dir_all(folder).map_err(failed)?;
        // Some systems open no folder, and some file systems know no locks: there nobody is kept out.
        let lock = match File::open(folder) {
            Ok(file) => match FileExt::try_lock(&file) {
                Ok(()) => Some(file),
                Err(TryLockError::WouldBlock) => return Err(RunError::Busy(folder.to_owned())),
                Err(TryLockError::Error(_)) => None,
            },
            Err(_) => None,
        };
        Ok(Self { _lock: lock, made })
    }

    /// Something came of the run: the folder stays.
    pub(crate) fn keep(&mut self) {
        self.made = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            // One that is not empty stays.
            let _ = fs::remove_dir(made);
        }
    }
}
