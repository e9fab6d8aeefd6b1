//! Triage dumps: `TRIAGE_DUMP32` and `TRIAGE_DUMP64`, some hundred KiB of virtual memory.
//!
//! What the dump calls data blocks lies at the virtual address beside each. Besides there are the
//! stack, a data page and the debugger data block, whose addresses stand in headers; and copies of
//! the crashing processor's `_KPRCB`, `_ETHREAD` and `_EPROCESS`, whose addresses stand nowhere.
//! A copy is placed when it names its own address: the wait list in the dispatcher header at its
//! start is empty and so points at itself. What no block covers is not captured.

use std::sync::Arc;

use osier_memory::{Cause, Driver, Hint};

use super::body::Body;
use super::header::Header;
use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::{Malformed, NotRead};
use crate::extent::{self, Extent};
use crate::flat::FlatMemory;
use crate::look::Look;

/// `TRIAGE_DUMP_VALID`, at `ValidOffset`: the writer came to its end.
const VALID: &[u8] = b"TRGD";
/// Bytes of a `TRIAGE_DATA_BLOCK`.
const BLOCK_BYTES: u64 = 16;
/// Bytes of a `DUMP_DRIVER_ENTRY32` and `64`, and of what stands before its loader entry.
const DRIVER32: (u32, u32) = (0x4c, 4);
const DRIVER64: (u32, u32) = (0x90, 8);
/// Bytes of a `DUMP_UNLOADED_DRIVERS32` and `64`.
const UNLOADED32: usize = 0x28;
const UNLOADED64: usize = 0x38;
/// Bytes of the name inside an unloaded driver's entry.
const UNLOADED_NAME: usize = 24;
/// The longest driver name that is read, in UTF-16 units: as long as a `UNICODE_STRING` can be.
const NAME_MAX: u32 = 0x7fff;

/// The header of a triage dump: file offsets, counts, and the addresses that it knows.
struct Triage {
    service_pack: u32,
    size: u32,
    valid: u32,
    context: u32,
    exception: u32,
    memory_manager: u32,
    unloaded: u32,
    prcb: u32,
    process: u32,
    thread: u32,
    stack: u32,
    stack_bytes: u32,
    drivers: u32,
    driver_count: u32,
    strings: u32,
    string_bytes: u32,
    broken_driver: u32,
    options: u32,
    top_of_stack: u64,
    page_address: u64,
    page: u32,
    page_bytes: u32,
    debugger_data: u32,
    debugger_data_bytes: u32,
    blocks: u32,
    block_count: u32,
}

impl Triage {
    fn parse(file: Look<'_>, header: &Header) -> Result<Self, Malformed> {
        let mut head = Cursor::new(file, header.bytes as usize);
        let mut next = |name: &str| head.le32(name);
        let service_pack = next("ServicePackBuild")?;
        let size = next("SizeOfDump")?;
        let valid = next("ValidOffset")?;
        let context = next("ContextOffset")?;
        let exception = next("ExceptionOffset")?;
        let memory_manager = next("MmOffset")?;
        let unloaded = next("UnloadedDriversOffset")?;
        let prcb = next("PrcbOffset")?;
        let process = next("ProcessOffset")?;
        let thread = next("ThreadOffset")?;
        let stack = next("CallStackOffset")?;
        let stack_bytes = next("SizeOfCallStack")?;
        let drivers = next("DriverListOffset")?;
        let driver_count = next("DriverCount")?;
        let strings = next("StringPoolOffset")?;
        let string_bytes = next("StringPoolSize")?;
        let broken_driver = next("BrokenDriverOffset")?;
        let options = next("TriageOptions")?;
        let (top_of_stack, page_address) = if header.wide {
            let top = head.le64("TopOfStack")?;
            head.pass(16, "the fields of other processors")?;
            (top, head.le64("DataPageAddress")?)
        } else {
            let top = head.le32("TopOfStack")?.into();
            (top, head.le32("DataPageAddress")?.into())
        };
        let mut next = |name: &str| head.le32(name);
        Ok(Self {
            service_pack,
            size,
            valid,
            context,
            exception,
            memory_manager,
            unloaded,
            prcb,
            process,
            thread,
            stack,
            stack_bytes,
            drivers,
            driver_count,
            strings,
            string_bytes,
            broken_driver,
            options,
            top_of_stack,
            page_address,
            page: next("DataPageOffset")?,
            page_bytes: next("DataPageSize")?,
            debugger_data: next("DebuggerDataOffset")?,
            debugger_data_bytes: next("DebuggerDataSize")?,
            blocks: next("DataBlocksOffset")?,
            block_count: next("DataBlocksCount")?,
        })
    }

