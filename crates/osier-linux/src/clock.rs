//! The guest's clocks: what turns a task's start into wall-clock time.
//!
//! ```text
//!   wall clock = monotonic + offs_real
//!   wall clock = since boot, suspension included + offs_real - offs_boot
//! ```
//!
//! The kernel keeps `offs_real` beside `wall_to_monotonic`, its negative; the two must agree before
//! either is believed. That also finds the `timekeeper` in `tk_core`, whose type has no name before
//! v6.13: a sequence counter of 4 bytes stands before it, or a larger one with lock debugging.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _};
use osier_profile::{Field, Resolver, SInt, UInt, layout};

use crate::guest::Guest;
use crate::symbols;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

layout! {
    /// Fields read from `timekeeper`.
    pub(crate) struct Timekeeper: "timekeeper" through [timespec timespec64] {
        /// Nanoseconds from the monotonic clock to the wall clock.
        offs_real: Option<Field<UInt>>,
        /// Nanoseconds from the monotonic clock to the one that counts suspension.
        offs_boot: Option<Field<UInt>>,
        /// Seconds from the wall clock to the monotonic clock.
        seconds: Option<Field<SInt>> = ["wall_to_monotonic.tv_sec"],
        /// Nanoseconds of that.
        nanoseconds: Option<Field<SInt>> = ["wall_to_monotonic.tv_nsec"],
        /// Whole seconds of the wall clock, as of the last tick.
        xtime: Option<Field<UInt>> = ["xtime_sec"],
        /// Whole seconds of the monotonic clock.
        ktime: Option<Field<UInt>> = ["ktime_sec"],
        /// Seconds of `offs_boot`.
        boot_seconds: Option<Field<SInt>> = ["monotonic_to_boot.tv_sec"],
        /// Nanoseconds of that.
        boot_nanoseconds: Option<Field<SInt>> = ["monotonic_to_boot.tv_nsec"],
    }
}

layout! {
    /// Fields read from `tk_data`, the type of `tk_core` since v6.13.
    pub(crate) struct TkData: "tk_data" {
        /// The clock.
        timekeeper: Option<Field<osier_profile::Embed<()>>>,
    }
}

/// Where the clocks are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    keeper: Timekeeper,
    in_core: Option<i64>,
}

/// What to add to a clock's reading to get nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Debug)]
pub(crate) struct Offsets {
    /// For the monotonic clock (`start_time`).
    pub(crate) monotonic: Seen<i64>,
    /// For the clock that counts suspension (`start_boottime`).
    pub(crate) since_boot: Seen<i64>,
    /// What the monotonic clock showed at the last tick, when that is known.
    pub(crate) now: Option<i64>,
    /// For how long the machine was suspended until then.
    pub(crate) suspended: Option<i64>,
}

