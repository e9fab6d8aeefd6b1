//! The files of a split dump (`makedumpfile --split`). Each has all headers and bitmaps, and the
//! descriptors and pages of its own page frames.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::header::{self, Header};
use super::memory::Part;
use crate::anomaly::Anomaly;
use crate::data::Data;
use crate::error::{OpenError, io_error};
use crate::look::Look;
use crate::pieces::{self, View};
use crate::snapshot::OpenOptions;

/// The most files of a folder that are looked at.
const FILES_MAX: usize = 10_000;

/// The other files of the split dump at `path`: those that are named, or those in its folder whose
/// headers are of the same dump.
pub(super) fn others(
    path: &Path,
    header: &Header,
    options: &OpenOptions,
) -> Result<Vec<Part>, OpenError> {
    let mut parts = Vec::new();
    if options.parts.is_empty() {
        for file in siblings(path)? {
            let Ok(data) = Data::open(&file) else {
                continue;
            };
            parts.extend(part(data.clone(), header));
            data.whole(&file)?;
        }
        return Ok(parts);
    }
    for file in &options.parts {
        if same_file(file, path) {
            continue;
        }
        let data = Data::open(file).map_err(io_error(file, "cannot be opened"))?;
        let part = part(data.clone(), header);
        data.whole(file)?;
        let part = part.ok_or_else(|| OpenError::NotASnapshot {
            path: file.clone(),
            found: format!("no part of the split dump {}", osier_text::path(path)),
            way_out: "name the files that makedumpfile --split wrote at once".to_owned(),
        })?;
        parts.push(part);
    }
    Ok(parts)
}

/// The parts by their page frames. Of two with the same frames, one counts.
pub(super) fn in_order(mut parts: Vec<Part>, anomalies: &mut Vec<Anomaly>) -> Vec<Part> {
    parts.sort_by_key(|part| (part.frames.start, part.frames.end));
    let mut end = 0_u64;
    let mut twice = 0_u64;
    parts.retain(|part| {
        if part.frames.is_empty() {
            return false;
        }
        if part.frames.start < end {
            twice = twice.saturating_add(1);
            return false;
        }
        end = part.frames.end;
        true
    });
    if twice > 0 {
        anomalies.push(Anomaly::bytes(format!(
            "files not used, for another one holds their page frames: {twice}"
        )));
    }
    parts
}

/// The file as a part, when its header is of the same dump.
fn part(data: Data, header: &Header) -> Option<Part> {
    let view = View::new(data).ok()?;
    let theirs = header::read(&view).ok()?;
    let same = theirs.sub.split
        && theirs.names == header.names
        && theirs.seconds == header.seconds
        && theirs.block == header.block
        && theirs.bitmap_blocks == header.bitmap_blocks
        && theirs.sub.dump_level == header.sub.dump_level;
    same.then(|| Part {
        frames: theirs.sub.start..theirs.sub.end,
        descriptors: theirs.descriptors(),
        view,
    })
}

/// The other files in the folder of `path` that start as dumps do.
fn siblings(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).map_err(io_error(folder, "cannot be listed"))?;
    let mut files: Vec<PathBuf> = entries
        .take(FILES_MAX)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.is_file() && starts_as_a_dump(file) && !same_file(file, path))
        .collect();
    files.sort();
    Ok(files)
}

fn starts_as_a_dump(file: &Path) -> bool {
    let mut head = [0; 16];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && (header::recognises(Look::from(&head[..])) || head.starts_with(pieces::MAGIC))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