    /// Bytes of the section at file offset `at`, which ends where the next one begins.
    fn section(&self, at: u32) -> u64 {
        let starts = [
            self.context,
            self.exception,
            self.memory_manager,
            self.unloaded,
            self.prcb,
            self.process,
            self.thread,
            self.stack,
            self.drivers,
            self.strings,
            self.page,
            self.debugger_data,
            self.blocks,
            self.valid,
        ];
        let end = starts.into_iter().filter(|start| *start > at).min();
        end.map_or(0, |end| end.saturating_sub(at).into())
    }
}

/// The blocks that a triage dump is made of.
struct Blocks<'a> {
    file: Look<'a>,
    wide: bool,
    extents: Vec<Extent>,
    anomalies: Vec<Anomaly>,
}

impl Blocks<'_> {
    /// `va` as it is asked for: 32-bit addresses stand sign-extended in 64-bit fields.
    fn address(&self, va: u64) -> u64 {
        if self.wide { va } else { va & 0xffff_ffff }
    }

    /// The data blocks.
    fn read(&mut self, triage: &Triage) -> Result<(), Malformed> {
        let at = u64::from(triage.blocks);
        let room = (self.file.len() as u64).saturating_sub(at) / BLOCK_BYTES;
        let count = u64::from(triage.block_count).min(room);
        if count < triage.block_count.into() {
            self.anomalies.push(Anomaly::bytes(format!(
                "the file is cut short: {} of {} data blocks at {at:#x} are not listed in it",
                u64::from(triage.block_count).saturating_sub(count),
                triage.block_count
            )));
        }
        let mut head = Cursor::new(self.file, triage.blocks as usize);
        let mut short = 0_u64;
        for _ in 0..count {
            let start = self.address(head.le64("a data block's address")?);
            let offset = u64::from(head.le32("a data block's offset")?);
            let len = u64::from(head.le32("a data block's size")?);
            short = short.saturating_add(self.missing(offset, len));
            let len = len.min(u64::MAX.wrapping_sub(start));
            if len > 0 {
                self.extents.push(Extent { start, len, offset });
            }
        }
        let (extents, twice) = extent::disjoint(std::mem::take(&mut self.extents));
        self.extents = extents;
        if short > 0 {
            self.anomalies.push(Anomaly::bytes(format!(
                "the file is cut short: {short} bytes of its data blocks are missing"
            )));
        }
        if twice > 0 {
            self.anomalies.push(Anomaly::bytes(format!(
                "{twice} bytes of the data blocks are held more than once"
            )));
        }
        Ok(())
    }

    /// How many of `len` bytes from `offset` on the file does not hold.
    fn missing(&self, offset: u64, len: u64) -> u64 {
        let held = (self.file.len() as u64).saturating_sub(offset);
        len.saturating_sub(held)
    }

    /// Places `len` bytes at file offset `offset` at `va`, where no data block lies. Says where.
    fn place(&mut self, va: u64, offset: u32, len: u64) -> String {
        let start = self.address(va);
        let missing = self.missing(offset.into(), len);
        if missing > 0 {
            self.anomalies.push(Anomaly::bytes(format!(
                "the file is cut short: {missing} bytes of the {len} at {offset:#x} are missing"
            )));
        }
        let len = len.min(u64::MAX.wrapping_sub(start));
        extent::add(
            &mut self.extents,
            Extent {
                start,
                len,
                offset: offset.into(),
            },
        );
        format!("{len} bytes at file offset {offset:#x}, virtual {start:#x}")
    }

    /// Places the copy of a kernel object at `offset` if it names its own address.
    fn place_copy(&mut self, offset: u32, len: u64) -> String {
        match self.own_address(offset) {
            Some(va) if len > 0 => self.place(va, offset, len),
            _ => format!("{len} bytes at file offset {offset:#x}, virtual address not known"),
        }
    }

    /// The address of the object whose copy lies at `offset`, by its `DISPATCHER_HEADER`: the
    /// empty list `WaitListHead` at 8 points at itself both ways.
    fn own_address(&self, offset: u32) -> Option<u64> {
        let mut head = Cursor::new(self.file, (offset as usize).checked_add(8)?);
        let (flink, blink) = if self.wide {
            (head.le64("Flink").ok()?, head.le64("Blink").ok()?)
        } else {
            let flink = head.le32("Flink").ok()?;
            (flink.into(), head.le32("Blink").ok()?.into())
        };
        let kernel = if self.wide { 1 << 63 } else { 1 << 31 };
        (flink == blink && flink >= kernel && flink.is_multiple_of(8))
            .then(|| flink.wrapping_sub(8))
    }
}

