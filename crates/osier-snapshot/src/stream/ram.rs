//! The `ram` section, version 4: which file bytes are which page of which block.

use super::mapped;
use super::pages::{Block, Entry, PAGE, Sent};
use super::xbzrle::{self, Delta};
use crate::cursor::Cursor;
use crate::error::Malformed;

/// Pages of RAM that are believed of any stream: one that was cut short need not hold a record for
/// each.
const CUT_PAGES: u64 = 1 << 22;

// Flags of a record, in the low bits of its page offset.
const FILL: u64 = 0x02;
const MEM_SIZE: u64 = 0x04;
const RAW: u64 = 0x08;
const EOS: u64 = 0x10;
const CONTINUE: u64 = 0x20;
const XBZRLE: u64 = 0x40;
const ZLIB: u64 = 0x100;
const MULTIFD_FLUSH: u64 = 0x200;

/// Capabilities of the configuration that change what stands in a block list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// `mapped-ram`: pages at fixed file offsets, with a bitmap.
    pub(crate) mapped_ram: bool,
    /// `x-ignore-shared`: each block's address follows its length; shared blocks are not sent.
    pub(crate) ignore_shared: bool,
}

/// What the pass over the `ram` sections collects.
#[derive(Debug, Default)]
pub(crate) struct Ram {
    pub(crate) blocks: Vec<Block>,
    /// One entry for each page of each block, in the order of the list.
    pub(crate) entries: Vec<u64>,
    /// The deltas, in the order of the stream.
    pub(crate) deltas: Vec<Delta>,
    pub(crate) sent: Sent,
    /// The sum of the blocks' lengths, as the list's head says it.
    pub(crate) total: u64,
    /// The capabilities that change what the block list holds.
    capabilities: Capabilities,
    /// Whether the stream says that it waits for pages on other channels.
    pub(crate) other_channels: bool,
    /// The block that CONTINUE goes on with; it survives the borders of sections.
    current: Option<(u64, u64)>,
}

