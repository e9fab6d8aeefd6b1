//! makedumpfile's flattened form, which is a dump written to a pipe: pieces, each behind its length and
//! its offset in the dump. A piece may be written over by a later one.
//!
//! A header of 4,096 bytes starts with `makedumpfile`, padded to 16 bytes, and two big-endian 64-bit
//! numbers, type 1 and version 1. Pieces follow: offset and length (big-endian, signed, 64 bits),
//! and that many bytes. The offset −1 ends them.
//!
//! Source: makedumpfile 1.7 `makedumpfile.h` (`struct makedumpfile_header`,
//! `struct makedumpfile_data_header`).

use std::io::{self, Read};
use std::path::Path;

use crate::anomaly::Anomaly;
use crate::data::Data;
use crate::error::OpenError;
use crate::look::Look;
use crate::pieces::{CUT_SHORT, View};
use crate::snapshot::{OpenOptions, Snapshot};
use crate::{elf, filled, kdump};

/// Opens a flattened dump: a kdump where it lies, an ELF core out of a scratch file.
///
/// # Errors
///
/// The flattened form contradicts itself, or what it holds does.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let view = View::new(data.clone()).map_err(|bad| bad.in_file(path))?;
    let head = view.header(0, 8).unwrap_or_default();
    if head.starts_with(elf::MAGIC) {
        let data = rearranged(&view, path, options)?;
        let opened = elf::open(path, &data, options);
        data.whole(path)?;
        let mut snapshot = opened?;
        snapshot.info.file_bytes = file_bytes;
        snapshot.info.scratch_bytes = data.scratch_bytes();
        snapshot
            .info
            .facts
            .insert(0, ("flattened", "yes".to_owned()));
        if view.cut_short {
            let cut = Anomaly::bytes(CUT_SHORT);
            snapshot.info.anomalies.insert(0, cut);
        }
        return Ok(snapshot);
    }
    if kdump::recognises(Look::from(&head)) {
        return kdump::of_view(path, view, options);
    }
    Err(OpenError::NotASnapshot {
        path: path.to_owned(),
        found: "a flattened file that holds neither a kdump nor an ELF core at its start"
            .to_owned(),
        way_out: "take the dump again, or copy it again".to_owned(),
    })
}

/// The dump as it was before it was flattened, in a scratch file.
fn rearranged(view: &View, path: &Path, options: &OpenOptions) -> Result<Data, OpenError> {
    if view.end() > options.scratch_limit {
        return Err(OpenError::ScratchLimit {
            path: path.to_owned(),
            limit: options.scratch_limit,
        });
    }
    let (data, ()) = filled::filled(options, |file| {
        for (start, piece) in view.pieces.iter().flatten() {
            file.zeros_up_to(*start);
            let mut bytes = view.data.reader(piece.offset).take(piece.len);
            io::copy(&mut bytes, file)?;
        }
        Ok(())
    })?;
    Ok(data)
}
