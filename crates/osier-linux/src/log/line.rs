//! What lines of every shape have in common.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, UInt};

use crate::guest::Guest;

/// The walk's name in its endings.
pub(super) const WALK: &str = "log";
/// Most records that are read.
pub(super) const LIMIT: u64 = 1 << 22;

pub(super) fn no_start(missing: &str, fault: Option<Fault>) -> WalkEnds {
    let missing = missing.to_owned();
    WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault })
}

/// What a field of a record is without a member of that name.
pub(super) fn read(guest: &Guest, field: Option<Field<UInt>>, at: VirtAddr) -> Seen<u64> {
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    field.read(&guest.space, at).map_err(Absent::unreadable)
}

pub(super) fn byte(value: u64) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

/// The level, which is a number below 8.
pub(super) fn level(guest: &Guest, field: Option<Field<Bits>>, at: VirtAddr) -> Seen<u8> {
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    let level = field.read(&guest.space, at);
    level.map(byte).map_err(Absent::unreadable)
}

/// Who wrote a line: `T` and the thread's id, or `C` and the processor's number.
pub(super) fn caller(guest: &Guest, field: Option<Field<UInt>>, at: VirtAddr) -> Seen<Vec<u8>> {
    let id = read(guest, field, at)?;
    Ok(if id & 0x8000_0000 == 0 {
        format!("T{id}")
    } else {
        format!("C{}", id & 0x7fff_ffff)
    }
    .into_bytes())
}

/// `len` bytes of text at `at`.
pub(super) fn text(guest: &Guest, at: VirtAddr, len: u64) -> Seen<Vec<u8>> {
    let mut text = vec![0; usize::try_from(len).unwrap_or(0)];
    match guest.space.read(at, &mut text) {
        Ok(()) => Ok(text),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}
