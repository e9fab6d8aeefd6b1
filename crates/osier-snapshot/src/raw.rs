//! Raw memory: file offset = guest-physical address, or a bare RAM block split at 4 GiB.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use osier_memory::{Cause, Machine, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::data::Data;
use crate::error::OpenError;
use crate::extent::Extent;
use crate::flat::FlatMemory;
use crate::format::Format;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use crate::written::{PIECE, WriteError, in_pieces};
use crate::{hyperv, layout, vmware};

/// A raw dump shorter than this must at least be whole pages.
const RAW_MIN: u64 = 1 << 20;

/// Writes `ranges` of `memory` raw, every byte in its turn, as a device or a pipe takes them: file offset =
/// guest-physical address. What is between the ranges stands as zeros, for the format has no words for it.
///
/// # Errors
///
/// [`WriteError`]: the file, or a page that cannot be read.
pub fn write_raw(
    memory: &dyn PhysicalMemory,
    ranges: &[PhysRun],
    out: &mut dyn Write,
) -> Result<(), WriteError> {
    let zeros = vec![0; PIECE];
    let mut end = 0_u64;
    for &range in ranges {
        while end < range.start.0 {
            let left = range.start.0.saturating_sub(end);
            let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            out.write_all(zeros.get(..n).unwrap_or_default())?;
            end = end.saturating_add(n as u64);
        }
        in_pieces(memory, range, |_, bytes| out.write_all(bytes))?;
        end = range.end().0;
    }
    Ok(out.flush()?)
}

/// As [`write_raw`], into an empty file: what is between the ranges is a hole of the file, and so are pages
/// of zeros, which the file system reads back as such.
///
/// # Errors
///
/// As [`write_raw`].
pub fn write_raw_sparse(
    memory: &dyn PhysicalMemory,
    ranges: &[PhysRun],
    file: &mut File,
) -> Result<(), WriteError> {
    let mut out = BufWriter::with_capacity(PIECE, &mut *file);
    for &range in ranges {
        in_pieces(memory, range, |at, bytes| {
            for (at, page) in (at.0..)
                .step_by(PAGE_BYTES as usize)
                .zip(bytes.chunks(PAGE_BYTES as usize))
            {
                if page.iter().any(|byte| *byte != 0) {
                    out.seek(SeekFrom::Start(at))?;
                    out.write_all(page)?;
                }
            }
            Ok(())
        })?;
    }
    out.flush()?;
    drop(out);
    let end = ranges.last().map_or(0, |range| range.end().0);
    Ok(file.set_len(end)?)
}

/// Opens whatever no other reader recognised.
///
/// # Errors
///
/// A short file that is not whole pages is no dump.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    of_bytes(path, Bytes::File(data.clone()), options)
}

/// The raw memory that `bytes` are.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn of_bytes(
    path: &Path,
    bytes: Bytes,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let len = bytes.len();
    if !len.is_multiple_of(PAGE_BYTES) && len < RAW_MIN {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!("{len} bytes of no known format, and not whole pages of raw memory"),
            way_out: "give a raw dump, an ELF core, a QEMU stream or a PANDA recording".to_owned(),
        });
    }
    let mut anomalies = Vec::new();
    if !len.is_multiple_of(PAGE_BYTES) {
        anomalies.push(Anomaly::bytes(format!(
            "the file's length is not a multiple of a page: {} bytes over",
            len % PAGE_BYTES
        )));
    }
    anomalies.extend(piece(path).map(Anomaly::bytes));
    anomalies.extend(holes_gone(len).map(Anomaly::harmless));
    anomalies.extend(vmware::hints(path, len, options.ram_split.is_some()));
    anomalies.extend(hyperv::hint(path).map(Anomaly::processors));
    let split = options.ram_split.filter(|split| *split < len);
    let stretches = layout::stretches(len, split.unwrap_or(u64::MAX), layout::FOUR_GIB);
    let (stretches, format) = match split {
        Some(_) => (stretches, Format::PcRam),
        None => (vec![(0, len, 0)], Format::Raw),
    };
    let extents: Vec<Extent> = stretches
        .iter()
        .map(|&(start, len, offset)| Extent { start, len, offset })
        .collect();
    let memory = FlatMemory::new(bytes, extents.clone(), Cause::NoRam);
    let ram = extents
        .iter()
        .map(|extent| PhysRun {
            start: PhysAddr(extent.start),
            len: extent.len,
        })
        .collect();
    let mut facts = vec![("RAM bytes", len.to_string())];
    if let Some(split) = split {
        facts.push(("RAM below 4 GiB", split.to_string()));
    }
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(memory),
            cpus: Vec::new(),
            hints: Vec::new(),
        },
        info: SnapshotInfo {
            ram,
            ..SnapshotInfo::new(format, path, len, facts, anomalies)
        },
    })
}

/// What to say of a file that is one of several pieces, by its name and a neighbour's: `NAME.001`.
fn piece(path: &Path) -> Option<String> {
    let number = path.extension()?.to_str()?;
    let digits = number.len() >= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u32>().ok().filter(|_| digits)?;
    let width = path.extension()?.len();
    let beside = [number.checked_add(1), number.checked_sub(1)]
        .into_iter()
        .flatten()
        .map(|number| path.with_extension(format!("{number:0width$}")))
        .find(|beside| beside.is_file())?;
    Some(format!(
        "{} lies beside it: this may be one piece of a raw dump that was split; join the pieces in their \
         order (`cat`) and give the whole",
        osier_text::path(&beside)
    ))
}

/// What to say of a length that no machine's memory has.
fn holes_gone(len: u64) -> Option<String> {
    const MIB: u64 = 1 << 20;
    (len > 16 * MIB && !len.is_multiple_of(MIB)).then(|| {
        format!(
            "its length is no whole number of MiB, as a machine's memory is ({} KiB over): a raw dump \
             that leaves the holes between RAM ranges out (LiME's `format=raw`) has such a length, and \
             every address behind the first hole is then off; take it with `format=lime` or \
             `format=padded`",
            len % MIB / 1024
        )
    })
}
