//! Opening and attaching, with what is known said step by step.

use std::path::{Path, PathBuf};

use osier_memory::PhysAddr;
use osier_osi::System;
use osier_snapshot::{Progress, Reading, Snapshot};

use crate::Error;
use crate::guest::Guest;
use crate::opened::open_snapshot;
use crate::options::Options;

/// Opens the snapshot at `path` and reads its kernel, with nothing said and nothing kept: what
/// [`Open`] and [`Attach`] do by default.
///
/// ```
/// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
/// let guest = osier::open(file)?;
/// for process in guest.processes() {
///     println!("{} {}", process.pid?, String::from_utf8_lossy(&process.name?));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error`] names what is missing and the way out.
pub fn open(path: impl AsRef<Path>) -> Result<Guest, Error> {
    Guest::open(path.as_ref(), &Options::default())
}

/// How to open a snapshot, without looking for a kernel in it.
///
/// ```
/// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
/// # let dir = std::env::temp_dir().join("osier-doctest-open");
/// let snapshot = osier::Open::new().cache(&dir).reading(osier::Reading::Copy).open(file)?;
/// let guest = osier::Attach::new().os("linux-64-debian:6.1.0").to(snapshot)?;
///
/// let mut list = guest.processes();
/// let rows: Vec<osier::Process> = list.by_ref().collect();
/// if !list.ends().all_closed() {
///     eprintln!("{}", list.ends());
/// }
/// # assert!(rows.len() > 10 && list.is_complete());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Open(Options);

impl Open {
    /// Nothing is said, and nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder where indexes of compressed snapshots and of streams are kept.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.cache = Some(folder.into());
        self
    }

    /// How guest memory comes out of the file.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.0.reading = reading;
        self
    }

    /// A text file with the processors' registers, for a file that holds none.
    pub fn registers(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.registers = Some(file.into());
        self
    }

    /// Where the RAM below 4 GiB ends, for a bare `pc.ram` block.
    pub fn ram_split(mut self, at: u64) -> Self {
        self.0.ram_split = Some(at);
        self
    }

    /// Which internal snapshot of a disk image, by its identifier or name.
    pub fn internal(mut self, name: impl Into<String>) -> Self {
        self.0.internal = Some(name.into());
        self
    }

    /// Another file of a dump that was written into several; may be repeated.
    pub fn part(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.parts.push(file.into());
        self
    }

    /// The most bytes of decoded pages that are kept in memory.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.0.cache_bytes = Some(bytes);
        self
    }

    /// The most bytes that a compressed snapshot may be unpacked to.
    pub fn scratch_limit(mut self, bytes: u64) -> Self {
        self.0.scratch_limit = Some(bytes);
        self
    }

    /// Whom to tell how far a long step has got.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.0.progress = progress;
        self
    }

    /// Opens the snapshot at `path`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or has no use for something that was said.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Snapshot, Error> {
        open_snapshot(path.as_ref(), &self.0)
    }
}

/// How to find the kernel of an open snapshot, and by which symbols to read it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Attach(Options);

impl Attach {
    /// Nothing is said, and nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// The profile to use: a profile file, or any symbol file that can be imported. One that names its
    /// build must be of the snapshot's.
    pub fn profile(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.profile = Some(file.into());
        self
    }

    /// Which kernel of a `kernelinfo.conf` that is given as the profile.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.0.group = Some(name.into());
        self
    }

    /// A folder of profiles; may be repeated.
    pub fn profiles(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.profiles.push(folder.into());
        self
    }

    /// A folder with PDBs, searched when no profile describes a Windows kernel; may be repeated.
    pub fn symbols(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.symbol_folders.push(folder.into());
        self
    }

    /// The operating system: `linux`, `windows`, or a PANDA `-os` string.
    pub fn os(mut self, name: impl Into<String>) -> Self {
        self.0.os = Some(name.into());
        self
    }

    /// A system to look for besides those that Osier knows; may be repeated.
    pub fn system(mut self, system: &'static dyn System) -> Self {
        self.0.systems.push(system);
        self
    }

    /// A page-table root that maps the kernel, physical or as CR3 holds it: any process's will do.
    pub fn table_root(mut self, root: PhysAddr) -> Self {
        self.0.table_root = Some(root);
        self
    }

    /// Infers the structures of a Linux kernel that has no types of its own and no profile, from what its
    /// memory proves. What cannot be proved is absent, and every answer says that it was inferred.
    pub fn infer(mut self) -> Self {
        self.0.infer = true;
        self
    }

    /// Leaves out the profiles that ship with Osier.
    pub fn no_shipped(mut self) -> Self {
        self.0.no_shipped = true;
        self
    }

    /// The folder where profiles are kept, and where kernels were found.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.cache = Some(folder.into());
        self
    }

    /// Finds the kernel of `snapshot` and makes it ready to be asked.
    ///
    /// # Errors
    ///
    /// No kernel was found, or not the one that was named, or nothing tells its types and symbols.
    pub fn to(&self, snapshot: Snapshot) -> Result<Guest, Error> {
        Guest::attach(snapshot, &self.0)
    }
}
