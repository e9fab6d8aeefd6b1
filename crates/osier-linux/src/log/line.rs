//! What lines of every shape have in common.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, Resolver, UInt};

use crate::clock::Clock;
use crate::guest::Guest;
use crate::{process, symbols};

/// The walk's name in its endings.
pub(super) const WALK: &str = "log";
/// Most records that are read.
pub(super) const LIMIT: u64 = 1 << 22;

pub(super) fn no_start(missing: &str, fault: Option<Fault>) -> WalkEnds {
    WalkEnds::one(WALK, WalkEnd::no_start(missing, fault))
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
    let processor = id & 0x8000_0000 != 0;
    let number = id & 0x7fff_ffff;
    let limit = if processor {
        let place = guest.symbol(symbols::nr_cpu_ids);
        let ids = place.and_then(|place| guest.space.read_uint(place, 4).ok());
        ids.unwrap_or(u64::from(u32::MAX))
    } else {
        process::PID_MAX_LIMIT.into()
    };
    if number >= limit {
        let rule = "a line is of a thread below PID_MAX_LIMIT or of a processor below nr_cpu_ids";
        let at = field.map(|field| field.place(at));
        return Err(Absent::implausible(id, rule, at));
    }
    let kind = if processor { 'C' } else { 'T' };
    Ok(format!("{kind}{number}").into_bytes())
}

/// What the monotonic clock showed last, where it is known.
pub(super) fn now(guest: &Guest, resolver: &mut Resolver<'_>) -> Option<u64> {
    let now = Clock::resolve(resolver).offsets(guest).now?;
    u64::try_from(now).ok()
}

/// When a line was written, in nanoseconds since boot, unless that is later than `now` by more than the
/// clocks differ: the log's is not corrected as the other is, by a thousandth at most.
pub(super) fn time(
    guest: &Guest,
    now: Option<u64>,
    field: Option<Field<UInt>>,
    at: VirtAddr,
) -> Seen<u64> {
    const MINUTE: u64 = 60_000_000_000;
    let time = read(guest, field, at)?;
    let drifted = |now: u64| now.saturating_add(now.div_euclid(1000));
    let latest = now.map(|now| drifted(now).saturating_add(MINUTE));
    if latest.is_some_and(|latest| time > latest) {
        let rule = "a line was written before now (ts_nsec)";
        let at = field.map(|field| field.place(at));
        return Err(Absent::implausible(time, rule, at));
    }
    Ok(time)
}

/// `len` bytes of text at `at`.
pub(super) fn text(guest: &Guest, at: VirtAddr, len: u64) -> Seen<Vec<u8>> {
    let mut text = vec![0; usize::try_from(len).unwrap_or(0)];
    match guest.space.read(at, &mut text) {
        Ok(()) => Ok(text),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}
