//! PANDA's recordings: loose files by base name or folder, and the archives `.rr2` and `.rr`.
//!
//! Sources: PANDA `panda/src/rr/rr_log.c`, `panda/src/rr/panda_rr2.c`, `panda/scripts/rrpack.py`
//! and `rr2pack.py` (v1.8).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use osier_memory::Hint;

use crate::anomaly::Anomaly;
use crate::data::Data;
use crate::error::{OpenError, io_error};
use crate::format::Format;
use crate::recording::{LOG, SNAPSHOT, count};
use crate::snapshot::{OpenOptions, Snapshot};
use crate::wrapped::{Unpacker, Wrapping, is_tar};
use crate::{filled, stream};

const GZIP: &[u8] = b"\x1f\x8b";
const RR: &[u8] = b"PANDA_RR";
/// Magic, instruction count, MD5.
const RR_HEADER: u64 = 32;
/// Bytes of a tar's header.
const HEAD: usize = 512;
/// The most bytes of a text member.
const TEXT: u64 = 1 << 20;

/// The file that `path` means: itself, `PATH-rr-snp`, or the only recording in a folder.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let not = |found: String, way_out: &str| OpenError::NotASnapshot {
        path: path.to_owned(),
        found,
        way_out: way_out.to_owned(),
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(path.to_owned()),
        Ok(metadata) if metadata.is_dir() => {
            let mut found = Vec::new();
            for entry in fs::read_dir(path).map_err(io_error(path, "cannot be listed"))? {
                let entry = entry.map_err(io_error(path, "cannot be listed"))?.path();
                let name = entry.as_os_str().as_encoded_bytes();
                if name.ends_with(SNAPSHOT.as_bytes()) && entry.is_file() {
                    found.push(entry);
                }
            }
            found.sort();
            match found.as_slice() {
                [one] => Ok(one.clone()),
                [] => Err(not(
                    format!("a folder without a recording (NAME{SNAPSHOT})"),
                    "give a snapshot's file",
                )),
                many => {
                    let names: Vec<_> = many
                        .iter()
                        .map(|p| osier_text::path(p).to_string())
                        .collect();
                    Err(not(
                        format!("a folder with {} recordings", many.len()),
                        &format!("give one of {}", names.join(", ")),
                    ))
                }
            }
        }
        Ok(_) => Err(not(
            "a pipe or device, and a snapshot is random access".to_owned(),
            "write it to a file and give that",
        )),
        Err(_) if path == Path::new("-") => Err(not(
            "standard input, and a snapshot is random access".to_owned(),
            "write it to a file and give that",
        )),
        Err(error) => {
            let mut name = path.as_os_str().to_owned();
            name.push(SNAPSHOT);
            let snapshot = PathBuf::from(name);
            if snapshot.is_file() {
                Ok(snapshot)
            } else {
                Err(io_error(path, "cannot be opened")(error))
            }
        }
    }
}

