//! The `ram` section: which file bytes are which page of which block.

use std::path::Path;

use crate::error::Malformed;
use crate::map::FileMap;

pub(crate) const PAGE: u64 = 4096;

const FULL: u64 = 0x01;
const FILL: u64 = 0x02;
const MEM_SIZE: u64 = 0x04;
const RAW: u64 = 0x08;
const EOS: u64 = 0x10;
const CONTINUE: u64 = 0x20;
const XBZRLE: u64 = 0x40;
const HOOK: u64 = 0x80;
const ZLIB: u64 = 0x100;
const MULTIFD_FLUSH: u64 = 0x200;

/// Where a page's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The stream does not send it.
    Absent,
    /// 4,096 bytes at this file offset.
    Raw(u64),
    /// Every byte is this one.
    Fill(u8),
    /// zlib data whose big-endian length stands at this file offset.
    Zlib(u64),
}

const TAG_SHIFT: u32 = 62;

impl Place {
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Raw(offset) => (1 << TAG_SHIFT) | offset,
            Self::Fill(byte) => (2 << TAG_SHIFT) | u64::from(byte),
            Self::Zlib(offset) => (3 << TAG_SHIFT) | offset,
        }
    }

    pub(crate) fn decode(word: u64) -> Self {
        let value = word & ((1 << TAG_SHIFT) - 1);
        match word >> TAG_SHIFT {
            1 => Self::Raw(value),
            2 => Self::Fill(value as u8),
            3 => Self::Zlib(value),
            _ => Self::Absent,
        }
    }
}

/// A RAM block and the places of its pages, encoded, eight little-endian bytes each.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) pages: Vec<u8>,
}

/// What the passes over the `ram` sections collect.
#[derive(Default, Debug)]
pub(crate) struct Ram {
    pub(crate) blocks: Vec<Block>,
    current: Option<usize>,
    pub(crate) repeated: u64,
    pub(crate) raw_pages: u64,
    pub(crate) fill_pages: u64,
}