impl Clock {
    /// Resolves what the profile says of the clocks.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            keeper: Timekeeper::resolve(resolver),
            in_core: TkData::resolve(resolver)
                .timekeeper
                .map(|field| field.offset),
        }
    }

    /// Reads the offsets.
    pub(crate) fn offsets(&self, guest: &Guest) -> Offsets {
        let keeper = match self.find(guest) {
            Ok(keeper) => keeper,
            Err(absent) => {
                return Offsets {
                    monotonic: Err(absent.clone()),
                    since_boot: Err(absent),
                    now: None,
                    suspended: None,
                };
            }
        };
        let read = |field: Option<Field<UInt>>| match field {
            Some(field) => field
                .read(&guest.space, keeper)
                .map_err(Absent::unreadable)
                .map(u64::cast_signed),
            None => Err(Absent::not_in_this_kernel()),
        };
        let monotonic = read(self.keeper.offs_real);
        let suspended = read(self.keeper.offs_boot)
            .and_then(|suspended| self.suspended(guest, keeper, suspended));
        let since_boot = monotonic
            .clone()
            .and_then(|real| suspended.clone().map(|boot| real.wrapping_sub(boot)));
        let now = self.now(guest).value().zip(monotonic.value());
        Offsets {
            monotonic,
            since_boot,
            now: now.map(|(now, real)| now.wrapping_sub(real)),
            suspended: suspended.value(),
        }
    }

    /// What the wall clock shows, in nanoseconds since 1970-01-01 UTC; whole seconds.
    pub(crate) fn now(&self, guest: &Guest) -> Seen<i64> {
        let Some(xtime) = self.keeper.xtime else {
            return Err(Absent::not_in_this_kernel());
        };
        self.find(guest).and_then(|keeper| {
            xtime
                .read(&guest.space, keeper)
                .map_err(Absent::unreadable)
                .and_then(|seconds| {
                    if self.differs_from_monotonic(guest, keeper, seconds) {
                        let rule = "xtime_sec and wall_to_monotonic add up to ktime_sec";
                        return Err(Absent::implausible(
                            seconds,
                            rule,
                            Some(xtime.place(keeper)),
                        ));
                    }
                    let whole = i64::try_from(seconds).ok();
                    whole
                        .and_then(|whole| whole.checked_mul(SECOND))
                        .map_or_else(
                            || {
                                let rule = "the clock shows a year before 2262";
                                Err(Absent::implausible(
                                    seconds,
                                    rule,
                                    Some(xtime.place(keeper)),
                                ))
                            },
                            Ok,
                        )
                })
        })
    }

    /// Whether the wall clock's `seconds` are not those of the monotonic clock; a part of a second
    /// may be counted in one of them.
    fn differs_from_monotonic(&self, guest: &Guest, keeper: VirtAddr, seconds: u64) -> bool {
        let Some((ktime, back)) = self.keeper.ktime.zip(self.keeper.seconds) else {
            return false;
        };
        let space = &guest.space;
        let read = |field: Field<UInt>| field.read(space, keeper).ok();
        let Some((ktime, back)) = read(ktime).zip(back.read(space, keeper).ok()) else {
            return false;
        };
        // A `time_t` of 32 bits wraps.
        let mask = if guest.pointer_bytes() == 4 {
            0xffff_ffff
        } else {
            u64::MAX
        };
        let ahead = ktime
            .wrapping_sub(seconds.wrapping_add_signed(back))
            .wrapping_add(2);
        ahead & mask > 4
    }

    /// `offs_boot`, when the kernel's other form of it agrees.
    fn suspended(&self, guest: &Guest, keeper: VirtAddr, offset: i64) -> Seen<i64> {
        let other = self.keeper.boot_seconds.zip(self.keeper.boot_nanoseconds);
        let other = other.and_then(|(seconds, nanoseconds)| {
            let seconds = seconds.read(&guest.space, keeper).ok()?;
            let nanoseconds = nanoseconds.read(&guest.space, keeper).ok()?;
            Some(seconds.wrapping_mul(SECOND).wrapping_add(nanoseconds))
        });
        if other.is_some_and(|other| other != offset) {
            let rule = "offs_boot is monotonic_to_boot";
            let at = self.keeper.offs_boot.map(|field| field.place(keeper));
            return Err(Absent::implausible(offset.cast_unsigned(), rule, at));
        }
        Ok(offset)
    }

    /// The `timekeeper` in use.
    fn find(&self, guest: &Guest) -> Seen<VirtAddr> {
        // Since v6.17 it is the first of several clocks.
        let core = [symbols::tk_core, symbols::timekeeper_data];
        if let Some(core) = core.into_iter().find_map(|name| guest.symbol(name)) {
            if let Some(offset) = self.in_core {
                return self.confirmed(guest, core.plus(offset.cast_unsigned()));
            }
            let mut first = None;
            for offset in [8, 4, 16, 24, 32, 40, 48, 56, 64] {
                let found = self.confirmed(guest, core.plus(offset));
                match (&found, &first) {
                    (Ok(_), _) => return found,
                    (_, None) => first = Some(found),
                    _ => {}
                }
            }
            return first.unwrap_or_else(|| Err(Absent::not_in_this_kernel()));
        }
        // Linux commit 3fdb14fd1df7 ("timekeeping: Cache optimize struct timekeeper"), v3.17, put
        // it into `tk_core`.
        match guest.symbol(symbols::timekeeper) {
            Some(keeper) => self.confirmed(guest, keeper),
            None => Err(Absent::not_in_this_kernel()),
        }
    }

    /// `keeper`, when its two offsets agree.
    fn confirmed(&self, guest: &Guest, keeper: VirtAddr) -> Seen<VirtAddr> {
        let (Some(real), Some(seconds), Some(nanoseconds)) = (
            self.keeper.offs_real,
            self.keeper.seconds,
            self.keeper.nanoseconds,
        ) else {
            return Err(Absent::not_in_this_kernel());
        };
        let space = &guest.space;
        let parts = real.read(space, keeper).and_then(|real| {
            let seconds = seconds.read(space, keeper)?;
            Ok((real, seconds, nanoseconds.read(space, keeper)?))
        });
        let (raw, seconds, nanoseconds) = match parts {
            Ok(parts) => parts,
            Err(fault) => return Err(Absent::unreadable(fault)),
        };
        let back = seconds.wrapping_mul(SECOND).wrapping_add(nanoseconds);
        if raw != 0 && raw.cast_signed() == back.wrapping_neg() {
            Ok(keeper)
        } else {
            let rule = "offs_real is the negative of wall_to_monotonic";
            Err(Absent::implausible(raw, rule, Some(real.place(keeper))))
        }
    }
}
