//! A look at the bytes of a header, wherever they lie: in a file, or already here.

use std::borrow::Cow;

use memchr::memmem::Finder;

use zerocopy::FromBytes;

use crate::data::Data;

/// The most bytes that are taken at once, whatever a header says of their number.
const MOST: usize = 1 << 30;
/// Bytes that are searched at once.
const SEARCHED: usize = 1 << 20;

/// Bytes to look at. Offsets and lengths are bounded by what there is.
#[derive(Clone, Copy)]
pub(crate) enum Look<'a> {
    /// Bytes that are here.
    Bytes(&'a [u8]),
    /// Those of a file, read when they are looked at.
    File(&'a Data),
}

impl<'a> From<&'a [u8]> for Look<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Look<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Data {
    /// A look at the bytes, for whoever opens the file.
    pub(crate) fn look(&self) -> Look<'_> {
        Look::File(self)
    }
}

impl<'a> Look<'a> {
    /// Length in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(data) => usize::try_from(data.len()).unwrap_or(usize::MAX),
        }
    }

    /// The `len` bytes at `at`; `None` when one of them is not there.
    pub(crate) fn get(self, at: usize, len: usize) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Bytes(bytes) => bytes.get(at..at.checked_add(len)?).map(Cow::Borrowed),
            Self::File(data) => {
                if at.checked_add(len)? > self.len() || len > MOST {
                    return None;
                }
                let mut bytes = vec![0; len];
                data.peek(at as u64, &mut bytes)?;
                Some(Cow::Owned(bytes))
            }
        }
    }

    /// The bytes from `at` on, at most `most` of them.
    pub(crate) fn some(self, at: usize, most: usize) -> Cow<'a, [u8]> {
        let left = self.len().saturating_sub(at);
        self.get(at, left.min(most).min(MOST)).unwrap_or_default()
    }

    /// The `N` bytes at `at`; `None` when one of them is not there.
    pub(crate) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        match self {
            Self::Bytes(bytes) => bytes.get(at..)?.first_chunk().copied(),
            Self::File(data) => {
                let mut bytes = [0; N];
                data.peek(at as u64, &mut bytes)?;
                Some(bytes)
            }
        }
    }

    /// The record at `at`; `None` when one of its bytes is not there.
    pub(crate) fn record<T: FromBytes>(self, at: usize) -> Option<T> {
        // Of a list of records each is small.
        let mut room = [0; 64];
        match (self, room.get_mut(..size_of::<T>())) {
            (Self::File(data), Some(bytes)) => {
                data.peek(at as u64, bytes)?;
                T::read_from_bytes(bytes).ok()
            }
            _ => T::read_from_bytes(&self.get(at, size_of::<T>())?).ok(),
        }
    }

    /// Whether the bytes at `at` are `those`.
    pub(crate) fn has(self, at: usize, those: &[u8]) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.get(at..).is_some_and(|rest| rest.starts_with(those)),
            Self::File(_) => self
                .get(at, those.len())
                .is_some_and(|bytes| *bytes == *those),
        }
    }

    /// Whether they start with `those`.
    pub(crate) fn starts_with(self, those: &[u8]) -> bool {
        self.has(0, those)
    }

    /// The places of `needle` from `at` on, in order; they do not overlap.
    pub(crate) fn find(self, at: usize, needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let finder = Finder::new(needle);
        let mut at = at;
        // What was read last, and where it lies.
        let mut bytes = Cow::Borrowed(&[][..]);
        let mut from = at;
        std::iter::from_fn(move || {
            loop {
                let searched = at.checked_sub(from).and_then(|into| bytes.get(into..));
                let found = searched.and_then(|rest| finder.find(rest));
                if let Some(found) = found.and_then(|found| at.checked_add(found)) {
                    at = found.checked_add(needle.len().max(1))?;
                    return Some(found);
                }
                let end = from.saturating_add(bytes.len());
                if end >= self.len() && !bytes.is_empty() {
                    return None;
                }
                // One that reaches over the end is met again.
                let again = end.saturating_sub(needle.len().saturating_sub(1));
                at = at.max(if bytes.is_empty() { at } else { again });
                from = at;
                bytes = self.some(at, SEARCHED);
                if bytes.len() < needle.len() {
                    return None;
                }
            }
        })
    }
}
