//! Windows crash dumps: `MEMORY.DMP`, and what the live tools write in its form.
//!
//! A header of one page (`PAGEDUMP`, 32-bit) or two (`PAGEDU64`) says by its `DumpType` what
//! follows: pages of physical memory by the header's runs, pages by a bitmap, pages by a list of
//! ranges, or blocks of virtual memory (a triage dump, also called small dump or minidump).
//!
//! Whatever a writer has nothing for keeps the word `PAGE`, with which every header is filled at
//! first; it is read as "not there".
//!
//! Sources: `mindumpdef.h` and `ntiodump.h` of Microsoft's kits and `Dump.h` of its published
//! Singularity (headers, summary and triage forms), kdmp-parser 0.8.2 (the range form), and the
//! dumps themselves.

mod bitmap;
mod body;
mod excluded;
mod header;
mod physical;
mod triage;

use std::path::Path;

use osier_memory::{CpuState, Hint, Machine, Paging};

use self::body::Body;
use self::header::{Header, Kind, MAGIC32, MAGIC64};
use crate::context;
use crate::data::Data;
use crate::error::{Malformed, NotRead, OpenError};
use crate::format::Format;
use crate::look::Look;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};

/// Whether the file is a crash dump.
pub(crate) fn recognises(head: Look<'_>) -> bool {
    head.starts_with(MAGIC32) || head.starts_with(MAGIC64)
}

/// Opens a crash dump.
///
/// # Errors
///
/// The header or the body's own header is cut short or contradicts itself, no page of what is
/// promised is in the file, the machine is no x86, or the dump holds no memory by its kind.
pub(crate) fn open(
    path: &Path,
    data: &Data,
    _options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let read = parse(data.clone()).map_err(|error| error.in_file(path))?;
    let (header, cpus, body) = read;
    let mut facts = header.facts;
    facts.extend(body.facts);
    let mut anomalies = header.anomalies;
    anomalies.extend(body.anomalies);
    let mut hints = vec![Hint::CrashDump(Box::new(header.hint))];
    hints.extend(body.hints);
    Ok(Snapshot {
        machine: Machine {
            memory: body.memory,
            cpus,
            hints,
        },
        info: SnapshotInfo::new(Format::CrashDump, path, file_bytes, facts, anomalies),
    })
}

fn parse(data: Data) -> Result<(Header, Vec<CpuState>, Body), NotRead> {
    let mut header = Header::parse(data.look())?;
    let (cpu, said) = processor(data.look(), &header)?;
    header.facts.push(("context record", said));
    let body = match header.kind {
        Kind::Full => physical::full(data, &header)?,
        Kind::Summary | Kind::Bitmap => physical::by_bitmap(&data, &header)?,
        Kind::Ranges => physical::by_ranges(data, &header)?,
        Kind::Triage => triage::read(data, &header)?,
        Kind::HeaderOnly => {
            return Err(NotRead::Other(
                "a Windows crash dump that is a header only (DumpType 3)",
                "it holds no memory: take a kernel or complete dump",
            ));
        }
        Kind::Unknown(_) => {
            return Err(Malformed::new(
                header.kind_at,
                format!(
                    "a DumpType that is known (1, 2, 4 to 10), not {}",
                    header.kind
                ),
            )
            .into());
        }
    };
    Ok((header, cpu.into_iter().collect(), body))
}

/// The processor that the header's context record describes, and what there is to say of it.
///
/// CR3 is the header's `DirectoryTableBase`; CR0 and CR4 are not there, and of the paging a 64-bit
/// header tells no more than the width. The record does not say which processor it is of: the
/// one that crashed, or of a live dump the one whose thread wrote it.
fn processor(file: Look<'_>, header: &Header) -> Result<(Option<CpuState>, String), Malformed> {
    let mut cpu = match context::read(file, header.context_at, header.wide)? {
        Ok(cpu) => cpu,
        Err(flags) => return Ok((None, format!("not used: ContextFlags {flags:#x}"))),
    };
    cpu.cr3 = header.hint.table_root.0;
    cpu.mode = match (header.wide, header.hint.pae) {
        (false, Some(true)) => Some(Paging::Pae),
        (false, Some(false)) => Some(Paging::Legacy),
        _ => None,
    };
    let said = "of one processor whose number is not there; CR3 is DirectoryTableBase; the other \
                control registers, the tables and segment bases are not there";
    Ok((Some(cpu), said.to_owned()))
}
