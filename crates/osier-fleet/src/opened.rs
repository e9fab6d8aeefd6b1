//! Snapshots between the passes. One that had to be unpacked stays open, so that it is unpacked once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use osier::{Error, Options, Reading, Snapshot, open_snapshot};

use crate::deadline::Deadline;

/// The most bytes of scratch files that wait for the next pass, and the part of the free space.
const MOST: u64 = 8 << 30;
const PART: u64 = 4;

/// A snapshot, and the time that may be spent on it.
pub(crate) struct Opened {
    pub(crate) snapshot: Snapshot,
    pub(crate) deadline: Deadline,
}

impl Opened {
    /// Opens the file at `path`, within the deadline.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or not in time.
    pub(crate) fn open(path: &Path, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        let snapshot = open_snapshot(path, &deadline.bound_opening(options))?;
        Ok(Self { snapshot, deadline })
    }

    /// What `find` finds in it, whose search ends when the time is over.
    pub(crate) fn search<T>(&mut self, find: impl FnOnce(&Snapshot) -> T) -> T {
        let memory = self.snapshot.machine.memory.clone();
        self.snapshot.machine.memory = self.deadline.bound(memory.clone());
        let found = find(&self.snapshot);
        self.snapshot.machine.memory = memory;
        found
    }
}

/// Snapshots that wait for the next pass.
pub(crate) struct Waiting {
    /// How that one opens what does not wait.
    options: Options,
    shelf: Mutex<Shelf>,
}

struct Shelf {
    held: HashMap<PathBuf, Opened>,
    /// Bytes of scratch files that may still be taken.
    room: u64,
}

impl Waiting {
    /// None yet; `options` says how snapshots are opened, and where scratch files lie. Nearly all of a small one
    /// is looked at, so that it is read at once.
    pub(crate) fn new(options: &Options) -> Self {
        let system = std::env::temp_dir();
        let folder = options.cache.as_deref().filter(|folder| folder.is_dir());
        let free = fs4::available_space(folder.unwrap_or(&system)).unwrap_or(0);
        let mut options = options.clone();
        if options.reading == Reading::Copy {
            options.reading = Reading::Whole;
        }
        Self {
            options,
            shelf: Mutex::new(Shelf {
                held: HashMap::new(),
                room: MOST.min(free / PART),
            }),
        }
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `opened` for the next pass when it was unpacked and there is room for what it was unpacked to.
    pub(crate) fn keep(&self, path: &Path, opened: Opened) {
        let bytes = opened.snapshot.info.scratch_bytes;
        let mut shelf = self.shelf();
        if let Some(room) = shelf.room.checked_sub(bytes).filter(|_| bytes > 0) {
            shelf.room = room;
            shelf.held.insert(path.to_owned(), opened);
        }
    }

    /// The snapshot at `path` with a time limit that begins now: the one that waits, or opened.
    ///
    /// # Errors
    ///
    /// As [`Opened::open`].
    pub(crate) fn take(&self, path: &Path, deadline: Deadline) -> Result<Opened, Error> {
        let mut shelf = self.shelf();
        let Some(opened) = shelf.held.remove(path) else {
            drop(shelf);
            return Opened::open(path, &self.options, deadline);
        };
        let bytes = opened.snapshot.info.scratch_bytes;
        shelf.room = shelf.room.saturating_add(bytes);
        opened.deadline.begin();
        Ok(opened)
    }
}
