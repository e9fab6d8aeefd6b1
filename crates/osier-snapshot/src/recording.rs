//! The loose files of a PANDA recording: what they are called, and how long the recording is.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What the snapshot's name ends with.
pub(crate) const SNAPSHOT: &str = "-rr-snp";
/// What the log's name ends with.
pub(crate) const LOG: &str = "-rr-nondet.log";

/// The number of guest instructions of the recording, from the log beside the snapshot.
pub(crate) fn instructions(snapshot: &Path) -> Option<u64> {
    let name = snapshot.file_name()?.to_str()?.strip_suffix(SNAPSHOT)?;
    let log = snapshot.with_file_name(format!("{name}{LOG}"));
    count(File::open(log).ok()?)
}

/// The number of instructions that a log begins with.
pub(crate) fn count(mut log: impl Read) -> Option<u64> {
    let mut count = [0; 8];
    log.read_exact(&mut count).ok()?;
    Some(u64::from_le_bytes(count))
}
