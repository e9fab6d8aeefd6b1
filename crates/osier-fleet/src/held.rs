//! The folder of a run, held so that no other run writes into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use crate::RunError;

/// A folder that is held. The lock lies on the folder itself: it goes with the process, however that
/// ends, and leaves no file behind. The parts of a run share their folder, and each holds the one
/// that it works in.
pub(crate) struct Held {
    /// Held until the end; empty where folders cannot be locked.
    locks: Vec<File>,
    /// What to remove when nothing came of the run, the outermost first.
    made: Vec<PathBuf>,
}

impl Held {
    /// Makes the folder when it is not there, and holds it; of a part, holds the folder `work` in it and
    /// only shares it.
    pub(crate) fn of(folder: &Path, work: Option<&Path>) -> Result<Self, RunError> {
        let mut held = Self {
            locks: Vec::new(),
            made: Vec::new(),
        };
        held.take(folder, work.is_some())?;
        if let Some(work) = work {
            held.take(work, false)?;
        }
        Ok(held)
    }

    fn take(&mut self, folder: &Path, shared: bool) -> Result<(), RunError> {
        let failed = |source| RunError::Begin {
            path: folder.to_owned(),
            source,
        };
        if folder.exists() && !folder.is_dir() {
            return Err(failed(std::io::ErrorKind::NotADirectory.into()));
        }
        if !folder.exists() {
            self.made.push(folder.to_owned());
        }
        fs::create_dir_all(folder).map_err(failed)?;
        // Some systems open no folder, and some file systems know no locks: there nobody is kept out.
        let Ok(file) = File::open(folder) else {
            return Ok(());
        };
        let locked = if shared {
            FileExt::try_lock_shared(&file)
        } else {
            FileExt::try_lock(&file)
        };
        match locked {
            Ok(()) => self.locks.push(file),
            Err(TryLockError::WouldBlock) => return Err(RunError::Busy(folder.to_owned())),
            Err(TryLockError::Error(_)) => {}
        }
        // Whoever held it may have removed it as the last thing it did.
        fs::create_dir_all(folder).map_err(failed)
    }

    /// Something came of the run: the folder stays.
    pub(crate) fn keep(&mut self) {
        self.made.clear();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for made in self.made.iter().rev() {
            // One that is not empty stays.
            let _ = fs::remove_dir(made);
        }
    }
}
