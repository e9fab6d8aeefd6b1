//! The cached index of a stream, so that a second opening costs no pass.
//!
//! Layout, little-endian: magic `OSIERIX1`; the stream's size, modification time (ns), inode and a
//! CRC-32 over its first, middle and last 4 KiB; file offset after the last `ram` section; raw,
//! fill and repeated page counts; number of blocks; for each: name length, name, bytes. Then each
//! block's page places, eight bytes a page. A file that does not fit in every respect is ignored
//! and written anew.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::ram::{PAGE, Ram};
use crate::bytes::Cursor;
use crate::error::Malformed;
use crate::map::FileMap;

const MAGIC: &[u8; 8] = b"OSIERIX1";

/// What ties a cached index to its stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    bytes: u64,
    modified: u64,
    inode: u64,
    sample: u64,
}

impl Fingerprint {
    /// Takes the fingerprint of the stream at `path`.
    pub(crate) fn of(path: &Path, map: &FileMap) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let modified = meta
            .modified()
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_nanos() as u64;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        let mut hasher = crc32fast::Hasher::new();
        let mut page = [0_u8; PAGE as usize];
        let bytes = meta.len();
        for offset in [0, bytes / 2, bytes.saturating_sub(PAGE)] {
            let n = map.read_at(offset, &mut page).ok()?;
            hasher.update(page.get(..n)?);
        }
        Some(Self {
            bytes,
            modified,
            inode,
            sample: u64::from(hasher.finalize()),
        })
    }

    fn words(self) -> [u64; 4] {
        [self.bytes, self.modified, self.inode, self.sample]
    }
}

/// A block whose page places lie in the cached index.
pub(crate) struct CachedBlock {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Offset of its page places in the cache file.
    pub(crate) places: usize,
}

/// An index read from the cache.
pub(crate) struct Cached {
    pub(crate) map: FileMap,
    pub(crate) blocks: Vec<CachedBlock>,
    /// Stream offset after the last `ram` section.
    pub(crate) after_ram: u64,
    pub(crate) raw_pages: u64,
    pub(crate) fill_pages: u64,
    pub(crate) repeated: u64,
}

/// The cached index at `path`, if it belongs to the stream.
pub(crate) fn load(path: &Path, stream: Fingerprint) -> Option<Cached> {
    let map = FileMap::open(path).ok()?;
    let (header, blocks) = parse(&map, stream).ok()??;
    let [after_ram, raw_pages, fill_pages, repeated] = header;
    Some(Cached {
        map,
        blocks,
        after_ram,
        raw_pages,
        fill_pages,
        repeated,
    })
}

type Parsed = Option<([u64; 4], Vec<CachedBlock>)>;

fn parse(map: &[u8], stream: Fingerprint) -> Result<Parsed, Malformed> {
    let mut at = Cursor::new(map, 0);
    if at.take(8, "the magic")? != MAGIC {
        return Ok(None);
    }
    for word in stream.words() {
        if at.le64("the fingerprint")? != word {
            return Ok(None);
        }
    }
    let header = [at.le64("")?, at.le64("")?, at.le64("")?, at.le64("")?];
    let count = at.le32("the number of blocks")?;
    let mut blocks = Vec::new();
    for _ in 0..count {
        let len = at.u8("a name")?;
        let name = at.take(usize::from(len), "a name")?;
        let Ok(name) = String::from_utf8(name.to_vec()) else {
            return Ok(None);
        };
        blocks.push(CachedBlock {
            name,
            bytes: at.le64("a length")?,
            places: 0,
        });
    }
    for block in &mut blocks {
        block.places = at.offset() as usize;
        at.skip(
            (block.bytes / PAGE).saturating_mul(8) as usize,
            "page places",
        )?;
    }
    Ok((at.left() == 0).then_some((header, blocks)))
}

/// Writes the index to `path`: to a temporary name first, then renamed. A cache that cannot be
/// written costs time, not answers.
pub(crate) fn save(path: &Path, stream: Fingerprint, ram: &Ram, after_ram: u64) {
    let _ = try_save(path, stream, ram, after_ram);
}

fn try_save(path: &Path, stream: Fingerprint, ram: &Ram, after_ram: u64) -> std::io::Result<()> {
    let mut header = Vec::from(MAGIC);
    let counts = [after_ram, ram.raw_pages, ram.fill_pages, ram.repeated];
    for word in stream.words().into_iter().chain(counts) {
        header.extend(word.to_le_bytes());
    }
    header.extend((ram.blocks.len() as u32).to_le_bytes());
    for block in &ram.blocks {
        header.push(u8::try_from(block.name.len()).unwrap_or(0));
        header.extend(block.name.as_bytes());
        header.extend(block.bytes.to_le_bytes());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&header)?;
    for block in &ram.blocks {
        file.write_all(&block.pages)?;
    }
    file.flush()?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
