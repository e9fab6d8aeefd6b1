//! The kernel's log, in the three shapes that its buffer had.
//!
//! Since Linux commit 896fbe20b4e2 ("printk: use the lockless ringbuffer"), v5.10, it is a ring of
//! descriptors beside a ring of text, where each block of text names its descriptor, and each
//! descriptor its number; since Linux commit 7ff9554bb578 ("printk: convert byte-buffer to
//! variable-length record buffer"), v3.5, it was one ring of records with their texts; before, bytes.

mod buffer;
mod bytes;
mod line;
pub(crate) mod records;
pub(crate) mod rings;

use osier_memory::Each;
use osier_osi::{LogLine, WalkEnds};
use osier_profile::Resolver;

use crate::guest::Guest;
use crate::symbols;
use records::Records;
use rings::Rings;

/// The lines of the kernel's log, the oldest first.
pub(crate) fn log(guest: &Guest, row: Each<'_, LogLine>) -> WalkEnds {
    let profile = guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let outcome = if let Some(prb) = guest.symbol(symbols::prb) {
        Rings::read(guest, &mut resolver, prb).map(|rings| rings.rows(row))
    } else if let Some(records) = Records::resolve(&mut resolver) {
        let now = line::now(guest, &mut resolver);
        records.rows(guest, now, row)
    } else {
        bytes::bytes(guest, row)
    };
    match outcome {
        Ok(ends) | Err(ends) => ends,
    }
}

#[cfg(test)]
mod tests;
