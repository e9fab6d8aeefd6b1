//! The guest's clock: FILETIMEs, and the page in which the kernel shows the time to everybody.

use osier_osi::{Absent, Seen, SeenExt as _};

use crate::guest::Guest;
use crate::shared_data;
use crate::windows::Windows;

/// A FILETIME counts from 1601, Unix from 1970; in units of 100 ns.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;

/// `_KUSER_SHARED_DATA.SystemTime`, a `_KSYSTEM_TIME`: `LowPart`, `High1Time`, `High2Time`.
const SYSTEM_TIME: u64 = 0x14;

/// A day of FILETIME.
pub(crate) const DAY: u64 = 24 * 60 * 60 * 10_000_000;

/// Whether a FILETIME lies more than a day behind what the clock shows. A clock that cannot be read
/// shows nothing.
pub(crate) fn is_future(windows: &Windows, time: u64) -> bool {
    let now = now(&windows.guest).value();
    let day = i64::try_from(DAY.saturating_mul(100)).unwrap_or(i64::MAX);
    now.is_some_and(|now| since_1970(time).is_none_or(|time| time > now.saturating_add(day)))
}

/// What the wall clock shows: nanoseconds since 1970-01-01 UTC.
pub(crate) fn now(guest: &Guest) -> Seen<i64> {
    let space = &guest.space;
    let at = shared_data::place(space).plus(SYSTEM_TIME);
    let parts = space
        .read_uint(at, 8)
        .and_then(|time| Ok((time, space.read_uint(at.plus(8), 4)?)));
    let (time, second_high) = match parts {
        Ok(parts) => parts,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    if let Some(since) = since_1970(time).filter(|_| is_whole(time, second_high)) {
        return Ok(since);
    }
    let rule = "both high halves of SystemTime agree, and it lies between 1678 and 2262";
    Err(Absent::implausible(time, rule, Some(at)))
}

/// Whether the clock interrupt had written all of a `_KSYSTEM_TIME`: it writes `High2Time` first
/// and `High1Time` last.
fn is_whole(time: u64, second_high: u64) -> bool {
    time >> 32 == second_high
}

/// A FILETIME in nanoseconds since 1970; `None` outside of 1678 to 2262.
pub(crate) fn since_1970(time: u64) -> Option<i64> {
    let since = i128::from(time)
        .wrapping_sub(i128::from(UNIX_EPOCH))
        .wrapping_mul(100);
    i64::try_from(since).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filetime_counts_from_1601() {
        assert_eq!(since_1970(UNIX_EPOCH), Some(0));
        assert_eq!(since_1970(UNIX_EPOCH + 10_000_000), Some(1_000_000_000));
        assert_eq!(since_1970(u64::MAX), None);
    }

    #[test]
    fn a_time_that_is_being_written_is_not_believed() {
        assert!(is_whole(0x01c5_79a0_1234_5678, 0x01c5_79a0));
        assert!(!is_whole(0x01c5_79a0_ffff_ffff, 0x01c5_79a1));
    }
}
