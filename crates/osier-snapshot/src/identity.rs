//! What tells a file from every other, and from what it was before somebody wrote to it.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use osier_memory::PAGE_BYTES;

use crate::data::Data;
use crate::distant::Reach;
use crate::progress::Progress;

/// Pages sampled before the last.
const STEPS: u64 = 15;

/// A file as it stands, for whoever keeps what was found out about it: what is kept is of use as long
/// as the file's identity is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Length in bytes.
    bytes: u64,
    /// When its bytes were last written, in nanoseconds since 1970.
    modified: u64,
    /// When its bytes or its entry were last changed, in nanoseconds since 1970, by the system's own
    /// clock: nobody sets it. 0 where the system has no such time.
    changed: u64,
    /// The file system and the number in it; 0 where the system does not tell.
    device: u64,
    inode: u64,
    /// CRC-32 over the first page, the last, and fourteen between.
    sample: u32,
}

impl Identity {
    /// The identity of the file at `path`.
    ///
    /// # Errors
    ///
    /// The operating system's; it may not tell when files were written.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::of_data(&Data::open(path)?)
    }

    /// As [`of`](Self::of), of what `reach` may open in place of a file.
    ///
    /// # Errors
    ///
    /// Also those of opening it.
    pub fn reached(path: &Path, reach: Option<&dyn Reach>) -> io::Result<Self> {
        match reach.and_then(|reach| reach.open(path)) {
            Some(distant) => Self::of_data(&Data::of_distant(distant?, Progress::default())),
            None => Self::of(path),
        }
    }

    /// The identity of the file of `data`, as far as it goes.
    pub(crate) fn of_data(data: &Data) -> io::Result<Self> {
        let metadata = match data.origin() {
            Ok(file) => file.metadata()?,
            // Its version is told, so nothing is read.
            Err(distant) => {
                return Ok(Self {
                    bytes: data.len(),
                    modified: distant.version(),
                    changed: 0,
                    device: 0,
                    inode: 0,
                    sample: 0,
                });
            }
        };
        #[cfg(unix)]
        let (changed, device, inode) = {
            use std::os::unix::fs::MetadataExt as _;
            let seconds = metadata.ctime().cast_unsigned().wrapping_mul(1_000_000_000);
            let changed = seconds.wrapping_add(metadata.ctime_nsec().cast_unsigned());
            (changed, metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, device, inode) = (0, 0, 0);
        Ok(Self {
            bytes: data.len(),
            modified: nanoseconds(metadata.modified()?),
            changed,
            device,
            inode,
            sample: sample(data)?,
        })
    }

    /// All of it, as words.
    pub fn words(&self) -> [u64; 6] {
        let [bytes, modified, sample] = self.content();
        [
            bytes,
            modified,
            self.changed,
            self.device,
            self.inode,
            sample,
        ]
    }

    /// What a copy that keeps its time has in common with the file, as words: length, time of writing, and
    /// the sample.
    pub fn content(&self) -> [u64; 3] {
        [self.bytes, self.modified, self.sample.into()]
    }
}

/// Nanoseconds since 1970; those before it count down from 2^64.
fn nanoseconds(time: SystemTime) -> u64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as u64,
        Err(before) => (before.duration().as_nanos() as u64).wrapping_neg(),
    }
}

/// A CRC-32 over the first and last page and some between.
fn sample(data: &Data) -> io::Result<u32> {
    let last = data.len().saturating_sub(PAGE_BYTES);
    let mut crc = crc32fast::Hasher::new();
    let mut page = [0; PAGE_BYTES as usize];
    let len = data.len().min(PAGE_BYTES) as usize;
    let page = page.get_mut(..len).unwrap_or_default();
    let between = (0..STEPS).map(|step| (last / STEPS).saturating_mul(step));
    for offset in between.chain([last]) {
        data.read_at(offset, page)?;
        crc.update(page);
    }
    Ok(crc.finalize())
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn what_was_written_to_is_another_and_a_copy_has_its_content() {
        let dir = std::env::temp_dir().join(format!("osier-identity-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("memory.raw");
        let mut bytes = vec![7; 40 * PAGE_BYTES as usize];
        fs::write(&path, &bytes).unwrap();
        let time = File::open(&path).unwrap().metadata().unwrap();
        let time = time.modified().unwrap();
        let first = Identity::of(&path).unwrap();
        assert_eq!(first, Identity::of(&path).unwrap());
        let written = |path: &Path, bytes: &[u8]| {
            fs::write(path, bytes).unwrap();
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
            Identity::of(path).unwrap()
        };
        // A copy that keeps its time, beside it.
        let copy = written(&dir.join("copy.raw"), &bytes);
        assert_eq!(copy.content(), first.content());
        if cfg!(unix) {
            assert_ne!(copy, first);
        }
        // Other bytes at the same place, with the time of the first: in the last page, and in one
        // that no sample meets, which the system's own time tells.
        for (at, sampled) in [(bytes.len() - 1, true), (PAGE_BYTES as usize + 9, false)] {
            bytes[at] ^= 1;
            let other = written(&path, &bytes);
            assert_eq!(other.content() != first.content(), sampled, "{at:#x}");
            if cfg!(unix) {
                assert_ne!(other, first, "{at:#x}");
            }
            bytes[at] ^= 1;
        }
        fs::write(&path, b"").unwrap();
        assert_ne!(Identity::of(&path).unwrap().content(), first.content());
        fs::remove_dir_all(dir).unwrap();
    }
}
