//! What inferring reads with: words of the kernel's memory, and what several places have to agree on.

use std::ops::Range;

use osier_memory::{PhysAddr, VirtAddr};

use crate::guest::Guest;
use crate::list;

/// Bytes of `comm`, with its NUL.
const COMM_BYTES: usize = crate::layouts::COMM_BYTES;

/// A kernel whose structures are not known.
pub(super) struct Ground<'a> {
    /// Its address space and its symbols.
    pub(super) guest: &'a Guest,
    /// The addresses of its image.
    pub(super) image: Range<VirtAddr>,
    /// The physical address of the image's first byte.
    pub(super) text_pa: PhysAddr,
}

/// Why a member is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// No place does what the member would.
    Nowhere,
    /// Several places do, and they do not say the same.
    Several(usize),
    /// What it is proved by was not found itself.
    Without(&'static str),
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nowhere => f.write_str("no place holds in every task"),
            Self::Several(count) => write!(f, "{count} places hold"),
            Self::Without(what) => write!(f, "it is proved by {what}, which is not known"),
        }
    }
}

impl Ground<'_> {
    /// Bytes of a pointer.
    pub(super) fn word(&self) -> u64 {
        self.guest.pointer_bytes().into()
    }

    /// The pointer at `at`; `None` when it cannot be read.
    pub(super) fn pointer(&self, at: VirtAddr) -> Option<VirtAddr> {
        self.guest.space.read_pointer(at).ok()
    }

    /// The pointer at `at`, when it can lead to an object of the kernel.
    pub(super) fn object(&self, at: VirtAddr) -> Option<VirtAddr> {
        let object = self.pointer(at)?;
        self.guest.can_be_object(object).then_some(object)
    }

    /// The 32-bit integer at `at`.
    pub(super) fn int(&self, at: VirtAddr) -> Option<u64> {
        self.guest.space.read_uint(at, 4).ok()
    }

    /// The 64-bit integer at `at`.
    pub(super) fn long(&self, at: VirtAddr) -> Option<u64> {
        self.guest.space.read_uint(at, 8).ok()
    }

    /// What may be a task's name at `at`: bytes that a NUL ends.
    pub(super) fn comm(&self, at: VirtAddr) -> Option<Vec<u8>> {
        let name = self.guest.space.read_cstr(at, COMM_BYTES).ok()?;
        (name.len() < COMM_BYTES).then_some(name)
    }

    /// The nodes of the list at `head`, when it closes and reads the same from both ends.
    pub(super) fn ring(&self, head: VirtAddr) -> Option<Vec<VirtAddr>> {
        let walked = list::ring(self.guest, head);
        walked.end.is_closed().then_some(walked.nodes)
    }

    /// Every offset of a pointer's alignment in `range`.
    pub(super) fn offsets(&self, range: Range<u64>) -> impl Iterator<Item = u64> + use<> {
        let step = self.word() as usize;
        range.step_by(step)
    }
}

/// The only one of `found`.
///
/// # Errors
///
/// There is none, or more than one.
pub(super) fn only<T>(mut found: Vec<T>) -> Result<T, Unproven> {
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Unproven::Nowhere),
        (Some(_), others) => Err(Unproven::Several(others.saturating_add(1))),
    }
}

/// Whether `test` holds for every item that it can be asked of, and for one at least. `None` of the test
/// is no word either way: what stands there cannot be read.
pub(super) fn all<T>(items: &[T], mut test: impl FnMut(&T) -> Option<bool>) -> bool {
    let mut one = false;
    for item in items {
        match test(item) {
            Some(true) => one = true,
            Some(false) => return false,
            None => {}
        }
    }
    one
}
