//! What opening starts from and what it gives: options, and a snapshot.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::{Cause, Fault, Machine, PhysRun};

use crate::anomaly::Anomaly;
use crate::distant::{Distant, Reach};
use crate::format::Format;
use crate::map::Reading;
use crate::progress::Progress;

/// Pages of a process list, and the tables that lead to them.
const LEAST_CACHE: u64 = 1 << 20;

/// The fact that names a wrapping of the file.
pub(crate) const WRAPPED: &str = "wrapped in";

/// How to open a snapshot.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The processors' registers as text, beside a dump that has none: `memsavep`'s register file,
    /// or QEMU's `info registers -a`. It replaces what the dump itself holds.
    pub registers: Option<PathBuf>,
    /// How many bytes of RAM lie below 4 GiB; the rest goes on at 4 GiB. For a raw file that is a
    /// bare RAM block, and for streams whose machine was run with `max-ram-below-4g`. `None`: a
    /// raw file's offsets are guest-physical, a stream's machine type decides.
    pub ram_split: Option<u64>,
    /// Which internal snapshot of a disk image to open, by its identifier or name. `None`: the only
    /// one that holds a machine.
    pub internal: Option<String>,
    /// Where indexes of streams are kept between runs, and where archives are unpacked. `None`: no
    /// index is kept, archives are unpacked into the system's folder for temporary files.
    pub index_dir: Option<PathBuf>,
    /// The most bytes that an archive or a compressed snapshot may unpack to.
    pub scratch_limit: u64,
    /// The other files of a dump that was written into several; empty: they are looked for beside
    /// the one that is opened.
    pub parts: Vec<PathBuf>,
    /// The most bytes of decoded pages that a compressed format keeps in memory; 1 MiB when less is said,
    /// for with none every read would decode its page again.
    pub cache_bytes: u64,
    /// How guest memory comes out of a file that holds it as it lay in the machine.
    pub reading: Reading,
    /// Whom to tell how far a long step of opening has got.
    pub progress: Progress,
    /// How a snapshot is reached that is no file. `None`: every name is a file's.
    pub reach: Option<Arc<dyn Reach>>,
}

impl OpenOptions {
    /// [`cache_bytes`](Self::cache_bytes), and not less than what is of use.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.cache_bytes.max(LEAST_CACHE)
    }

    /// What `name` names where that is no file.
    pub(crate) fn distant(&self, name: &Path) -> Option<io::Result<Arc<dyn Distant>>> {
        self.reach.as_ref()?.open(name)
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            registers: None,
            ram_split: None,
            internal: None,
            index_dir: None,
            scratch_limit: 64 << 30,
            parts: Vec::new(),
            cache_bytes: 64 << 20,
            reading: Reading::default(),
            progress: Progress::default(),
            reach: None,
        }
    }
}

/// An opened snapshot. A clone has the same memory.
#[derive(Clone)]
pub struct Snapshot {
    /// The machine: memory, processors, hints.
    pub machine: Machine,
    /// What the file says of itself.
    pub info: SnapshotInfo,
}

/// What a snapshot's file says of itself.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// The container's format.
    pub format: Format,
    /// The file that holds memory (for a recording's base name or folder: the stream in it).
    pub file: PathBuf,
    /// The length of that file in bytes.
    pub file_bytes: u64,
    /// The length in bytes of what it was unpacked to, which takes room on a disk until the snapshot is
    /// dropped; 0 for a file that is read where it lies.
    pub scratch_bytes: u64,
    /// Every header fact worth showing, as name and value, in the order of the file.
    pub facts: Vec<(&'static str, String)>,
    /// Oddities that were survived: repeated pages, trailing bytes, a file cut short, …; each says
    /// what it can do to an answer.
    pub anomalies: Vec<Anomaly>,
    /// The machine's main RAM block in block order, as guest-physical stretches; empty when the
    /// format does not tell RAM from other memory.
    pub ram: Vec<PhysRun>,
}

impl SnapshotInfo {
    /// What the file at `path`, of so many bytes and read where it lies, says of itself.
    pub(crate) fn new(
        format: Format,
        path: &Path,
        file_bytes: u64,
        facts: Vec<(&'static str, String)>,
        anomalies: Vec<Anomaly>,
    ) -> Self {
        Self {
            format,
            file: path.to_owned(),
            file_bytes,
            scratch_bytes: 0,
            facts,
            anomalies,
            ram: Vec::new(),
        }
    }

    /// The anomalies that an answer may suffer from.
    pub fn doubts(&self) -> impl Iterator<Item = &Anomaly> {
        self.anomalies.iter().filter(|anomaly| anomaly.is_loss())
    }

    /// Whether the file is a compressed one. Pages that are read of it are kept in the cache folder when the last of
    /// the snapshot is dropped, so that the next opening need not unpack it.
    pub fn is_compressed(&self) -> bool {
        self.facts.iter().any(|(name, _)| *name == WRAPPED)
    }
}

impl Snapshot {
    /// The zlib CRC-32 over the main RAM block in block order: what PANDA prints as "Checksum of
    /// guest memory". `None` when the format does not tell which memory is that block.
    ///
    /// # Errors
    ///
    /// The fault of the first byte of the block that the file does not hold.
    pub fn ram_crc32(&self) -> Result<Option<u32>, Fault> {
        if self.info.ram.is_empty() {
            return Ok(None);
        }
        let memory = &self.machine.memory;
        let mut crc = crc32fast::Hasher::new();
        for run in &self.info.ram {
            let mut next = run.start;
            let gap = memory.sweep(*run, 1 << 20, &mut |pa, bytes| {
                if pa != next {
                    return ControlFlow::Break(());
                }
                crc.update(bytes);
                next = pa.plus(bytes.len() as u64);
                ControlFlow::Continue(())
            });
            if gap.is_break() || next != run.end() {
                let fault = memory.chunk(next).err();
                return Err(fault.unwrap_or(Fault::at_phys(Cause::NotCaptured, next)));
            }
        }
        Ok(Some(crc.finalize()))
    }
}
