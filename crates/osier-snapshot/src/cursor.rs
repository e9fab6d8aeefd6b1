//! Reads integers out of a file's bytes; every miss names the file offset.

use std::borrow::Cow;

use crate::error::Malformed;
use crate::look::Look;

/// A place in a file's bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    look: Look<'a>,
    at: usize,
}

macro_rules! integer {
    ($name:ident, $type:ty, $from:ident) => {
        pub(crate) fn $name(&mut self, what: &str) -> Result<$type, Malformed> {
            const BYTES: usize = size_of::<$type>();
            let end = self.at.checked_add(BYTES);
            match (self.look.array(self.at), end) {
                (Some(raw), Some(end)) => {
                    self.at = end;
                    Ok(<$type>::$from(raw))
                }
                _ => Err(self.ended(BYTES, what)),
            }
        }
    };
}

impl<'a> Cursor<'a> {
    /// A cursor at offset `at` of a file's bytes.
    pub(crate) fn new(look: impl Into<Look<'a>>, at: usize) -> Self {
        let look = look.into();
        Self { look, at }
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What it reads.
    pub(crate) fn look(&self) -> Look<'a> {
        self.look
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.look.len().saturating_sub(self.at)
    }

    /// The next byte, without moving.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.look.array(self.at).map(|[byte]| byte)
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize, what: &str) -> Result<Cow<'a, [u8]>, Malformed> {
        let end = self.at.checked_add(n);
        match (self.look.get(self.at, n), end) {
            (Some(taken), Some(end)) => {
                self.at = end;
                Ok(taken)
            }
            _ => Err(self.ended(n, what)),
        }
    }

    /// Passes the next `n` bytes, which must be there, and does not read them.
    pub(crate) fn pass(&mut self, n: usize, what: &str) -> Result<(), Malformed> {
        let end = self.at.checked_add(n);
        match end.filter(|end| *end <= self.look.len()) {
            Some(end) => {
                self.at = end;
                Ok(())
            }
            None => Err(self.ended(n, what)),
        }
    }

    fn ended(&self, n: usize, what: &str) -> Malformed {
        Malformed::ended(
            self.at as u64,
            format!("{what} ({n} bytes), but {} bytes are left", self.left()),
        )
    }

    integer!(u8, u8, from_be_bytes);
    integer!(be16, u16, from_be_bytes);
    integer!(be32, u32, from_be_bytes);
    integer!(be64, u64, from_be_bytes);
    integer!(le16, u16, from_le_bytes);
    integer!(le32, u32, from_le_bytes);
    integer!(le64, u64, from_le_bytes);
}
