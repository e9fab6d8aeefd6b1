//! How a kernel numbers the states of a task.

use osier_profile::Resolver;

use crate::layouts::{Mm, PidNamespace, Tasks};

/// How this kernel numbers the bits of a task's state. The numbers are not in any debug
/// information; members that came with or soon before a change tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateBits {
    /// Linux commit 06eb61844d84 ("sched/debug: Add explicit `TASK_IDLE` printing"), v4.14, with
    /// `TASK_PARKED` moved to 0x40 by 8ef9925b02c2 in the same series.
    idle_shown: bool,
    /// Linux commit ad86622b478e ("wait: swap `EXIT_ZOMBIE` and `EXIT_DEAD` to hide `EXIT_TRACE`
    /// from user-space"), v3.15.
    zombie_last: bool,
    /// Whether a task that is traced shows as one that is stopped: up to v2.6.32.
    traced_as_stopped: bool,
}

impl StateBits {
    /// Tells the numbering by the members that the kernel has.
    pub(crate) fn resolve(resolver: &Resolver<'_>) -> Self {
        let has = |structure: &str, member: &str| {
            let ty = resolver.profile().find_type(structure);
            ty.is_some_and(|ty| ty.member(member).is_some())
        };
        // Both of v4.14 and v4.15: the last kernels with the old numbers have neither.
        let idle_shown = has(Mm::STRUCTURE, "membarrier_state")
            || has(PidNamespace::STRUCTURE, "idr")
            || has(Tasks::STRUCTURE, "__state");
        // v3.15, gone in v6.1; v4.19.
        let zombie_last = idle_shown
            || has(Tasks::STRUCTURE, "vmacache_seqnum")
            || has(Tasks::STRUCTURE, "vmacache");
        Self {
            idle_shown,
            zombie_last,
            traced_as_stopped: false,
        }
    }

    /// The same, where the kernel's own words for its states (`task_state_array`) begin with these letters, as
    /// far as they are known. Only of kernels before v4.14, whose words stand in the order of the bits.
    pub(crate) fn as_called(self, words: impl Fn(u64) -> Option<u8>) -> Self {
        /// `TASK_TRACED`, the fifth of them; `TASK_STOPPED` is the one before.
        const TRACED: u64 = 4;
        let stopped = words(TRACED.wrapping_sub(1)) == Some(b'T');
        Self {
            traced_as_stopped: !self.idle_shown && stopped && words(TRACED) == Some(b'T'),
            ..self
        }
    }

    /// The rule that the numbers break, if any. `exiting` is `PF_EXITING`.
    pub(crate) fn broken(
        self,
        state: u64,
        exit_state: u64,
        exiting: Option<bool>,
    ) -> Option<&'static str> {
        // TASK_DEAD, and one past the highest state.
        let (dead, end) = if self.idle_shown {
            (0x80, 0x1_0000)
        } else {
            (0x40, 0x1000)
        };
        // What a task waits for: at most one of these; the rest are marks.
        let kinds = if self.idle_shown { 0xacf } else { 0xa4f };
        if state >= end || (state & kinds).count_ones() > 1 {
            Some("a state is one that the kernel has")
        } else if !matches!(exit_state, 0 | 0x10 | 0x20 | 0x30) {
            Some("an exit_state is EXIT_DEAD, EXIT_ZOMBIE or both")
        } else if exit_state != 0 && exiting == Some(false) {
            Some("a task that has exited is marked so (PF_EXITING)")
        } else if exit_state == 0 && state & dead != 0 {
            Some("a task that is dead has an exit_state")
        } else {
            None
        }
    }

    /// The letter that `/proc/PID/stat` shows.
    pub(crate) fn letter(self, state: u64, exit_state: u64) -> char {
        /// `TASK_UNINTERRUPTIBLE | TASK_NOLOAD`.
        const IDLE: u64 = 0x402;
        /// `TASK_RTLOCK_WAIT` (v5.15) and `TASK_FROZEN` (v6.1): shown as uninterruptible.
        const SHOWN_AS_D: u64 = 0x1000 | 0x8000;
        let letters: &[u8] = match (self.idle_shown, self.zombie_last) {
            (true, _) => b"RSDTtXZP",
            (false, true) => b"RSDTtXZ",
            (false, false) if self.traced_as_stopped => b"RSDTTZX",
            (false, false) => b"RSDTtZX",
        };
        if self.idle_shown {
            if state & IDLE == IDLE {
                return 'I';
            }
            if state & SHOWN_AS_D != 0 {
                return 'D';
            }
        }
        let mask = if self.idle_shown { 0x7f } else { 0x3f };
        let bits = (state | exit_state) & mask;
        let highest = u64::BITS.saturating_sub(bits.leading_zeros()) as usize;
        letters.get(highest).map_or('R', |&letter| letter.into())
    }
}

#[cfg(test)]
mod tests {
    use super::StateBits;

    #[test]
    fn the_letters_follow_the_numbering_of_the_kernel() {
        let kernel = |idle_shown, zombie_last| StateBits {
            idle_shown,
            zombie_last,
            traced_as_stopped: false,
        };
        let (new, middle, old) = (
            kernel(true, true),
            kernel(false, true),
            kernel(false, false),
        );
        for bits in [new, middle, old] {
            let letters: String = [0, 1, 2, 4, 8]
                .map(|state| bits.letter(state, 0))
                .into_iter()
                .collect();
            assert_eq!(letters, "RSDTt");
            assert_eq!(bits.letter(0x102, 0), 'D'); // killable
            assert_eq!(bits.letter(0x104, 0), 'T'); // stopped, woken by SIGKILL
        }
        assert_eq!(new.letter(0x80, 0x20), 'Z');
        assert_eq!(new.letter(0x80, 0x10), 'X');
        assert_eq!(middle.letter(0x40, 0x20), 'Z');
        assert_eq!(old.letter(0x40, 0x10), 'Z');
        assert_eq!(old.letter(0x40, 0x20), 'X');
        assert_eq!(new.letter(0x40, 0), 'P');
        assert_eq!(new.letter(0x402, 0), 'I');
        assert_eq!(middle.letter(0x402, 0), 'D');
        assert_eq!(new.letter(0x8000, 0), 'D'); // frozen
    }

    #[test]
    fn a_traced_task_shows_as_the_kernels_own_words_have_it() {
        let old = StateBits {
            idle_shown: false,
            zombie_last: false,
            traced_as_stopped: false,
        };
        // v2.6.32, v2.6.33, and where the words cannot be read.
        let called = |letters: &'static [u8]| {
            let nth = |nth: u64| letters.get(usize::try_from(nth).ok()?).copied();
            old.as_called(nth).letter(8, 0)
        };
        assert_eq!(called(b"RSDTTZX"), 'T');
        assert_eq!(called(b"RSDTtZX"), 't');
        assert_eq!(called(b""), 't');
        // A later kernel's words stand in another order.
        let new = StateBits {
            idle_shown: true,
            ..old
        };
        assert_eq!(new.as_called(|_| Some(b'T')).letter(8, 0), 't');
    }
}
