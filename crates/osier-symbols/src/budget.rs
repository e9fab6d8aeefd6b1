//! What a reader may make of a file. Types name one another, and a part without a name is written out wherever it
//! stands: a damaged file of a thousand bytes can stand for more members than any memory holds.

use std::cell::Cell;

use osier_profile::Member;

/// Bytes of members, enumerators and their names, of one file; all types of Linux 6.12 take 17 MiB.
const MAX_BYTES: usize = 256 << 20;
/// What following a name of a type to the type costs, in bytes of a member: a step is that much less work.
const STEP: usize = 16;

/// What one reader has made so far.
#[derive(Default)]
pub(crate) struct Budget {
    spent: Cell<usize>,
}

/// The types of a file hold themselves, or are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its types hold themselves, or take more than {MAX_BYTES} bytes")]
pub(crate) struct Exhausted;

impl Budget {
    /// Takes the bytes of a text that is kept.
    pub(crate) fn text(&self, bytes: usize) {
        self.spent.set(self.spent.get().saturating_add(bytes));
    }

    /// Takes a step from one type to another.
    pub(crate) fn step(&self) {
        self.text(STEP);
    }

    /// Takes a member, whether it is kept or looked into.
    ///
    /// # Errors
    ///
    /// Too much was taken before.
    pub(crate) fn member(&self) -> Result<(), Exhausted> {
        self.text(size_of::<Member>());
        self.check()
    }

    /// # Errors
    ///
    /// Too much was taken.
    pub(crate) fn check(&self) -> Result<(), Exhausted> {
        if self.spent.get() > MAX_BYTES {
            return Err(Exhausted);
        }
        Ok(())
    }
}
