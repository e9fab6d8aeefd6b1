//! Pages of what a compressed file holds, kept in the cache folder as they were read: who asks the same of
//! the file again need not unpack it again.
//!
//! A kept file holds words of eight bytes, little-endian: the length of what is unpacked, the number of
//! pages, and the CRC-32 of these two words and of the table that follows, which has for each page, in ascending order,
//! its number and the CRC-32 of its bytes. Behind the table come the pages, 4,096 bytes each; one at the end of what is
//! unpacked is filled up with zeros. A page is believed when its bytes are those that the table says.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use osier_memory::PAGE_BYTES;

use crate::data::Data;
use crate::kept::Kept;

/// What a kept file's name ends with.
pub(crate) const EXTENSION: &str = "opg";
/// The last byte is the version: raise it with every change to the layout.
const MAGIC: [u8; 8] = *b"OSIERPG\x01";
/// The most pages that are kept of one file.
const MOST: usize = 8192;
/// Words before the table, and of each of its lines.
const HEAD: usize = 3;
const LINE: usize = 2;
const WORD: usize = 8;

/// The pages kept of one file, and those that were read since.
pub(crate) struct Pages {
    place: Kept,
    /// Length in bytes of what is unpacked.
    bytes: u64,
    /// What was kept before.
    known: Option<Known>,
    /// What was read since, the oldest first.
    read: Mutex<Read>,
}

/// A kept file.
struct Known {
    file: Data,
    /// By number.
    table: Vec<Line>,
    /// The offset of the first page.
    start: u64,
}

/// A page of a kept file.
struct Line {
    number: u64,
    crc: u32,
    /// Whether it was asked for since the file was opened.
    asked: AtomicBool,
}

#[derive(Default)]
struct Read {
    numbers: HashSet<u64>,
    pages: VecDeque<(u64, Arc<[u8]>)>,
}

impl Pages {
    /// None yet, of `bytes` bytes.
    pub(crate) fn none(place: Kept, bytes: u64) -> Self {
        Self {
            place,
            bytes,
            known: None,
            read: Mutex::default(),
        }
    }

    /// Those that are kept at `place`; the place itself where there are none.
    pub(crate) fn found(place: Kept) -> Result<Self, Kept> {
        match place.open_parts(MAGIC).and_then(known) {
            Some((bytes, known)) => Ok(Self {
                place,
                bytes,
                known: Some(known),
                read: Mutex::default(),
            }),
            None => Err(place),
        }
    }

    /// Length in bytes of what is unpacked.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A number that tells the compressed file, as it stands, from others.
    pub(crate) fn version(&self) -> u64 {
        self.place.version()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.known.as_ref().map_or(0, |known| known.table.len())
    }

    /// The length of the page `number`: the last may be shorter than others. 0 past the end.
    fn len_of(&self, number: u64) -> usize {
        let start = number.saturating_mul(PAGE_BYTES);
        self.bytes.saturating_sub(start).min(PAGE_BYTES) as usize
    }

    /// The page `number`, when it is kept and as it was written.
    fn get(&self, number: u64) -> Option<Arc<[u8]>> {
        let known = self.known.as_ref()?;
        let at = known
            .table
            .binary_search_by_key(&number, |line| line.number);
        let at = at.ok()?;
        let line = known.table.get(at)?;
        let page = known.page(at)?;
        line.asked.store(true, Ordering::Relaxed);
        Some(Arc::from(page.get(..self.len_of(number))?))
    }

