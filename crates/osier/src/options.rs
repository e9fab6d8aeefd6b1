//! Options for opening a snapshot and finding its kernel.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::PhysAddr;
use osier_osi::System;
use osier_snapshot::{Progress, Reach, Reading};

/// Options for opening a snapshot and reading its kernel. The default says nothing and keeps nothing.
///
/// [`Open`](crate::Open) and [`Attach`](crate::Attach) set them one by one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folders of profiles, searched in order before the cache.
    pub profiles: Vec<PathBuf>,
    /// Folders with PDBs, searched when the store has no profile of a Windows kernel; see
    /// [`symbol_path`](crate::symbol_path).
    pub symbol_folders: Vec<PathBuf>,
    /// The profile to use: a profile file, or any symbol file that can be imported. One that names its
    /// build must be of the snapshot's.
    pub profile: Option<PathBuf>,
    /// Which kernel of a `kernelinfo.conf` that is given as the profile: the name of its group, or the
    /// release in it.
    pub group: Option<String>,
    /// The operating system: `linux`, `windows`, or a PANDA `-os` string.
    pub os: Option<String>,
    /// Systems to look for besides those that Osier knows.
    pub systems: Vec<&'static dyn System>,
    /// A page-table root that maps the kernel, physical or as CR3 holds it: any process's will do.
    pub table_root: Option<PhysAddr>,
    /// Infer the structures of a Linux kernel that has no types of its own and no profile, from what its memory
    /// proves. What cannot be proved is absent, and every answer says that it was inferred.
    pub infer: bool,
    /// Leave out the profiles that ship with Osier.
    pub no_shipped: bool,
    /// The folder where profiles and indexes are kept; `None` keeps none.
    pub cache: Option<PathBuf>,
    /// A text file with the processors' registers, beside a raw dump.
    pub registers: Option<PathBuf>,
    /// Where the RAM below 4 GiB ends, for a bare `pc.ram` block.
    pub ram_split: Option<u64>,
    /// Which internal snapshot of a disk image to open, by its identifier or name.
    pub internal: Option<String>,
    /// The other files of a dump that was written into several; empty: they are looked for beside
    /// the snapshot.
    pub parts: Vec<PathBuf>,
    /// The most bytes of decoded pages that a compressed format keeps in memory; `None` leaves it
    /// to [`OpenOptions`](osier_snapshot::OpenOptions).
    pub cache_bytes: Option<u64>,
    /// The most bytes that a compressed snapshot may be unpacked to; `None` leaves it to
    /// [`OpenOptions`](osier_snapshot::OpenOptions).
    pub scratch_limit: Option<u64>,
    /// How guest memory comes out of a file that holds it as it lay in the machine.
    pub reading: Reading,
    /// Whom to tell how far a long step of opening has got.
    pub progress: Progress,
    /// How a snapshot is reached that is no file. `None`: every name is a file's.
    pub reach: Option<Arc<dyn Reach>>,
}

impl Options {
    /// The files that the snapshot at `path` is read from by these options, as far as their names are known, itself the
    /// first: what none of them may be written over.
    pub fn files_of(&self, path: &Path) -> Vec<PathBuf> {
        let mut files = vec![path.to_owned()];
        // VMware's memory and state lie beside each other.
        files.extend(["vmem", "vmss", "vmsn"].map(|other| path.with_extension(other)));
        files.extend(self.parts.iter().cloned());
        files.extend(self.registers.clone());
        files.extend(self.profile.clone());
        files
    }
}
