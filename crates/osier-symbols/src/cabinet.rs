//! A file in a cabinet, as symbol servers keep a compressed PDB: `ntkrnlmp.pd_`.

use std::io::{self, Cursor, Read};

use crate::SymbolError;
use crate::fence::fence;

pub(crate) const MAGIC: &[u8] = b"MSCF";

/// Unpacks the cabinet's only file, of at most `limit` bytes: MSZIP, LZX or stored.
pub(crate) fn unpack(data: &[u8], limit: u64) -> Result<Vec<u8>, SymbolError> {
    // The decoders make no claim about damaged input.
    let unpacked = fence(|| first_file(data, limit));
    let unpacked = unpacked.unwrap_or_else(|_| Err(io::Error::other("its blocks are damaged")));
    unpacked.map_err(|error| SymbolError::Malformed {
        format: "cabinet",
        offset: 0,
        problem: error.to_string(),
    })
}

fn first_file(data: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut cabinet = cab::Cabinet::new(Cursor::new(data))?;
    let files = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries());
    let names: Vec<String> = files.map(|file| file.name().to_owned()).collect();
    let [name] = names.as_slice() else {
        let problem = format!("it holds {} files, not one", names.len());
        return Err(io::Error::other(problem));
    };
    let mut unpacked = Vec::new();
    let file = cabinet.read_file(name)?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > limit {
        return Err(io::Error::other("its file is too large"));
    }
    Ok(unpacked)
}
