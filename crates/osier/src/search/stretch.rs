//! A memory as stretches of bytes, for whoever looks at all of it at once.

use osier_memory::PhysAddr;

/// A stretch of a memory: where it stands, and what it is made of.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) start: u64,
    /// Lengths, and frames; without one zeros.
    pub(super) parts: Vec<(u64, Option<PhysAddr>)>,
}

impl Stretch {
    pub(super) fn len(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, (len, _)| sum.saturating_add(*len))
    }

    /// The frame of the byte at `at`.
    pub(super) fn frame(&self, at: u64) -> Option<PhysAddr> {
        let mut by = at.checked_sub(self.start)?;
        for (len, frame) in &self.parts {
            match by.checked_sub(*len) {
                Some(left) => by = left,
                None => return frame.map(|frame| frame.plus(by)),
            }
        }
        None
    }
}
