//! kdump's compressed dumps and diskdumps: makedumpfile's, and those of QEMU's `dump-guest-memory`.
//!
//! ```text
//!   block 0          disk_dump_header: version, utsname, block size, number of page frames
//!   1 …              kdump_sub_header, and what it points to: VMCOREINFO, ELF notes, erase info
//!   1 + sub_hdr_size bitmap of the frames that the machine has, bitmap of those in the dump
//!   … + bitmaps      page descriptors: offset, size, flags, one for each frame in the dump
//!   behind them      pages, each compressed by itself or not at all
//! ```
//!
//! A frame that the machine has and the dump has not is excluded. Pages of zeros share one
//! descriptor's bytes. Nothing is kept for each page: the descriptor of a frame is found by counting
//! the bits before its own, with sums kept for each 4,096 of them.
//!
//! Sources: makedumpfile 1.7 `diskdump_mod.h`, `makedumpfile.c`; crash 8 `diskdump.c`; QEMU 10
//! `include/sysemu/dump.h`, `dump/dump.c`.

mod bitmap;
mod header;
mod memory;
mod pages;
mod parts;

use std::path::Path;
use std::sync::Arc;

use osier_memory::{Hint, Machine};

use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::format::Format;
use crate::notes::{self, Notes};
use crate::pieces::{CUT_SHORT, View};
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use bitmap::Bitmap;
use header::Header;
pub(crate) use header::recognises;
use memory::{KdumpMemory, Part};

/// The longest text of VMCOREINFO or erase info that is taken.
const TEXT_MAX: u64 = 1 << 20;
/// The longest notes that are taken.
const NOTES_MAX: u64 = 64 << 20;
/// The longest bitmap that is taken, of 32 TiB in pages of 4 KiB.
const BITMAP_MAX: u64 = 1 << 30;
/// The most of an erase info that is shown.
const SHOWN: usize = 400;

/// Opens a dump, flattened or not, with the other files of a split one.
///
/// # Errors
///
/// The headers contradict themselves, or a part of a split dump is missing.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let view = View::new(data.clone()).map_err(|bad| bad.in_file(path))?;
    of_view(path, view, options)
}

/// As [`open`], of a dump whose pieces are known.
pub(crate) fn of_view(
    path: &Path,
    view: View,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let file_bytes = view.file_bytes();
    let in_file = |bad: Malformed| bad.in_file(path);
    let mut header = header::read(&view).map_err(in_file)?;
    let mut anomalies = Vec::new();
    let (present, dumped) = bitmaps(&view, &mut header, &mut anomalies).map_err(in_file)?;
    if header.status & header::INCOMPLETE != 0 {
        anomalies.push(Anomaly::bytes(
            "the writer of the dump ran out of space: pages at its end are missing",
        ));
    }
    if view.cut_short {
        anomalies.push(Anomaly::bytes(CUT_SHORT));
    }
    let mut facts = facts(&view, &header);
    let mut notes = Notes::default();
    let (at, len) = header.sub.notes;
    if len > 0 {
        match view.header(at, len.min(NOTES_MAX)) {
            Some(bytes) => notes::parse(&bytes, view.file_offset(at), &mut notes),
            None => anomalies.push(Anomaly::processors(format!(
                "the notes at {at:#x} are not in the file"
            ))),
        }
        facts.push(("notes", notes.names()));
    }
    let vmcoreinfo = text(&view, header.sub.vmcoreinfo).or(notes.vmcoreinfo.take());
    notes.compare();
    anomalies.append(&mut notes.anomalies);
    let cpus = notes.cpus(notes.is_wide());
    if cpus.is_empty() && notes.prstatus > 0 {
        facts.push(("processors", notes.without_control_registers()));
    }

    let first = Part {
        frames: if header.sub.split {
            header.sub.start..header.sub.end
        } else {
            0..header.max_mapnr
        },
        descriptors: header.descriptors(),
        view,
    };
    let mut all = vec![first];
    if header.sub.split {
        all.extend(parts::others(path, &header, options)?);
        all = parts::in_order(all, &mut anomalies);
        if all.iter().skip(1).any(|part| part.view.cut_short) {
            anomalies.push(Anomaly::bytes(CUT_SHORT));
        }
        facts.push(("files of the split dump", all.len().to_string()));
    }
    let cache = PageCache::of_pages(options.cache_bytes());
    let memory = KdumpMemory::new(all, present, dumped, header.block, cache);
    if let Some((first, end)) = memory.first_missing() {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!(
                "a split dump, and the file with its page frames {first:#x} to {:#x} is not here",
                end.saturating_sub(1)
            ),
            way_out: "put all files of the dump into one folder, or name the others".to_owned(),
        });
    }
    anomalies.extend(memory.contradictions().into_iter().map(Anomaly::bytes));
    let (in_machine, in_dump) = memory.counts();
    if let Some(in_machine) = in_machine {
        facts.push(("pages of the machine", in_machine.to_string()));
        let excluded = in_machine.saturating_sub(in_dump);
        facts.push(("pages excluded", excluded.to_string()));
    }
    facts.push(("pages in the dump", in_dump.to_string()));
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(memory),
            cpus,
            hints: vmcoreinfo.into_iter().map(Hint::Vmcoreinfo).collect(),
        },
        info: SnapshotInfo::new(
            if header.diskdump {
                Format::Diskdump
            } else {
                Format::Kdump
            },
            path,
            file_bytes,
            facts,
            anomalies,
        ),
    })
}

