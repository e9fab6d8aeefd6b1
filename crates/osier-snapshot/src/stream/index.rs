//! A stream's index in a file, so that a second opening costs no pass: `NAME-HASH.osx`.
//!
//! Layout, little-endian: magic `OSIERSX`, version byte; the stream's length, modification time
//! (ns), inode, and a CRC-32 over sampled pages; the length of the contents and their CRC-32; the
//! contents; padding to eight bytes; the page entries, eight bytes each. The entries are used where
//! they lie in the mapped file. Anything that does not fit is ignored and written anew; a file is
//! written under a temporary name and renamed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use osier_memory::{CpuState, Segment};

use super::Contents;
use super::memory::Entries;
use super::ram::{Block, PAGE, Sent};
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::map::Map;

/// The last byte is the version: raise it with every change to this file's layout or to what the
/// pass makes of a stream.
const MAGIC: &[u8; 8] = b"OSIERSX\x01";
/// Pages sampled before the last.
const STEPS: u64 = 15;
/// Magic, four words of identity, length and CRC-32 of the contents.
const HEADER: usize = 56;

/// Where a stream's index lies, and what ties it to the stream.
pub(crate) struct Place {
    file: PathBuf,
    identity: [u64; 4],
    stream_bytes: u64,
}

impl Place {
    /// The place in `dir` for the stream at `path`, mapped as `map`.
    pub(crate) fn of(dir: &Path, path: &Path, map: &Map) -> Option<Self> {
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
        name.push(format!("-{hash:08x}.osx"));
        Some(Self {
            file: dir.join(name),
            identity,
            stream_bytes: map.len(),
        })
    }

    /// The index, when it is there and belongs to the stream.
    pub(crate) fn load(&self) -> Option<(Contents, Entries)> {
        let map = Map::open(&self.file).ok()?;
        let (contents, at) = self.parse(map.bytes()).ok()??;
        Some((contents, Entries::Mapped(map, at)))
    }

    fn parse(&self, file: &[u8]) -> Result<Option<(Contents, usize)>, Malformed> {
        let mut at = Cursor::new(file, 0);
        if at.take(MAGIC.len(), "the magic")? != MAGIC {
            return Ok(None);
        }
        for word in self.identity {
            if at.le64("the stream's identity")? != word {
                return Ok(None);
            }
        }
        let len = usize::try_from(at.le64("a length")?).unwrap_or(usize::MAX);
        let crc = at.le64("a checksum")?;
        let mut body = at;
        if u64::from(crc32fast::hash(at.take(len, "the contents")?)) != crc {
            return Ok(None);
        }
        let contents = decode(&mut body)?;
        let padding = at.at().wrapping_neg() & 7;
        at.take(padding, "padding")?;
        let pages = contents
            .blocks
            .iter()
            .fold(0_u64, |sum, block| sum.saturating_add(block.bytes / PAGE));
        let fits = at.left() as u64 == pages.saturating_mul(8) && pages <= self.stream_bytes;
        Ok(fits.then_some((contents, at.at())))
    }

    /// Writes the index. One that cannot be written costs time, not answers.
    pub(crate) fn save(&self, contents: &Contents, entries: &[u64]) {
        let written = self.try_save(contents, entries);
        drop(written);
    }

    fn try_save(&self, contents: &Contents, entries: &[u64]) -> io::Result<()> {
        let body = encode(contents);
        let mut head = Vec::with_capacity(HEADER.saturating_add(body.len()));
        head.extend(MAGIC);
        for word in self.identity {
            head.extend(word.to_le_bytes());
        }
        head.extend((body.len() as u64).to_le_bytes());
        head.extend(u64::from(crc32fast::hash(&body)).to_le_bytes());
        head.extend(body);
        while head.len() % 8 != 0 {
            head.push(0);
        }
        let dir = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let (temporary, file) = crate::scratch::create(dir, "index")?;
        let write = || -> io::Result<()> {
            let mut file = io::BufWriter::with_capacity(1 << 16, file);
            file.write_all(&head)?;
            for entry in entries {
                file.write_all(&entry.to_le_bytes())?;
            }
            file.flush()?;
            drop(file);
            fs::rename(&temporary, &self.file)
        };
        write().inspect_err(|_| {
            let removed = fs::remove_file(&temporary);
            drop(removed);
        })
    }
}

/// A CRC-32 over the first and last page and some between.
fn sample(map: &Map) -> Option<u32> {
    let last = map.len().saturating_sub(PAGE);
    let mut crc = crc32fast::Hasher::new();
    let mut page = [0; PAGE as usize];
    let len = usize::try_from(map.len().min(PAGE)).ok()?;
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

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn texts(out: &mut Vec<u8>, list: &[String]) {
    out.extend((list.len() as u32).to_le_bytes());
    for item in list {
        text(out, item);
    }
}

fn words(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend(word.to_le_bytes());
    }
}

fn optional(out: &mut Vec<u8>, value: Option<u64>) {
    words(
        out,
        &[u64::from(value.is_some()), value.unwrap_or_default()],
    );
}

