//! Memory into a file: what the writers of every format have in common.

use std::io;

use osier_memory::{Fault, PhysAddr, PhysRun, PhysicalMemory};

/// Why memory could not be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A page that was read before cannot be read again.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// Bytes that are read and written at once.
pub(crate) const PIECE: usize = 1 << 20;

/// Shows the bytes of `range` piece by piece.
pub(crate) fn in_pieces(
    memory: &dyn PhysicalMemory,
    range: PhysRun,
    mut write: impl FnMut(PhysAddr, &[u8]) -> io::Result<()>,
) -> Result<(), WriteError> {
    let mut at = range.start;
    while at < range.end() {
        let left = usize::try_from(range.end().since(at)).unwrap_or(PIECE);
        let piece = memory.chunk(at)?.truncated(left.min(PIECE));
        write(at, &piece)?;
        at = at.plus(piece.len() as u64);
    }
    Ok(())
}