/// The bitmaps of the frames in the machine (when there is one) and in the dump. The number of
/// frames is cut to what they have bits for.
fn bitmaps(
    view: &View,
    header: &mut Header,
    anomalies: &mut Vec<Anomaly>,
) -> Result<(Option<Bitmap>, Bitmap), Malformed> {
    let (at, bytes) = (header.bitmaps(), header.bitmap_bytes());
    let two = header.two_bitmaps();
    let one = if two { bytes / 2 } else { bytes };
    let bits = one.saturating_mul(8);
    if header.max_mapnr > bits {
        anomalies.push(Anomaly::bytes(format!(
            "the header speaks of {} page frames, the bitmap has {bits}",
            header.max_mapnr
        )));
        header.max_mapnr = bits;
    }
    let used = header.max_mapnr.div_ceil(8);
    let bitmap = |at: u64| {
        let used = used.min(BITMAP_MAX);
        let bits = view.header(at, used);
        let bits = bits.ok_or_else(|| {
            let at = view.file_offset(at);
            Malformed::new(at, format!("a bitmap of {used} bytes"))
        })?;
        Ok(Bitmap::new(bits, header.max_mapnr))
    };
    if two {
        let (present, dumped) = (bitmap(at)?, bitmap(at.saturating_add(one))?);
        if !dumped.within(&present) {
            anomalies.push(Anomaly::bytes(
                "the bitmap of the dump has page frames that the machine's bitmap has not",
            ));
        }
        Ok((Some(present), dumped))
    } else {
        Ok((None, bitmap(at)?))
    }
}

/// A text that the sub-header points to.
fn text(view: &View, (at, len): (u64, u64)) -> Option<Vec<u8>> {
    if len == 0 || len > TEXT_MAX {
        return None;
    }
    view.header(at, len)
}

fn facts(view: &View, header: &Header) -> Vec<(&'static str, String)> {
    let sub = &header.sub;
    let mut facts = vec![
        ("header version", header.version.to_string()),
        (
            "header width",
            if header.wide { "64" } else { "32" }.to_owned(),
        ),
        (
            "flattened",
            if view.is_flattened() { "yes" } else { "no" }.to_owned(),
        ),
    ];
    let names = header.names.join(" ");
    if !names.trim().is_empty() {
        facts.push(("utsname", names));
    }
    if header.seconds > 0 {
        facts.push(("seconds since 1970", header.seconds.to_string()));
    }
    facts.push(("status", format!("{:#x}", header.status)));
    facts.push(("page bytes", header.block.to_string()));
    facts.push(("page frames", header.max_mapnr.to_string()));
    facts.push(("processors of the header", header.cpus.to_string()));
    if !header.diskdump {
        facts.push(("phys_base", format!("{:#x}", sub.phys_base)));
    }
    if let Some(level) = sub.dump_level {
        facts.push(("dump level", level.to_string()));
    }
    if sub.split {
        facts.push((
            "page frames here",
            format!("{:#x}..{:#x}", sub.start, sub.end),
        ));
    }
    if sub.vmcoreinfo.1 > 0 {
        facts.push(("VMCOREINFO bytes", sub.vmcoreinfo.1.to_string()));
    }
    if let Some(erased) = text(view, sub.erased) {
        let shown = erased.get(..SHOWN).unwrap_or(&erased);
        facts.push(("erased", shown.escape_ascii().to_string()));
    }
    facts
}
