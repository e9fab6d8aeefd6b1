//! A PDB's bytes, as `pdb2` asks for them.

use std::fmt;
use std::io;

use pdb2::{Source, SourceSlice, SourceView};

/// The whole file. A view of it is a copy: its pages need not lie together, and tables in it are
/// read in place, aligned.
pub(super) struct File<'d>(pub(super) &'d [u8]);

impl fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file of {} bytes", self.0.len())
    }
}

impl<'s> Source<'s> for File<'_> {
    fn view(
        &mut self,
        slices: &[SourceSlice],
    ) -> Result<Box<dyn SourceView<'s> + Send + Sync>, io::Error> {
        // A page may be named any number of times: a stream larger than its file is a bomb.
        let total = slices
            .iter()
            .try_fold(0_usize, |total, slice| total.checked_add(slice.size))
            .filter(|&total| total <= self.0.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = Vec::with_capacity(total);
        for slice in slices {
            let part = usize::try_from(slice.offset)
                .ok()
                .and_then(|start| self.0.get(start..start.checked_add(slice.size)?))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.extend_from_slice(part);
        }
        Ok(Box::new(View(bytes)))
    }
}

struct View(Vec<u8>);

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a view of {} bytes", self.0.len())
    }
}

impl SourceView<'_> for View {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
