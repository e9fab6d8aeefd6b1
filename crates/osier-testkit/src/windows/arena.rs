//! The part of a process's memory that its user half is written to.

use osier_memory::VirtAddr;

use super::rows::{Paged, Part};
use super::spaces::Space;
use super::writer::{Writer, utf16};

const PAGE: u64 = 4096;

/// Pages that shall not be in memory once all is written: from, to, and where they are.
pub(super) type Away = Vec<(VirtAddr, VirtAddr, Paged)>;

/// Where user data goes on; each part of it starts on a page of its own.
pub(super) struct Arena {
    pub(super) space: Space,
    next: VirtAddr,
    end: u64,
    /// The pages of each part.
    parts: Vec<(Part, VirtAddr, VirtAddr)>,
    away: Away,
}

impl Arena {
    /// From `next` to `end`.
    pub(super) fn new(space: Space, next: VirtAddr, end: u64) -> Self {
        Self {
            space,
            next,
            end,
            parts: Vec::new(),
            away: Away::new(),
        }
    }

    /// So many bytes, among those of the part that was begun last.
    pub(super) fn take(&mut self, bytes: u64) -> VirtAddr {
        let at = VirtAddr(self.next.0.next_multiple_of(16));
        self.next = at.plus(bytes);
        assert!(self.next.0 <= self.end, "the heap at {at} is too small");
        at
    }

    fn fresh_page(&mut self) {
        self.next = VirtAddr(self.next.0.next_multiple_of(PAGE));
    }

    /// Runs `write`; on pages of its own, when these are to be taken away.
    pub(super) fn apart(&mut self, paged: Option<Paged>, write: impl FnOnce(&mut Self)) {
        let Some(paged) = paged else {
            return write(self);
        };
        self.fresh_page();
        let first = self.next;
        write(self);
        self.fresh_page();
        self.away.push((first, self.next, paged));
    }

    /// Names pages that were not taken from here.
    pub(super) fn elsewhere(&mut self, part: Part, page: VirtAddr) {
        self.parts.push((part, page, page.plus(PAGE)));
    }

    /// Runs `write` on pages that nothing else is on.
    pub(super) fn part<T>(&mut self, part: Part, write: impl FnOnce(&mut Self) -> T) -> T {
        self.fresh_page();
        let first = self.next;
        let made = write(self);
        self.fresh_page();
        self.parts.push((part, first, self.next));
        made
    }

    /// The pages to take away: those that stand apart for it, and those of the parts that `paged` names.
    pub(super) fn away(mut self, paged: &[(Part, Paged)]) -> Away {
        for (part, paged) in paged {
            let parts = self.parts.iter().filter(|(of, ..)| of == part);
            let away = parts.map(|(_, first, end)| (*first, *end, *paged));
            self.away.extend(away);
        }
        self.away
    }
}

/// Writes an environment; returns where it is, and its bytes.
pub(super) fn environment(
    w: &mut Writer<'_>,
    arena: &mut Arena,
    variables: &[String],
) -> (VirtAddr, u64) {
    let mut units: Vec<u8> = Vec::new();
    for variable in variables {
        units.extend(utf16(variable));
        units.extend([0, 0]);
    }
    units.extend([0, 0]);
    let at = arena.take(units.len() as u64);
    w.bytes(arena.space, at, &units);
    (at, units.len() as u64)
}
