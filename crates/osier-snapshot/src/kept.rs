//! Files kept in the cache folder beside no snapshot: what a pass over one found out, tied to the
//! snapshot's file as it stands now.
//!
//! A kept file starts with eight bytes of magic (the last is the version of what follows), then the
//! words of the snapshot file's [`Identity`], eight
//! bytes each, little-endian. Then comes what is kept, and its CRC-32, eight bytes again. One that does
//! not fit, or whose bytes are not what the CRC-32 stands for, is ignored and written again; it is
//! written under a temporary name and renamed.
//!
//! Kept files have a bound: with each that is written the oldest go, until the folder holds no more
//! than [`MAX_FILES`] of them and [`MAX_BYTES`].

use std::fs;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::data::Data;
use crate::identity::Identity;
use crate::scratch;

/// Bytes before what is kept: the magic and six words of identity. A multiple of eight.
const HEADER: usize = 56;
/// Bytes behind it.
const TRAILER: usize = 8;
/// What a kept file's name may end with.
const EXTENSIONS: [&str; 4] = ["osx", "ogz", "ol4", "opg"];
/// The most kept files in a folder.
const MAX_FILES: usize = 4096;
/// The most bytes of kept files in a folder.
const MAX_BYTES: u64 = 4 << 30;
/// A temporary file older than this was left by a process that was killed.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// The place of a kept file, and what ties it to its snapshot.
#[derive(Clone)]
pub(crate) struct Kept {
    file: PathBuf,
    snapshot: Data,
    identity: Identity,
}

impl Kept {
    /// The place `NAME-HASH.EXTENSION` in `dir` for the snapshot at `path`, whose bytes are `data`; `None`
    /// when the file does not tell when it was written.
    pub(crate) fn of(dir: &Path, path: &Path, data: &Data, extension: &str) -> Option<Self> {
        let whole = std::path::absolute(path).ok()?;
        let hash = crc32fast::hash(whole.as_os_str().as_encoded_bytes());
        let mut name = path.file_name()?.to_owned();
        name.push(format!("-{hash:08x}.{extension}"));
        Some(Self {
            file: dir.join(name),
            snapshot: data.clone(),
            identity: Identity::of_data(data).ok()?,
        })
    }

    /// The place of what is kept of the same snapshot under another extension.
    pub(crate) fn beside(&self, extension: &str) -> Self {
        Self {
            file: self.file.with_extension(extension),
            ..self.clone()
        }
    }

    /// Whether something is kept there, of this file or of one that it was before.
    pub(crate) fn is_there(&self) -> bool {
        self.file.exists()
    }

    /// What is kept, when it is there, whole, and belongs to the snapshot. All of it is read, and
    /// summed as it was read: what is used is what was checked.
    pub(crate) fn load(&self, magic: [u8; 8]) -> Option<Vec<u8>> {
        let (kept, sum) = self.found(magic)?;
        let mut bytes = vec![0; usize::try_from(kept.len()).ok()?];
        kept.read_at(0, &mut bytes).ok()?;
        (crc32fast::hash(&bytes) == sum).then_some(bytes)
    }

    /// As [`load`](Self::load), to be read again where it lies, for what has checksums of its own.
    pub(crate) fn open(&self, magic: [u8; 8]) -> Option<Data> {
        let (kept, sum) = self.found(magic)?;
        let mut crc = crc32fast::Hasher::new();
        let mut rest = kept.reader(0);
        loop {
            let bytes = rest.fill_buf().ok()?;
            let len = bytes.len();
            if len == 0 {
                break;
            }
            crc.update(bytes);
            rest.consume(len);
        }
        (crc.finalize() == sum).then_some(kept)
    }

    /// As [`open`](Self::open), for what is read in parts that have checksums of their own: none is compared here.
    pub(crate) fn open_parts(&self, magic: [u8; 8]) -> Option<Data> {
        Some(self.found(magic)?.0)
    }

    /// A number that tells the snapshot's file, as it stands, from others.
    pub(crate) fn version(&self) -> u64 {
        let words = self.identity.words();
        words
            .into_iter()
            .fold(0, |sum: u64, word| sum.rotate_left(7).wrapping_add(word))
    }

    /// What is kept of the snapshot, and the CRC-32 that it should have.
    fn found(&self, magic: [u8; 8]) -> Option<(Data, u32)> {
        let data = Data::open(&self.file).ok()?;
        if *data.look().get(0, HEADER)? != self.header(magic) {
            return None;
        }
        let len = data.len().checked_sub((HEADER + TRAILER) as u64)?;
        let end = usize::try_from(len).ok()?.checked_add(HEADER)?;
        let sum = u64::from_le_bytes(data.look().array(end)?);
        let kept = data.part(HEADER as u64, len)?;
        Some((kept, u32::try_from(sum).ok()?))
    }