/// A stream out of an archive.
struct Unpacked {
    format: Format,
    data: Data,
    facts: Vec<(&'static str, String)>,
    hints: Vec<Hint>,
    anomalies: Vec<Anomaly>,
}

/// Whether the file is one of PANDA's archives: `.rr`, or a tar, gzip-compressed or not, whose
/// first member is one of a recording's.
pub(crate) fn is_archive(data: &Data) -> bool {
    let file = data.look();
    if file.starts_with(GZIP) {
        let mut head = [0; HEAD];
        let mut peek = flate2::bufread::MultiGzDecoder::new(data.reader(0));
        return peek.read_exact(&mut head).is_ok() && starts_recording(&head);
    }
    file.starts_with(RR) || starts_recording(&file.some(0, HEAD))
}

/// Whether a tar's first header names a file of a recording; an extended header's own name tells
/// nothing, and is believed to be one's.
fn starts_recording(head: &[u8]) -> bool {
    const MEMBERS: [&[u8]; 6] = [
        b"RRv2",
        b"capture.cmd",
        b"snapshot",
        b"metadata.json",
        b"nondetlog",
        b"sha1",
    ];
    let name = head.get(..100).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let loose = name.ends_with(SNAPSHOT.as_bytes()) || name.ends_with(LOG.as_bytes());
    is_tar(head) && (MEMBERS.contains(&name) || loose)
}

/// Opens the stream in an archive. Offsets in errors are those of the stream.
///
/// # Errors
///
/// The archive holds no stream or several, unpacks to too much, or its stream contradicts itself.
pub(crate) fn open_archive(
    path: &Path,
    data: &Data,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let archive = unpack(path, data, options)?;
    let around = stream::Around {
        path,
        format: archive.format,
        file_bytes: data.len(),
        facts: archive.facts,
        anomalies: archive.anomalies,
        plugged: Vec::new(),
    };
    let mut snapshot = stream::open_inside(&archive.data, around, options)?;
    snapshot.machine.hints.extend(archive.hints);
    Ok(snapshot)
}

fn unpack(path: &Path, data: &Data, options: &OpenOptions) -> Result<Unpacked, OpenError> {
    let file = data.look();
    if file.starts_with(RR) {
        let left = data.len().saturating_sub(RR_HEADER);
        let packed = data.part(RR_HEADER, left).unwrap_or_else(|| data.clone());
        let reader = Unpacker::new(Wrapping::Xz, packed);
        let mut unpacked = packed_members(path, Format::PandaRr, reader, options)?;
        let instructions = file.array::<8>(8).map(u64::from_le_bytes);
        if let Some(count) = instructions {
            unpacked
                .facts
                .push(("recorded instructions", count.to_string()));
        }
        return Ok(unpacked);
    }
    if file.starts_with(GZIP) {
        let reader = Unpacker::new(Wrapping::Gzip, data.clone());
        return packed_members(path, Format::PandaRr2, reader, options);
    }
    members(path, Format::PandaRr2, data.reader(0), Some(data), options)
}

/// As [`members`], of a compressed archive, which is read to its end: its checksum stands there.
fn packed_members(
    path: &Path,
    format: Format,
    mut reader: Unpacker,
    options: &OpenOptions,
) -> Result<Unpacked, OpenError> {
    let mut unpacked = members(path, format, &mut reader, None, options)?;
    let rest = io::copy(&mut reader.by_ref().take(bound(options)), &mut io::sink());
    rest.map_err(io_error(path, "cannot be unpacked"))?;
    unpacked.anomalies.extend(reader.into_anomalies());
    Ok(unpacked)
}

/// The most bytes of all members together, and with it the work that a small archive can ask for.
fn bound(options: &OpenOptions) -> u64 {
    let texts = TEXT.saturating_mul(16);
    options.scratch_limit.saturating_add(texts)
}

/// Goes through a tar's members. With `plain`, the archive is not compressed and its stream is used
/// where it lies.
fn members(
    path: &Path,
    format: Format,
    reader: impl Read,
    plain: Option<&Data>,
    options: &OpenOptions,
) -> Result<Unpacked, OpenError> {
    let broken = || io_error(path, "cannot be unpacked");
    let mut found = None;
    let mut facts = Vec::new();
    let mut hints = Vec::new();
    let mut anomalies = Vec::new();
    let mut archive = tar::Archive::new(reader.take(bound(options)));
    for entry in archive.entries().map_err(broken())? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) if found.is_some() => {
                anomalies.push(Anomaly::bytes(format!(
                    "the archive ends or is damaged behind its snapshot: {error}"
                )));
                break;
            }
            Err(error) => return Err(broken()(error)),
        };
        let name = entry.path_bytes().into_owned();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        if name == b"snapshot" || name.ends_with(SNAPSHOT.as_bytes()) {
            if found.is_some() {
                return Err(OpenError::NotASnapshot {
                    path: path.to_owned(),
                    found: "an archive with several snapshots".to_owned(),
                    way_out: "unpack it and give one of them".to_owned(),
                });
            }
            if let Some(data) = plain {
                let (start, size) = (entry.raw_file_position(), entry.size());
                let held = size.min(data.len().saturating_sub(start));
                if held < size {
                    anomalies.push(cut(held, size));
                }
                found = data.part(start, held);
                continue;
            }
            if entry.size() > options.scratch_limit {
                return Err(OpenError::ScratchLimit {
                    path: path.to_owned(),
                    limit: options.scratch_limit,
                });
            }
            let size = entry.size();
            let mut begun = false;
            let (data, bytes) = filled::filled(options, |file| {
                if std::mem::replace(&mut begun, true) {
                    // Another folder could not hold it, and what was read is gone.
                    return Err(io::ErrorKind::StorageFull.into());
                }
                io::copy(&mut entry, file)
            })?;
            if bytes < size {
                anomalies.push(cut(bytes, size));
            }
            found = Some(data);
        } else if name == b"capture.cmd" {
            if let Some(text) = text(entry) {
                facts.push(("command line", text.trim().to_owned()));
            }
        } else if name == b"RRv2" {
            if let Some(text) = text(entry) {
                facts.push(("written by", text.trim().to_owned()));
            }
        } else if name == b"metadata.json" {
            metadata(text(entry), &mut facts, &mut hints);
        } else if (name == b"nondetlog" || name.ends_with(LOG.as_bytes()))
            && let Some(count) = count(entry)
            && format == Format::PandaRr2
        {
            facts.push(("recorded instructions", count.to_string()));
        }
    }
    let data = found.ok_or_else(|| OpenError::NotASnapshot {
        path: path.to_owned(),
        found: "an archive without a PANDA snapshot in it".to_owned(),
        way_out: "unpack it first".to_owned(),
    })?;
    if !data.look().starts_with(stream::MAGIC) {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "an archive whose snapshot is no QEMU stream".to_owned(),
            way_out: "record again, or unpack it and look".to_owned(),
        });
    }
    Ok(Unpacked {
        format,
        data,
        facts,
        hints,
        anomalies,
    })
}

/// What to say of a snapshot that is cut short with its archive.
fn cut(held: u64, size: u64) -> Anomaly {
    Anomaly::bytes(format!(
        "the archive ends inside its snapshot, of which it holds {held} of {size} bytes"
    ))
}

fn text(entry: impl Read) -> Option<String> {
    let mut text = String::new();
    entry.take(TEXT).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `{"profile": "<-os string>", "memory_size": <MiB>}`.
fn metadata(text: Option<String>, facts: &mut Vec<(&'static str, String)>, hints: &mut Vec<Hint>) {
    let json = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let Some(json) = json else { return };
    let profile = json.get("profile").and_then(serde_json::Value::as_str);
    if let Some(profile) = profile.filter(|profile| !profile.is_empty()) {
        facts.push(("OS profile", profile.to_owned()));
        hints.push(Hint::OsName(profile.to_owned()));
    }
    if let Some(size) = json.get("memory_size").and_then(serde_json::Value::as_u64) {
        facts.push(("memory size (MiB)", size.to_string()));
    }
}
