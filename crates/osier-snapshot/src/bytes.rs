//! A cursor over a file that stamps every fault with the file offset.

use crate::error::Malformed;

/// Reads integers and slices in order.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at `at`.
    pub(crate) fn new(data: &'a [u8], at: u64) -> Self {
        Self {
            data,
            at: usize::try_from(at).unwrap_or(usize::MAX),
        }
    }

    /// The file offset.
    pub(crate) fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Bytes left.
    pub(crate) fn left(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    /// The next `n` bytes; `what` is for the error.
    pub(crate) fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(n);
        let bytes = end.and_then(|end| self.data.get(self.at..end));
        match (bytes, end) {
            (Some(bytes), Some(end)) => {
                self.at = end;
                Ok(bytes)
            }
            _ => Err(Malformed::new(
                self.offset(),
                format!(
                    "the file ends inside {what} ({n} bytes wanted, {} left)",
                    self.left()
                ),
            )),
        }
    }

    /// Passes `n` bytes.
    pub(crate) fn skip(&mut self, n: usize, what: &str) -> Result<(), Malformed> {
        self.take(n, what).map(|_| ())
    }

    /// The next byte, left in place.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        let offset = self.offset();
        let bytes = self.take(N, what)?;
        bytes
            .try_into()
            .map_err(|_| Malformed::new(offset, format!("no {what}")))
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, Malformed> {
        self.array(what).map(|[byte]| byte)
    }

    pub(crate) fn be16(&mut self, what: &str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&mut self, what: &str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&mut self, what: &str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(crate) fn le16(&mut self, what: &str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn le32(&mut self, what: &str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn le64(&mut self, what: &str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }
}