    /// The page `number`: as it is kept, or as `read` reads it from its offset on, and then it is kept.
    ///
    /// # Errors
    ///
    /// What `read` says.
    pub(crate) fn get_or_read<E>(
        &self,
        number: u64,
        read: impl FnOnce(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Arc<[u8]>, E> {
        if let Some(page) = self.get(number) {
            return Ok(page);
        }
        let mut page = vec![0; self.len_of(number)];
        read(number.saturating_mul(PAGE_BYTES), &mut page)?;
        let page: Arc<[u8]> = page.into();
        self.add(number, &page);
        Ok(page)
    }

    /// Keeps a page that was read. Nobody waits for another who does: what is not kept is read again.
    fn add(&self, number: u64, page: &Arc<[u8]>) {
        let Ok(mut read) = self.read.try_lock() else {
            return;
        };
        let whole = !page.is_empty() && page.len() == self.len_of(number);
        if !whole || !read.numbers.insert(number) {
            return;
        }
        read.pages.push_back((number, page.clone()));
        if read.pages.len() > MOST
            && let Some((oldest, _)) = read.pages.pop_front()
        {
            read.numbers.remove(&oldest);
        }
    }

    /// Writes those that were read, those that were asked for, and others that were kept, up to the most.
    fn save(&self) -> io::Result<()> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pages: Vec<(u64, Arc<[u8]>)> = read.pages.iter().cloned().collect();
        for asked in [true, false] {
            let Some(known) = &self.known else { break };
            for (at, line) in known.table.iter().enumerate() {
                if pages.len() >= MOST {
                    break;
                }
                if line.asked.load(Ordering::Relaxed) == asked
                    && !read.numbers.contains(&line.number)
                    && let Some(page) = known.page(at)
                {
                    pages.push((line.number, Arc::from(page)));
                }
            }
        }
        pages.sort_by_key(|(number, _)| *number);
        let mut table = Vec::new();
        // The last may be shorter.
        if let Some((_, page)) = pages.last_mut() {
            let mut whole = page.to_vec();
            whole.resize(PAGE_BYTES as usize, 0);
            *page = Arc::from(whole);
        }
        for (number, page) in &pages {
            table.extend(number.to_le_bytes());
            table.extend(u64::from(crc32fast::hash(page)).to_le_bytes());
        }
        let count = pages.len() as u64;
        self.place.save(MAGIC, |out| {
            for word in [self.bytes, count, sum(self.bytes, count, &table)] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(&table)?;
            pages.iter().try_for_each(|(_, page)| out.write_all(page))
        })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let read = self.read.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !read.pages.is_empty() {
            let saved = self.save();
            drop(saved); // a cache that cannot be written is none
        }
    }
}

impl Known {
    /// The page of a line of the table, filled up.
    fn page(&self, at: usize) -> Option<Vec<u8>> {
        let offset = (at as u64)
            .checked_mul(PAGE_BYTES)?
            .checked_add(self.start)?;
        let page = self.file.read(offset, PAGE_BYTES as usize).ok()?;
        let right = crc32fast::hash(&page) == self.table.get(at)?.crc;
        right.then_some(page)
    }
}

/// The CRC-32 of a table, and of the two words that it belongs to.
fn sum(bytes: u64, count: u64, table: &[u8]) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes.to_le_bytes());
    crc.update(&count.to_le_bytes());
    crc.update(table);
    crc.finalize().into()
}

/// The length of what is unpacked, and the pages that `file` keeps of it; `None` when its table is not what was
/// written.
fn known(file: Data) -> Option<(u64, Known)> {
    let look = file.look();
    let word = |at: usize| look.array(at).map(u64::from_le_bytes);
    let (bytes, count) = (word(0)?, word(WORD)?);
    let lines = usize::try_from(count).ok().filter(|count| *count <= MOST)?;
    let start = HEAD * WORD;
    let table = look.get(start, lines.checked_mul(LINE * WORD)?)?;
    if sum(bytes, count, &table) != word(2 * WORD)? {
        return None;
    }
    let line = |line: &[u8]| {
        let (number, crc) = line.split_first_chunk::<WORD>()?;
        Some(Line {
            number: u64::from_le_bytes(*number),
            crc: u64::from_le_bytes(*crc.first_chunk()?) as u32,
            asked: AtomicBool::new(false),
        })
    };
    let lines = table.chunks_exact(LINE * WORD).map(line);
    let lines: Vec<Line> = lines.collect::<Option<_>>()?;
    let start = start.checked_add(table.len())? as u64;
    drop(table);
    let known = Known {
        table: lines,
        start,
        file,
    };
    Some((bytes, known))
}
