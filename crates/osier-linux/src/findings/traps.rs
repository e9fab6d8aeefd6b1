//! Traps in the place of a function's first instruction, and what the kernel itself has there.

use osier_memory::VirtAddr;

use super::context::Context;
use crate::code_symbols::CodeSymbols;

/// `endbr64`.
const ENDBR: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
/// What follows the first byte of an instruction of five bytes that does nothing: on processors of today, and on old ones.
const NOTHING: [[u8; 4]; 2] = [[0x1f, 0x44, 0, 0], [0x8d, 0x74, 0x26, 0]];
/// Bytes of an entry of the table of bugs and warnings begin with where its instruction is, in so many.
const DISTANCE: usize = 4;
/// More bytes than any kernel's table of bugs has.
const BUGS: u64 = 1 << 22;
/// What is held while the kernel writes over its own code, and while ftrace has it do so.
const LOCKS: [&[u8]; 2] = [b"text_mutex", b"ftrace_lock"];
/// Words at the start of a lock that tell whether it is held.
const WORDS: usize = 4;

/// Traps where a function's first instruction was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trap {
    /// How far into the function: behind the mark that calls through registers need, where it has that.
    pub(super) into: usize,
    /// Their bytes.
    pub(super) len: usize,
    /// Whether it is `ud2`, by which the kernel itself warns, and not a break point.
    pub(super) warns: bool,
}

impl Trap {
    /// That of `head`, the first bytes of a function: any number of break points, or one `ud2`.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let code = head.strip_prefix(ENDBR).unwrap_or(head);
        let into = head.len().saturating_sub(code.len());
        let mut rest = code;
        while let [0xcc | 0xf1, after @ ..] | [0xcd, 3, after @ ..] = rest {
            rest = after;
        }
        let warns = code.starts_with(&[0x0f, 0x0b]);
        let len = if warns {
            2
        } else {
            code.len().saturating_sub(rest.len())
        };
        (len > 0).then_some(Self { into, len, warns })
    }

    /// Whether it is one `int3`, the trap that the kernel itself writes.
    pub(super) fn is_int3(&self, head: &[u8]) -> bool {
        self.len == 1 && head.get(self.into) == Some(&0xcc)
    }

    /// What follows them among the first bytes.
    pub(super) fn rest<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        head.get(self.into.saturating_add(self.len)..)
            .unwrap_or_default()
    }

    /// Whether what follows is the rest of an instruction of five bytes that does nothing.
    pub(super) fn broke_nothing(&self, head: &[u8]) -> bool {
        let rest = self.rest(head);
        let done = self.len.saturating_sub(1);
        let is_rest = |tail: &[u8]| rest.starts_with(tail);
        self.len <= 2
            && NOTHING
                .iter()
                .any(|nothing| nothing.get(done..).is_some_and(is_rest))
    }
}

/// Whether the kernel may write over its own code just now: a lock is held, or it cannot be told.
pub(super) fn may_write_code(context: &Context<'_>, symbols: &CodeSymbols) -> bool {
    let guest = &context.linux.guest;
    // On 32 bits a lock of today and one of old look alike.
    let wide = guest.pointer_bytes() == 8;
    let free = |name: &&[u8]| {
        let at = symbols.place(name)?;
        let words: Vec<_> = (0..WORDS as u64)
            .map_while(|word| guest.space.read_pointer(at.plus(word.wrapping_mul(8))).ok())
            .collect();
        Some(is_free(at, words.first_chunk()?))
    };
    !(wide && LOCKS.iter().all(|name| free(name) == Some(true)))
}

/// Whether nobody holds the `mutex` at `at`, by its first words: they tell its owner, who waits in turn, and the list of who
/// waits, which leads to itself. Up to Linux commit 3ca0ff571b09 ("locking/mutex: Rework `mutex::owner`"), v4.10, the first
/// word is 1 and the list the second.
fn is_free(at: VirtAddr, words: &[VirtAddr; WORDS]) -> bool {
    let own = |word: &VirtAddr| (at..at.plus(64)).contains(word);
    match words {
        [count, list, ..] if own(list) => count.0 & 0xffff_ffff == 1,
        words => words.iter().all(|word| word.is_null() || own(word)),
    }
}