/// Reads a triage dump.
pub(super) fn read(data: Data, header: &Header) -> Result<Body, NotRead> {
    let file = data.look();
    let triage = Triage::parse(file, header)?;
    let mut blocks = Blocks {
        file,
        wide: header.wide,
        extents: Vec::new(),
        anomalies: Vec::new(),
    };
    let mut facts = said(&triage);
    valid(file, &triage, &mut blocks.anomalies);
    if triage.block_count > 0 {
        blocks.read(&triage)?;
    }
    let held = blocks
        .extents
        .iter()
        .fold(0_u64, |sum, e| sum.saturating_add(e.len));
    facts.push((
        "data blocks",
        format!(
            "{}, {held} bytes, listed at file offset {:#x}",
            triage.block_count, triage.blocks
        ),
    ));
    if triage.stack != 0 && triage.stack_bytes != 0 {
        let place = blocks.place(triage.top_of_stack, triage.stack, triage.stack_bytes.into());
        facts.push(("stack", place));
    }
    if triage.page != 0 && triage.page_bytes != 0 {
        let place = blocks.place(triage.page_address, triage.page, triage.page_bytes.into());
        facts.push(("data page", place));
    }
    if triage.debugger_data != 0 && triage.debugger_data_bytes != 0 {
        let (offset, len) = (triage.debugger_data, triage.debugger_data_bytes);
        let place = match header.hint.debugger_data {
            Some(va) => blocks.place(va.0, offset, len.into()),
            None => format!("{len} bytes at file offset {offset:#x}, virtual address not known"),
        };
        facts.push(("debugger data", place));
    }
    if triage.prcb != 0 {
        let (at, len) = (triage.prcb, triage.section(triage.prcb));
        facts.push(("_KPRCB copy", format!("{len} bytes at file offset {at:#x}")));
    }
    for (name, offset) in [
        ("_ETHREAD copy", triage.thread),
        ("_EPROCESS copy", triage.process),
    ] {
        if offset != 0 {
            facts.push((name, blocks.place_copy(offset, triage.section(offset))));
        }
    }
    let mut hints = vec![Hint::VirtualBlocks];
    let drivers = drivers(file, header.wide, &triage, &mut blocks.anomalies);
    facts.push(("drivers", drivers.len().to_string()));
    hints.extend(drivers.into_iter().map(Hint::Driver));
    if let Some(unloaded) = unloaded(file, header.wide, &triage) {
        facts.push(("unloaded drivers", unloaded));
    }
    let after = data.len().saturating_sub(triage.size.into());
    if triage.size > 0 && after > 0 {
        let text = if file.has(triage.size as usize, b"DumpBlob") {
            " (secondary data)"
        } else {
            ""
        };
        facts.push(("bytes after the dump", format!("{after}{text}")));
    }
    let Blocks {
        extents, anomalies, ..
    } = blocks;
    if extents.is_empty() {
        return Err(Malformed::new(
            header.bytes,
            "at least one block of memory: data blocks, a stack or a data page",
        )
        .into());
    }
    if extents
        .iter()
        .all(|extent| extent.offset >= file.len() as u64)
    {
        return Err(Malformed::new(
            file.len() as u64,
            format!(
                "the triage dump's blocks of memory ({} bytes promised by SizeOfDump); the file ends \
                 here, before the first",
                triage.size
            ),
        )
        .into());
    }
    Ok(Body {
        memory: Arc::new(FlatMemory::new(
            Bytes::File(data),
            extents,
            Cause::NotCaptured,
        )),
        hints,
        facts,
        anomalies,
    })
}

/// The header's plain fields.
fn said(triage: &Triage) -> Vec<(&'static str, String)> {
    let at = |offset: u32| match offset {
        0 => "none".to_owned(),
        _ => format!("at file offset {offset:#x}"),
    };
    vec![
        ("memory", "by virtual address".to_owned()),
        ("ServicePackBuild", format!("{:#x}", triage.service_pack)),
        ("SizeOfDump", triage.size.to_string()),
        ("TriageOptions", format!("{:#x}", triage.options)),
        ("context of the triage dump", at(triage.context)),
        ("exception of the triage dump", at(triage.exception)),
        ("memory manager data", at(triage.memory_manager)),
        ("broken driver", at(triage.broken_driver)),
        (
            "string pool",
            format!(
                "{} bytes at file offset {:#x}",
                triage.string_bytes, triage.strings
            ),
        ),
    ]
}

