//! Reads integers out of a file's bytes; every miss names the file offset.

use crate::error::Malformed;

/// A place in a file's bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! integer {
    ($name:ident, $type:ty, $from:ident) => {
        pub(crate) fn $name(&mut self, what: &str) -> Result<$type, Malformed> {
            let raw = self.take(size_of::<$type>(), what)?;
            Ok(<$type>::$from(raw.try_into().unwrap_or_default()))
        }
    };
}

impl<'a> Cursor<'a> {
    /// A cursor at offset `at` of a file's `bytes`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte, without moving.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(n);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        match (taken, end) {
            (Some(taken), Some(end)) => {
                self.at = end;
                Ok(taken)
            }
            _ => Err(Malformed::ended(
                self.at as u64,
                format!("{what} ({n} bytes), but {} bytes are left", self.left()),
            )),
        }
    }

    integer!(u8, u8, from_be_bytes);
    integer!(be16, u16, from_be_bytes);
    integer!(be32, u32, from_be_bytes);
    integer!(be64, u64, from_be_bytes);
    integer!(le16, u16, from_le_bytes);
    integer!(le32, u32, from_le_bytes);
    integer!(le64, u64, from_le_bytes);
}
