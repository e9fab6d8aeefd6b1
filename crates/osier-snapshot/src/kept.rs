//! Files kept in the cache folder beside no snapshot: what a pass over one found out, tied to the
//! snapshot's file as it stands now.
//!
//! A kept file starts with eight bytes of magic (the last is the version of what follows), then the
//! snapshot file's length, modification time (ns), inode, and a CRC-32 over sampled pages, eight
//! bytes each, little-endian. One that does not fit is ignored and written anew; it is written
//! under a temporary name and renamed.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use osier_memory::PAGE_BYTES;

use crate::map::Map;
use crate::scratch;

/// Bytes before what a kept file holds: the magic and four words of identity.
pub(crate) const HEADER: usize = 40;
/// Pages sampled before the last.
const STEPS: u64 = 15;

/// The place of a kept file, and what ties it to its snapshot.
pub(crate) struct Kept {
    file: PathBuf,
    identity: [u64; 4],
}

impl Kept {
    /// The place `NAME-HASH.EXTENSION` in `dir` for the snapshot at `path`, mapped as `map`; `None`
    /// when the file does not tell when it was written.
    pub(crate) fn of(dir: &Path, path: &Path, map: &Map, extension: &str) -> Option<Self> {
        let metadata = map.file().metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        let identity = [
            map.len(),
            u64::try_from(modified.as_nanos()).ok()?,
            inode,
            u64::from(sample(map)?),
        ];
        let whole = std::path::absolute(path).ok()?;
        let hash = crc32fast::hash(whole.as_os_str().as_encoded_bytes());
        let mut name = path.file_name()?.to_owned();
        name.push(format!("-{hash:08x}.{extension}"));
        Some(Self {
            file: dir.join(name),
            identity,
        })
    }

    /// The kept file, header included, when it is there and belongs to the snapshot.
    pub(crate) fn load(&self, magic: [u8; 8]) -> Option<Map> {
        let map = Map::open(&self.file).ok()?;
        let header = map.bytes().get(..HEADER)?;
        (header == self.header(magic)).then_some(map)
    }

    /// Writes the kept file: the header, then what `body` writes.
    ///
    /// # Errors
    ///
    /// The system's; nothing is then left behind.
    pub(crate) fn save(
        &self,
        magic: [u8; 8],
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let dir = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let (temporary, file) = scratch::create(dir, "index")?;
        let write = || -> io::Result<()> {
            let mut file = BufWriter::with_capacity(1 << 16, file);
            file.write_all(&self.header(magic))?;
            body(&mut file)?;
            file.flush()?;
            drop(file);
            fs::rename(&temporary, &self.file)
        };
        write().inspect_err(|_| {
            let removed = fs::remove_file(&temporary);
            drop(removed); // the first error is the one to report
        })
    }

    fn header(&self, magic: [u8; 8]) -> Vec<u8> {
        let words = self.identity.iter().flat_map(|word| word.to_le_bytes());
        magic.iter().copied().chain(words).collect()
    }
}

/// A CRC-32 over the first and last page and some between.
fn sample(map: &Map) -> Option<u32> {
    let last = map.len().saturating_sub(PAGE_BYTES);
    let mut crc = crc32fast::Hasher::new();
    let mut page = [0; PAGE_BYTES as usize];
    let len = usize::try_from(map.len().min(PAGE_BYTES)).ok()?;
    let page = page.get_mut(..len)?;
    for step in 0..STEPS {
        let offset = (last / STEPS).saturating_mul(step);
        map.read_at(offset, page).ok()?;
        crc.update(page);
    }
    map.read_at(last, page).ok()?;
    crc.update(page);
    Some(crc.finalize())
}