/// Says so when the mark at the dump's end is not there.
fn valid(file: Look<'_>, triage: &Triage, anomalies: &mut Vec<Anomaly>) {
    if !file.has(triage.valid as usize, VALID) {
        anomalies.push(Anomaly::bytes(format!(
            "at file offset {:#x}: expected TRGD, the end of a triage dump of {} bytes; the dump was not \
             finished, or is cut short",
            triage.valid, triage.size
        )));
    }
}

/// The driver list, as far as the file holds it.
fn drivers(
    file: Look<'_>,
    wide: bool,
    triage: &Triage,
    anomalies: &mut Vec<Anomaly>,
) -> Vec<Driver> {
    let (each, before) = if wide { DRIVER64 } else { DRIVER32 };
    let mut list = Vec::new();
    let mut head = Cursor::new(file, triage.drivers as usize);
    let mut nameless = 0_u32;
    // Entries may share a name; all names together are no longer than the file.
    let mut room = file.len();
    for _ in 0..triage.driver_count {
        let Ok(entry) = head.take(each as usize, "a driver entry") else {
            break;
        };
        let offset = (head.at() as u64).saturating_sub(each.saturating_sub(before).into());
        let name = Cursor::new(&*entry, 0).le32("a driver's name").ok();
        let name = name.and_then(|at| dump_string(file, at, room));
        room = room.saturating_sub(name.as_ref().map_or(0, |name| name.len().saturating_mul(2)));
        nameless = nameless.saturating_add(name.is_none().into());
        list.push(Driver {
            name: name.unwrap_or_default(),
            loader_entry: entry.get(before as usize..).unwrap_or_default().to_vec(),
            offset,
        });
    }
    if list.len() as u64 != u64::from(triage.driver_count) {
        anomalies.push(Anomaly::bytes(format!(
            "the driver list at file offset {:#x} promises {} entries, and {} are in the file",
            triage.drivers,
            triage.driver_count,
            list.len()
        )));
    }
    if nameless > 0 {
        anomalies.push(Anomaly::harmless(format!(
            "{nameless} drivers have no name in the file"
        )));
    }
    list
}

/// A `DUMP_STRING` of at most `most` bytes: its length in UTF-16 units, then the units.
fn dump_string(file: Look<'_>, at: u32, most: usize) -> Option<Vec<u16>> {
    let mut head = Cursor::new(file, at as usize);
    let units = head.le32("a string's length").ok()?;
    if at == 0 || units == 0 || units > NAME_MAX {
        return None;
    }
    let bytes = (units as usize)
        .checked_mul(2)
        .filter(|bytes| *bytes <= most)?;
    let bytes = head.take(bytes, "a string").ok()?;
    Some(utf16(&bytes))
}

fn utf16(bytes: &[u8]) -> Vec<u16> {
    let units = bytes.chunks_exact(2);
    units
        .map(|unit| u16::from_le_bytes(unit.try_into().unwrap_or_default()))
        .collect()
}

/// The unloaded drivers in words, as far as the file holds them.
fn unloaded(file: Look<'_>, wide: bool, triage: &Triage) -> Option<String> {
    if triage.unloaded == 0 {
        return None;
    }
    let room = usize::try_from(triage.section(triage.unloaded)).ok()?;
    let mut head = Cursor::new(file, triage.unloaded as usize);
    let count = if wide {
        head.le64("the count of unloaded drivers").ok()?
    } else {
        head.le32("the count of unloaded drivers").ok()?.into()
    };
    let each = if wide { UNLOADED64 } else { UNLOADED32 };
    let mut list = Vec::new();
    for _ in 0..count.min(room.checked_div(each).unwrap_or(0) as u64) {
        let Ok(entry) = head.take(each, "an unloaded driver") else {
            break;
        };
        let mut entry = Cursor::new(&*entry, 0);
        let len = usize::from(entry.le16("Length").ok()?).min(UNLOADED_NAME);
        entry
            .pass(if wide { 14 } else { 6 }, "the rest of the string")
            .ok()?;
        let name = entry.take(UNLOADED_NAME, "DriverName").ok()?;
        let name: String = char::decode_utf16(utf16(name.get(..len)?))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        let (start, end) = if wide {
            (
                entry.le64("StartAddress").ok()?,
                entry.le64("EndAddress").ok()?,
            )
        } else {
            let start = entry.le32("StartAddress").ok()?;
            (start.into(), entry.le32("EndAddress").ok()?.into())
        };
        list.push(format!("{} {start:#x}-{end:#x}", name.escape_debug()));
    }
    Some(format!("{count}: {}", list.join(", ")))
}