    /// Writes what `body` writes, and makes room for it among what was kept before.
    ///
    /// # Errors
    ///
    /// The system's; or the snapshot was written to since it was opened, and what was found out may be
    /// of neither state. Nothing is then left behind.
    pub(crate) fn save(
        &self,
        magic: [u8; 8],
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        if Identity::of_data(&self.snapshot)? != self.identity {
            return Err(io::Error::other("the snapshot was written to meanwhile"));
        }
        let dir = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let (temporary, file) = scratch::create(dir, "index")?;
        let write = || -> io::Result<()> {
            let mut file = Summed {
                inner: BufWriter::with_capacity(1 << 16, file),
                crc: crc32fast::Hasher::new(),
            };
            file.inner.write_all(&self.header(magic))?;
            body(&mut file)?;
            let Summed { mut inner, crc } = file;
            inner.write_all(&u64::from(crc.finalize()).to_le_bytes())?;
            inner.flush()?;
            drop(inner);
            fs::rename(&temporary, &self.file)
        };
        write().inspect_err(|_| {
            let removed = fs::remove_file(&temporary);
            drop(removed); // the first error is the one to report
        })?;
        prune(dir, &self.file, MAX_FILES, MAX_BYTES);
        Ok(())
    }

    fn header(&self, magic: [u8; 8]) -> Vec<u8> {
        let words = self.identity.words().into_iter().flat_map(u64::to_le_bytes);
        magic.iter().copied().chain(words).collect()
    }
}

/// Writes, and sums what it writes.
struct Summed<W> {
    inner: W,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.crc.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Removes the oldest kept files of `dir` but `new` while there are more than `files`, or they have
/// more than `bytes`; and temporary files that nobody writes any more. What cannot be listed or
/// removed stays.
fn prune(dir: &Path, new: &Path, files: usize, bytes: u64) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut kept = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let extension = path.extension().unwrap_or_default();
        if EXTENSIONS.iter().any(|known| extension == *known) {
            kept.push((path != new, modified, metadata.len(), path));
        } else if name.starts_with(b"osier-index-") && name.ends_with(b".tmp") {
            let age = SystemTime::now().duration_since(modified);
            if age.is_ok_and(|age| age > LEFT) {
                let _ = fs::remove_file(path);
            }
        }
    }
    // The new one first, then from the youngest to the oldest.
    kept.sort_by(|a, b| (a.0, b.1, &a.3).cmp(&(b.0, a.1, &b.3)));
    let mut sum = 0_u64;
    for (place, (old, _, len, path)) in kept.into_iter().enumerate() {
        sum = sum.saturating_add(len);
        if old && (place >= files || sum > bytes) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("osier-kept-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_kept_is_believed_whole_or_not_at_all() {
        let dir = folder("whole");
        let snapshot = dir.join("memory.raw");
        fs::write(&snapshot, [7; 8192]).unwrap();
        let data = Data::open(&snapshot).unwrap();
        let kept = Kept::of(&dir, &snapshot, &data, "osx").unwrap();
        let magic = *b"OSIERTS\x01";
        kept.save(magic, |out| out.write_all(&[3; 100])).unwrap();
        assert_eq!(kept.load(magic).unwrap(), [3; 100]);
        let good = fs::read(&kept.file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&kept.file, &bad).unwrap();
            assert!(kept.load(magic).is_none(), "byte {at}");
            fs::write(&kept.file, &good[..at]).unwrap();
            assert!(kept.load(magic).is_none(), "cut at {at}");
        }
        fs::write(&kept.file, &good).unwrap();
        assert!(kept.load(magic).is_some());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let dir = folder("prune");
        let names = ["a.osx", "b.ogz", "c.ol4", "d.osx", "not-ours.txt"];
        for (age, name) in names.iter().rev().enumerate() {
            fs::write(dir.join(name), [0; 10]).unwrap();
            let file = fs::File::options()
                .write(true)
                .open(dir.join(name))
                .unwrap();
            let time = SystemTime::now() - Duration::from_secs(1000 * (1 + age as u64));
            file.set_modified(time).unwrap();
        }
        let left = || {
            let entries = fs::read_dir(&dir).unwrap().flatten();
            let mut names: Vec<_> = entries
                .map(|e| e.file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        // The new one stays whatever its age.
        prune(&dir, &dir.join("d.osx"), 3, u64::MAX);
        assert_eq!(left(), ["b.ogz", "c.ol4", "d.osx", "not-ours.txt"]);
        prune(&dir, &dir.join("d.osx"), 3, 29);
        assert_eq!(left(), ["c.ol4", "d.osx", "not-ours.txt"]);
        let temporary = dir.join("osier-index-1-2.tmp");
        fs::write(&temporary, "").unwrap();
        prune(&dir, &dir.join("d.osx"), 3, 29);
        assert!(temporary.exists());
        let file = fs::File::options().write(true).open(&temporary).unwrap();
        file.set_modified(SystemTime::now() - 2 * LEFT).unwrap();
        prune(&dir, &dir.join("d.osx"), 3, 29);
        assert!(!temporary.exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