fn encode(contents: &Contents) -> Vec<u8> {
    let mut out = Vec::new();
    texts(&mut out, contents.machine.as_slice());
    out.extend((contents.blocks.len() as u32).to_le_bytes());
    for block in &contents.blocks {
        text(&mut out, &block.name);
        words(&mut out, &[block.bytes, block.first, block.absent]);
    }
    texts(&mut out, &contents.sections);
    let sent = contents.sent;
    words(
        &mut out,
        &[
            u64::from(contents.footers),
            contents.parts,
            sent.raw,
            sent.fill,
            sent.compressed,
            sent.repeated,
            contents.vmdesc_bytes,
        ],
    );
    text(&mut out, &contents.cpu_layout);
    texts(&mut out, &contents.anomalies);
    out.extend((contents.cpus.len() as u32).to_le_bytes());
    for cpu in &contents.cpus {
        encode_cpu(&mut out, cpu);
    }
    out
}

fn encode_cpu(out: &mut Vec<u8>, cpu: &CpuState) {
    words(out, &[u64::from(cpu.index)]);
    words(out, &cpu.general);
    words(out, &[cpu.rip, cpu.rflags, cpu.cr0, cpu.cr2, cpu.cr3]);
    words(out, &[cpu.cr4, u64::from(cpu.cpl), cpu.a20_mask]);
    optional(out, cpu.efer);
    optional(out, cpu.long_mode.map(u64::from));
    optional(out, cpu.lstar);
    optional(out, cpu.kernel_gs_base);
    let s = &cpu.segments;
    for segment in [
        &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs, &s.ldt, &s.tr, &s.gdt, &s.idt,
    ] {
        words(
            out,
            &[
                u64::from(segment.selector),
                segment.base,
                u64::from(segment.limit),
                u64::from(segment.flags),
            ],
        );
    }
}

fn read_text(at: &mut Cursor<'_>) -> Result<String, Malformed> {
    let len = at.le32("a text's length")? as usize;
    let here = at.at() as u64;
    let bytes = at.take(len, "a text")?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::new(here, "text"))
}

fn read_texts(at: &mut Cursor<'_>) -> Result<Vec<String>, Malformed> {
    let count = at.le32("a list's length")?;
    (0..count).map(|_| read_text(at)).collect()
}

fn decode(at: &mut Cursor<'_>) -> Result<Contents, Malformed> {
    const WHAT: &str = "a word";
    let mut contents = Contents {
        machine: read_texts(at)?.pop(),
        ..Contents::default()
    };
    for _ in 0..at.le32("the number of blocks")? {
        contents.blocks.push(Block {
            name: read_text(at)?,
            bytes: at.le64(WHAT)?,
            first: at.le64(WHAT)?,
            absent: at.le64(WHAT)?,
        });
    }
    contents.sections = read_texts(at)?;
    contents.footers = at.le64(WHAT)? != 0;
    contents.parts = at.le64(WHAT)?;
    contents.sent = Sent {
        raw: at.le64(WHAT)?,
        fill: at.le64(WHAT)?,
        compressed: at.le64(WHAT)?,
        repeated: at.le64(WHAT)?,
    };
    contents.vmdesc_bytes = at.le64(WHAT)?;
    contents.cpu_layout = read_text(at)?;
    contents.anomalies = read_texts(at)?;
    for _ in 0..at.le32("the number of processors")? {
        contents.cpus.push(decode_cpu(at)?);
    }
    Ok(contents)
}

fn decode_cpu(at: &mut Cursor<'_>) -> Result<CpuState, Malformed> {
    let mut next = || at.le64("a register");
    let mut cpu = CpuState {
        index: next()? as u32,
        ..CpuState::default()
    };
    for slot in &mut cpu.general {
        *slot = next()?;
    }
    for slot in [
        &mut cpu.rip,
        &mut cpu.rflags,
        &mut cpu.cr0,
        &mut cpu.cr2,
        &mut cpu.cr3,
        &mut cpu.cr4,
    ] {
        *slot = next()?;
    }
    cpu.cpl = next()? as u8;
    cpu.a20_mask = next()?;
    let mut optional = || -> Result<Option<u64>, Malformed> {
        let there = next()? != 0;
        let value = next()?;
        Ok(there.then_some(value))
    };
    cpu.efer = optional()?;
    cpu.long_mode = optional()?.map(|long| long != 0);
    cpu.lstar = optional()?;
    cpu.kernel_gs_base = optional()?;
    let s = &mut cpu.segments;
    for slot in [
        &mut s.es, &mut s.cs, &mut s.ss, &mut s.ds, &mut s.fs, &mut s.gs, &mut s.ldt, &mut s.tr,
        &mut s.gdt, &mut s.idt,
    ] {
        *slot = Segment {
            selector: next()? as u16,
            base: next()?,
            limit: next()? as u32,
            flags: next()? as u32,
        };
    }
    Ok(cpu)
}