/// Reads the file through a small window, so that an index pass neither copies nor maps pages.
pub(crate) struct Window<'a> {
    map: &'a FileMap,
    at: u64,
    start: u64,
    buffer: [u8; 512],
    filled: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(map: &'a FileMap, at: u64) -> Self {
        Self {
            map,
            at,
            start: 0,
            buffer: [0; 512],
            filled: 0,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    pub(crate) fn skip(&mut self, bytes: u64) {
        self.at = self.at.saturating_add(bytes);
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        let held = |w: &Self| {
            let from = usize::try_from(w.at.checked_sub(w.start)?).ok()?;
            let bytes = w.buffer.get(..w.filled)?.get(from..from.checked_add(N)?)?;
            <[u8; N]>::try_from(bytes).ok()
        };
        let found = held(self).or_else(|| {
            self.start = self.at;
            self.filled = self.map.read_at(self.at, &mut self.buffer).unwrap_or(0);
            held(self)
        });
        let bytes =
            found.ok_or_else(|| Malformed::new(self.at, format!("the file ends inside {what}")))?;
        self.skip(N as u64);
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, Malformed> {
        self.take::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn be32(&mut self, what: &str) -> Result<u32, Malformed> {
        self.take(what).map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&mut self, what: &str) -> Result<u64, Malformed> {
        self.take(what).map(u64::from_be_bytes)
    }

    /// A name with its length before it.
    pub(crate) fn name(&mut self, what: &str) -> Result<String, Malformed> {
        let offset = self.at;
        let len = self.u8(what)?;
        let mut bytes = Vec::new();
        for _ in 0..len {
            bytes.push(self.u8(what)?);
        }
        String::from_utf8(bytes).map_err(|_| Malformed::new(offset, format!("{what} is not text")))
    }
}

impl Ram {
    /// The most pages that a file of `file_bytes` can hold: a fill page costs 9 bytes.
    fn page_limit(file_bytes: u64) -> u64 {
        file_bytes / 9
    }

    /// Reads one START, PART or END payload, up to and with its end mark.
    pub(crate) fn payload(
        &mut self,
        at: &mut Window<'_>,
        file_bytes: u64,
    ) -> Result<(), Malformed> {
        loop {
            let offset = at.offset();
            let word = at.be64("a RAM record")?;
            let flags = word & (PAGE - 1);
            let page = word & !(PAGE - 1);
            if flags & (HOOK | FULL) != 0 {
                let problem = format!("RAM record flags {flags:#x} are of RDMA or obsolete");
                return Err(Malformed::new(offset, problem));
            }
            if flags & MEM_SIZE != 0 {
                self.block_list(at, page, file_bytes)?;
            } else if flags & XBZRLE != 0 {
                let problem = "XBZRLE pages are not read; migrate to a file without xbzrle";
                return Err(Malformed::new(offset, problem));
            } else if flags & (FILL | RAW | ZLIB) != 0 {
                if flags & CONTINUE == 0 {
                    let name = at.name("a RAM block's name")?;
                    let found = self.blocks.iter().position(|block| block.name == name);
                    let problem = || format!("RAM block {name:?} is not in the list");
                    self.current = Some(found.ok_or_else(|| Malformed::new(offset, problem()))?);
                }
                let place = if flags & FILL != 0 {
                    self.fill_pages = self.fill_pages.saturating_add(1);
                    Place::Fill(at.u8("a fill page")?)
                } else if flags & RAW != 0 {
                    self.raw_pages = self.raw_pages.saturating_add(1);
                    let start = at.offset();
                    at.skip(PAGE);
                    if at.offset() > file_bytes {
                        return Err(Malformed::new(start, "the file ends inside a page"));
                    }
                    Place::Raw(start)
                } else {
                    let start = at.offset();
                    let len = at.be32("a compressed page")?;
                    at.skip(u64::from(len));
                    Place::Zlib(start)
                };
                self.set(offset, page, place)?;
            } else if flags & (EOS | MULTIFD_FLUSH) == 0 {
                return Err(Malformed::new(
                    offset,
                    format!("RAM record flags {flags:#x}"),
                ));
            }
            if flags & EOS != 0 {
                return Ok(());
            }
        }
    }

    fn block_list(
        &mut self,
        at: &mut Window<'_>,
        total: u64,
        file_bytes: u64,
    ) -> Result<(), Malformed> {
        let mut left = total;
        while left > 0 {
            let offset = at.offset();
            let name = at.name("a RAM block's name")?;
            let bytes = at.be64("a RAM block's length")?;
            if bytes == 0 || bytes > left || !bytes.is_multiple_of(PAGE) {
                let problem = format!("RAM block {name:?} of {bytes:#x} bytes, {left:#x} left");
                return Err(Malformed::new(offset, problem));
            }
            left = left.saturating_sub(bytes);
            let pages = bytes / PAGE;
            if pages > Self::page_limit(file_bytes) {
                let problem = format!(
                    "RAM block {name:?} claims {bytes:#x} bytes, more than a file of \
                     {file_bytes:#x} bytes can hold"
                );
                return Err(Malformed::new(offset, problem));
            }
            let bytes_of_index = usize::try_from(pages.saturating_mul(8)).unwrap_or(0);
            self.blocks.push(Block {
                name,
                bytes,
                pages: vec![0; bytes_of_index],
            });
        }
        Ok(())
    }

    fn set(&mut self, offset: u64, page: u64, place: Place) -> Result<(), Malformed> {
        let block = self.current.and_then(|at| self.blocks.get_mut(at));
        let Some(block) = block else {
            return Err(Malformed::new(offset, "the first page names no RAM block"));
        };
        let at = usize::try_from((page / PAGE).saturating_mul(8)).unwrap_or(usize::MAX);
        let slot = at
            .checked_add(8)
            .and_then(|end| block.pages.get_mut(at..end));
        let Some(slot) = slot else {
            let problem = format!("page {page:#x} lies outside RAM block {:?}", block.name);
            return Err(Malformed::new(offset, problem));
        };
        if slot.iter().any(|&byte| byte != 0) {
            self.repeated = self.repeated.saturating_add(1);
        }
        slot.copy_from_slice(&place.encode().to_le_bytes()); // the last of two counts
        Ok(())
    }
}

/// The name that an index cache gives the file.
pub(crate) fn cache_name(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.display().to_string());
    let crc = crc32fast::hash(full.as_os_str().as_encoded_bytes());
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{safe}-{crc:08x}.osx")
}
