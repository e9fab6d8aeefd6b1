//! Blocks that are kept on the disk between runs.
//!
//! Of each version there are two files, named after a sum of its address and tag: `SUM.map` has the whole key in its
//! first page, and behind it the CRC-32 of each block that is kept, 0 where none is; `SUM.data` has the blocks at
//! their places, with holes between. A block is believed when its sum agrees. All versions together have a bound:
//! the ones not opened for longest go. A cache that cannot be written costs time, not answers.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// Bytes of a block, which is in memory and on the disk as a whole.
pub(crate) const BLOCK: u64 = 64 << 10;
/// The most bytes that all versions take, and the most that one adds in a run.
const MOST: u64 = 1 << 30;
/// Bytes before the sums.
const HEAD: u64 = 4096;
const SUM: u64 = 4;

/// The blocks of one version.
pub(crate) struct Kept {
    files: Mutex<Files>,
    /// The sums, as they are on the disk.
    sums: Vec<u32>,
    bytes: u64,
    /// Bytes that may still be added.
    room: u64,
}

struct Files {
    map: File,
    data: File,
}

/// Blocks of the longest object that is kept, 1 TiB: each has a sum in memory.
const MOST_BLOCKS: usize = 1 << 24;

impl Kept {
    /// The version with this key, of so many bytes; `None` where nothing can be kept.
    pub(crate) fn open(folder: &Path, key: &str, bytes: u64) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let name = format!("{:016x}", hasher.finish());
        fs::create_dir_all(folder).ok()?;
        let (map, data) = (
            folder.join(format!("{name}.map")),
            folder.join(format!("{name}.data")),
        );
        make_room(folder, &data);
        let open = |path: &Path| {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let mut files = Files {
            map: open(&map).ok()?,
            data: open(&data).ok()?,
        };
        let mut head = key.as_bytes().to_vec();
        head.resize(usize::try_from(HEAD).ok()?, 0);
        if key.len() as u64 >= HEAD {
            return None;
        }
        let blocks = usize::try_from(bytes.div_ceil(BLOCK)).ok()?;
        if blocks > MOST_BLOCKS {
            return None;
        }
        let sums = if let Some(sums) = files.sums(&head, blocks) {
            sums
        } else {
            files.map.set_len(0).ok()?;
            files.data.set_len(0).ok()?;
            write_at(&mut files.map, 0, &head).ok()?;
            vec![0; blocks]
        };
        // It was opened now.
        let _ = files.map.set_modified(SystemTime::now());
        Some(Self {
            files: Mutex::new(files),
            sums,
            bytes,
            room: MOST / 2,
        })
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        let sum = usize::try_from(number)
            .ok()
            .and_then(|at| self.sums.get(at));
        sum.is_some_and(|&sum| sum != 0)
    }

    /// A block, when it is kept and is what it was.
    pub(crate) fn read(&self, number: u64) -> Option<Vec<u8>> {
        let sum = *self.sums.get(usize::try_from(number).ok()?)?;
        if sum == 0 {
            return None;
        }
        let at = number.checked_mul(BLOCK)?;
        let len = self.bytes.checked_sub(at)?.min(BLOCK);
        let mut block = vec![0; usize::try_from(len).ok()?];
        let mut files = self.files.lock().ok()?;
        files.data.seek(SeekFrom::Start(at)).ok()?;
        files.data.read_exact(&mut block).ok()?;
        (sum_of(&block) == sum).then_some(block)
    }

    /// Keeps a block.
    pub(crate) fn write(&mut self, number: u64, block: &[u8]) {
        let sum = sum_of(block);
        let Some(room) = self.room.checked_sub(block.len() as u64) else {
            return;
        };
        let Ok(files) = self.files.get_mut() else {
            return;
        };
        let written =
            write_at(&mut files.data, number.saturating_mul(BLOCK), block).and_then(|()| {
                let at = HEAD.saturating_add(number.saturating_mul(SUM));
                write_at(&mut files.map, at, &sum.to_le_bytes())
            });
        if written.is_ok() {
            self.room = room;
            let place = usize::try_from(number).ok();
            if let Some(known) = place.and_then(|at| self.sums.get_mut(at)) {
                *known = sum;
            }
        }
    }
}

impl Files {
    /// The sums of so many blocks, when the map is of this key.
    fn sums(&mut self, head: &[u8], blocks: usize) -> Option<Vec<u32>> {
        let mut text = Vec::new();
        let most = HEAD.saturating_add((blocks as u64).saturating_mul(SUM));
        self.map.seek(SeekFrom::Start(0)).ok()?;
        (&mut self.map).take(most).read_to_end(&mut text).ok()?;
        let sums = text.strip_prefix(head)?;
        let mut sums: Vec<u32> = sums
            .chunks_exact(SUM as usize)
            .filter_map(|sum| Some(u32::from_le_bytes(sum.try_into().ok()?)))
            .collect();
        sums.resize(blocks, 0);
        Some(sums)
    }
}

/// The sum of a block; never 0, which stands for none.
fn sum_of(block: &[u8]) -> u32 {
    crc32fast::hash(block).max(1)
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Removes versions that were not opened for longest, until the rest takes no more than half of what all may; `own` stays.
fn make_room(folder: &Path, own: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut all: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|ending| ending == "data")
            && path != own
            && let Ok(data) = fs::metadata(&path)
        {
            let opened = fs::metadata(path.with_extension("map")).and_then(|map| map.modified());
            all.push((opened.unwrap_or(SystemTime::UNIX_EPOCH), taken(&data), path));
        }
    }
    all.sort();
    let mut sum = all
        .iter()
        .fold(0_u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
    for (_, bytes, path) in all {
        if sum <= MOST / 2 {
            break;
        }
        let _ = fs::remove_file(path.with_extension("map"));
        let _ = fs::remove_file(&path);
        sum = sum.saturating_sub(bytes);
    }
}

/// Bytes that a file takes of the disk.
#[cfg(unix)]
fn taken(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.blocks().saturating_mul(512)
}

#[cfg(not(unix))]
fn taken(file: &fs::Metadata) -> u64 {
    file.len()
}