/// Where the kernel's instructions that tell of bugs and warnings are, as its table of them says.
#[derive(Debug)]
pub(super) struct Bugs {
    start: VirtAddr,
    table: Vec<u8>,
}

impl Bugs {
    /// `None` where the kernel does not say where the table is, or the table cannot be read.
    pub(super) fn read(context: &Context<'_>, symbols: &CodeSymbols) -> Option<Self> {
        let guest = &context.linux.guest;
        // On 32 bits entries may have addresses.
        if guest.pointer_bytes() != 8 {
            return None;
        }
        let start = symbols.place(b"__start___bug_table")?;
        let stop = symbols.place(b"__stop___bug_table")?;
        let len = stop.since(start);
        if !(1..BUGS).contains(&len) {
            return None;
        }
        let mut table = vec![0; usize::try_from(len).ok()?];
        guest.space.read(start, &mut table).ok()?;
        Some(Self { start, table })
    }

    /// Whether an entry leads to `at`, by its distance from there.
    pub(super) fn has(&self, at: VirtAddr) -> bool {
        let places = (0_u64..)
            .step_by(DISTANCE)
            .map(|offset| self.start.plus(offset));
        let mut entries = self.table.as_chunks::<DISTANCE>().0.iter().zip(places);
        entries.any(|(distance, place)| {
            let distance = i64::from(i32::from_le_bytes(*distance));
            place.plus(distance.cast_unsigned()) == at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_met_where_a_function_begins() {
        let met = |head: &[u8]| Trap::of(head).map(|trap| (trap.into, trap.len, trap.warns));
        assert_eq!(met(&[0xcc, 0x48, 0x89, 0xe5]), Some((0, 1, false)));
        assert_eq!(
            met(&[0xf3, 0x0f, 0x1e, 0xfa, 0xcc, 0xcc, 0x48]),
            Some((4, 2, false))
        );
        assert_eq!(met(&[0xcd, 3, 0xf1, 0xcc, 0x90]), Some((0, 4, false)));
        assert_eq!(met(&[0x0f, 0x0b, 0x89, 0xe5]), Some((0, 2, true)));
        let none: [&[u8]; 5] = [&[0x55, 0xcc], &[0xcd, 0x80], &[0x0f, 0x1f], ENDBR, &[]];
        for head in none {
            assert_eq!(met(head), None, "{head:02x?}");
        }
    }

    #[test]
    fn a_trap_over_what_does_nothing_is_told_by_its_rest() {
        let broke = |head: &[u8]| Trap::of(head).unwrap().broke_nothing(head);
        assert!(broke(&[0xcc, 0x1f, 0x44, 0, 0]) && broke(&[0xcc, 0x8d, 0x74, 0x26, 0]));
        assert!(broke(&[0x0f, 0x0b, 0x44, 0, 0]) && broke(&[0x0f, 0x0b, 0x74, 0x26, 0]));
        assert!(!broke(&[0xcc, 0x44, 0, 0]) && !broke(&[0x0f, 0x0b, 0x89, 0xe5, 0x90]));
    }

    #[test]
    fn a_lock_is_free_as_old_and_new_kernels_leave_it() {
        const AT: VirtAddr = VirtAddr(0xffff_ffff_8265_b820);
        let free = |words: [u64; WORDS]| is_free(AT, &words.map(VirtAddr));
        let (first, second) = (AT.0 + 8, AT.0 + 16);
        assert!(free([0, 0, second, second]) && free([1, first, first, 0]));
        assert!(!free([0xffff_8881_0123_4001, 0, second, second]));
        assert!(!free([0, first, first, 0]) && !free([0, 0, 0xffff_c900_0001_0000, 0]));
    }
}