impl Ram {
    /// Nothing yet, of a stream with these capabilities.
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            ..Self::default()
        }
    }

    /// Takes one section's payload, up to and with its end mark.
    pub(crate) fn payload(&mut self, at: &mut Cursor<'_>) -> Result<(), Malformed> {
        loop {
            let start = at.at() as u64;
            let word = at.be64("a page record")?;
            let flags = word & (PAGE - 1);
            let offset = word & !(PAGE - 1);
            match flags & !CONTINUE {
                EOS => return Ok(()),
                MULTIFD_FLUSH => self.other_channels = true,
                MEM_SIZE => self.block_list(at, offset)?,
                kind @ (FILL | RAW | ZLIB | XBZRLE) => {
                    if flags & CONTINUE == 0 {
                        self.name_block(at)?;
                    }
                    if kind == XBZRLE {
                        let delta = xbzrle::take(at)?;
                        self.set_delta(start, offset, delta)?;
                    } else {
                        let entry = self.page(at, kind)?;
                        let before = self.set(start, offset, entry)?;
                        let again = u64::from(before != 0);
                        self.sent.repeated = self.sent.repeated.saturating_add(again);
                    }
                }
                _ => {
                    return Err(Malformed::new(
                        start,
                        format!("a page record's flags, not {flags:#x}"),
                    ));
                }
            }
        }
    }

    /// Takes the contents of one page that is sent whole.
    fn page(&mut self, at: &mut Cursor<'_>, kind: u64) -> Result<Entry, Malformed> {
        let sent = &mut self.sent;
        let here = at.at() as u64;
        match kind {
            RAW => {
                at.pass(PAGE as usize, "a page")?;
                sent.raw = sent.raw.saturating_add(1);
                Ok(Entry::Raw(here))
            }
            FILL => {
                sent.fill = sent.fill.saturating_add(1);
                at.u8("a fill byte").map(Entry::Fill)
            }
            _ => {
                let len = at.be32("a compressed page's length")?;
                if u64::from(len) > PAGE.saturating_mul(2) {
                    return Err(Malformed::new(
                        here,
                        "a compressed page of at most 8192 bytes",
                    ));
                }
                at.pass(len as usize, "a compressed page")?;
                sent.compressed = sent.compressed.saturating_add(1);
                Ok(Entry::Zlib(here))
            }
        }
    }

    fn name_block(&mut self, at: &mut Cursor<'_>) -> Result<(), Malformed> {
        let start = at.at() as u64;
        let name = name(at, "a RAM block's name")?;
        let block = self.blocks.iter().find(|block| block.name == name);
        let block = block.ok_or_else(|| {
            Malformed::new(start, format!("a RAM block of the list, not {name:?}"))
        })?;
        self.current = Some((block.first, block.bytes));
        Ok(())
    }

    /// Takes the block list of a START section. `total` is the sum of the lengths.
    fn block_list(&mut self, at: &mut Cursor<'_>, total: u64) -> Result<(), Malformed> {
        let start = at.at() as u64;
        if !self.blocks.is_empty() {
            return Err(Malformed::new(start, "one block list only"));
        }
        let left = at.left() as u64;
        let mut sum = 0_u64;
        // Bytes of RAM whose pages are records of the stream.
        let mut sent = 0_u64;
        let mut maps = Vec::new();
        self.total = total;
        let mut ended = None;
        while sum < total {
            let here = at.at() as u64;
            let entry = self.block(at);
            let (name, bytes, data) = match entry {
                // Its pages follow each block of the list, so the blocks before are of use.
                Err(bad) if bad.ended && self.capabilities.mapped_ram && sum > 0 => {
                    ended = Some(bad);
                    break;
                }
                entry => entry?,
            };
            let first = sum / PAGE;
            sum = sum.saturating_add(bytes);
            if bytes == 0 || !bytes.is_multiple_of(PAGE) || sum > total {
                return Err(Malformed::new(
                    here,
                    format!("a RAM block of whole pages inside {total} bytes, not {bytes} bytes"),
                ));
            }
            if self.blocks.iter().any(|block| block.name == name) {
                return Err(Malformed::new(here, format!("one RAM block {name:?} only")));
            }
            if self.blocks.len() >= 4096 {
                return Err(Malformed::new(here, "at most 4096 RAM blocks"));
            }
            sent = sent.saturating_add(if data.is_some() { 0 } else { bytes });
            maps.push(data);
            self.blocks.push(Block {
                name,
                bytes,
                first,
                absent: 0,
                plugged: None,
            });
        }
        // The cheapest page costs nine bytes in a record and a bit of a bitmap before its 4,096
        // bytes otherwise, so this bounds what is allocated; a stream that was cut short has less.
        let most = (left / 9).saturating_add(1).max(CUT_PAGES);
        if sent / PAGE > most {
            return Err(Malformed::new(
                start,
                format!("RAM of at most {most} pages in a file of this length, not {sent} bytes"),
            ));
        }
        for (block, data) in self.blocks.iter().zip(maps) {
            if let Some(data) = data {
                data.entries(&mut self.entries, &mut self.sent);
            } else {
                let pages = usize::try_from(block.bytes / PAGE).unwrap_or(0);
                let pages = self.entries.len().saturating_add(pages);
                self.entries.resize(pages, 0);
            }
        }
        ended.map_or(Ok(()), Err)
    }

    /// Takes one block of the list: its name, its length, and its pages with `mapped-ram`.
    fn block<'a>(
        &self,
        at: &mut Cursor<'a>,
    ) -> Result<(String, u64, Option<mapped::Mapped<'a>>), Malformed> {
        let name = name(at, "a RAM block's name")?;
        let bytes = at.be64("a RAM block's length")?;
        if self.capabilities.ignore_shared {
            at.be64("a RAM block's address")?;
        }
        let data = if self.capabilities.mapped_ram {
            mapped::take(at, bytes)?
        } else {
            None
        };
        Ok((name, bytes, data))
    }

    /// Lays a delta on what the page was before.
    fn set_delta(&mut self, start: u64, offset: u64, data: u64) -> Result<(), Malformed> {
        let number = self.deltas.len() as u64;
        let base = self.set(start, offset, Entry::Xbzrle(number))?;
        self.deltas.push(Delta { data, base });
        self.sent.delta = self.sent.delta.saturating_add(1);
        Ok(())
    }

    /// Notes where a page is; returns where it was before.
    fn set(&mut self, start: u64, offset: u64, entry: Entry) -> Result<u64, Malformed> {
        let (first, bytes) = self
            .current
            .ok_or_else(|| Malformed::new(start, "a RAM block's name with the first page"))?;
        let index = usize::try_from(first.saturating_add(offset / PAGE)).ok();
        let slot = index.and_then(|index| self.entries.get_mut(index));
        match slot {
            Some(slot) if offset < bytes => {
                // The last sending counts.
                Ok(std::mem::replace(slot, entry.encode()))
            }
            _ => Err(Malformed::new(
                start,
                format!("a page inside its block of {bytes} bytes, not at {offset:#x}"),
            )),
        }
    }

    /// Counts the pages that were not sent.
    pub(crate) fn count_absent(&mut self) {
        for block in &mut self.blocks {
            let from = usize::try_from(block.first).unwrap_or(usize::MAX);
            let pages = usize::try_from(block.bytes / PAGE).unwrap_or(0);
            let entries = self.entries.get(from..from.saturating_add(pages));
            let absent = |entries: &[u64]| entries.iter().filter(|entry| **entry == 0).count();
            block.absent = entries.map_or(0, absent) as u64;
        }
    }
}

/// A name with its length in one byte before it.
pub(crate) fn name(at: &mut Cursor<'_>, what: &str) -> Result<String, Malformed> {
    let start = at.at() as u64;
    let len = at.u8(what)?;
    let bytes = at.take(usize::from(len), what)?;
    match std::str::from_utf8(&bytes) {
        Ok(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => {
            Ok(name.to_owned())
        }
        _ => Err(Malformed::new(
            start,
            format!("{what} of printable characters"),
        )),
    }
}
