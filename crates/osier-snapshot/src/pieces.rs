//! A dump's bytes by their offset in the dump, whether it is flattened ([`crate::flattened`]) or not.

use std::collections::BTreeMap;

use osier_memory::Cause;

use crate::cursor::Cursor;
use crate::data::{self, Data};
use crate::error::Malformed;

pub(crate) const MAGIC: &[u8] = b"makedumpfile\0\0\0\0";
/// Bytes before the first piece.
const HEADER: usize = 4096;

/// What to say of a flattened dump without its end mark.
pub(crate) const CUT_SHORT: &str =
    "the flattened dump is cut short or damaged: its pieces do not lead to its end mark";

/// A dump's bytes by their offset in the dump, whether it is flattened or not.
pub(crate) struct View {
    pub(crate) data: Data,
    /// Of a flattened dump: by offset in the dump, disjoint.
    pub(crate) pieces: Option<BTreeMap<u64, Piece>>,
    /// Whether the pieces of a flattened dump do not lead to the mark at its end.
    pub(crate) cut_short: bool,
}

/// Where a stretch of the dump lies in the file.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) len: u64,
    pub(crate) offset: u64,
}

impl View {
    /// The view of a dump, flattened or not.
    ///
    /// # Errors
    ///
    /// The flattened form is of another type or version than 1.
    pub(crate) fn new(data: Data) -> Result<Self, Malformed> {
        if !data.look().starts_with(MAGIC) {
            return Ok(Self {
                data,
                pieces: None,
                cut_short: false,
            });
        }
        let mut cursor = Cursor::new(data.look(), MAGIC.len());
        let kind = cursor.be64("the type of the flattened form")?;
        let version = cursor.be64("the version of the flattened form")?;
        if (kind, version) != (1, 1) {
            return Err(Malformed::new(
                MAGIC.len() as u64,
                format!("the flattened form of type 1 and version 1, not {kind} and {version}"),
            ));
        }
        let mut pieces = BTreeMap::new();
        let mut cursor = Cursor::new(data.look(), HEADER);
        let cut_short = loop {
            let (Ok(start), Ok(len)) = (cursor.be64(""), cursor.be64("")) else {
                break true;
            };
            if start == u64::MAX {
                break false;
            }
            if start
                .checked_add(len)
                .is_none_or(|end| end > i64::MAX as u64)
            {
                break true; // no piece's offset and length
            }
            let offset = cursor.at() as u64;
            let held = len.min(cursor.left() as u64);
            put(&mut pieces, start, Piece { len: held, offset });
            if cursor.pass(held as usize, "a piece").is_err() || held < len {
                break true;
            }
        };
        Ok(Self {
            data,
            pieces: Some(pieces),
            cut_short,
        })
    }

    /// Whether the dump is flattened.
    pub(crate) fn is_flattened(&self) -> bool {
        self.pieces.is_some()
    }

    /// Length of the file in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.data.len()
    }

    /// The offset past the dump's last byte.
    pub(crate) fn end(&self) -> u64 {
        match &self.pieces {
            None => self.data.len(),
            Some(pieces) => pieces
                .last_key_value()
                .map_or(0, |(start, piece)| start.saturating_add(piece.len)),
        }
    }

    /// The stretch of the file from `offset` of the dump on: file offset and length.
    fn stretch(&self, offset: u64) -> Option<(u64, u64)> {
        let (start, piece) = match &self.pieces {
            None => (
                0,
                Piece {
                    len: self.data.len(),
                    offset: 0,
                },
            ),
            Some(pieces) => {
                let (start, piece) = pieces.range(..=offset).next_back()?;
                (*start, *piece)
            }
        };
        let into = offset.checked_sub(start)?;
        let left = piece.len.checked_sub(into).filter(|left| *left > 0)?;
        Some((piece.offset.checked_add(into)?, left))
    }

    /// The file offset of the byte at `offset` of the dump; where it would be, when it is missing.
    pub(crate) fn file_offset(&self, offset: u64) -> u64 {
        match self.stretch(offset) {
            Some((at, _)) => at,
            None if self.is_flattened() => self.data.len(),
            None => offset,
        }
    }

    /// The `len` bytes of guest memory, packed or not, at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Data::read`].
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Cause> {
        self.gather(offset, len as u64, |at, buf| {
            let read = self.data.read_at(at, buf);
            read.map_err(|error| data::cause(&error, at))
        })
    }

    /// The `len` bytes at `offset`, for whoever opens the dump; `None` when one of them is not there.
    pub(crate) fn header(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let peek = |at, buf: &mut [u8]| self.data.peek(at, buf).ok_or(Cause::ReadFailed { offset });
        self.gather(offset, len, peek).ok()
    }

    /// The `len` bytes at `offset`, each stretch of them as `read` reads it at its file offset.
    fn gather(
        &self,
        offset: u64,
        len: u64,
        read: impl Fn(u64, &mut [u8]) -> Result<(), Cause>,
    ) -> Result<Vec<u8>, Cause> {
        let short = || Cause::FileShort {
            offset: self.file_offset(offset),
        };
        let mut bytes = Vec::new(); // grows by what is there, not by what is asked
        while (bytes.len() as u64) < len {
            let done = bytes.len();
            let from = offset.checked_add(done as u64);
            let stretch = from.and_then(|from| self.stretch(from));
            let (at, left) = stretch.ok_or_else(short)?;
            let now = left.min(len.saturating_sub(done as u64));
            let end = usize::try_from(now)
                .ok()
                .and_then(|now| done.checked_add(now));
            bytes.resize(end.ok_or_else(short)?, 0);
            read(at, bytes.get_mut(done..).unwrap_or_default())?;
        }
        Ok(bytes)
    }
}

/// Puts a piece in its place, over what was there.
fn put(pieces: &mut BTreeMap<u64, Piece>, start: u64, piece: Piece) {
    if piece.len == 0 {
        return;
    }
    let end = start.saturating_add(piece.len);
    // What the one before has behind the new one's end goes on there.
    let before = pieces.range_mut(..start).next_back();
    let mut rest = None;
    if let Some((&from, old)) = before {
        let old_end = from.saturating_add(old.len);
        if old_end > end {
            let skip = end.saturating_sub(from);
            rest = Some(Piece {
                len: old_end.saturating_sub(end),
                offset: old.offset.saturating_add(skip),
            });
        }
        old.len = old.len.min(start.saturating_sub(from));
    }
    while let Some((&from, &old)) = pieces.range(start..end).next() {
        pieces.remove(&from);
        let old_end = from.saturating_add(old.len);
        if old_end > end {
            let skip = end.saturating_sub(from);
            rest = Some(Piece {
                len: old_end.saturating_sub(end),
                offset: old.offset.saturating_add(skip),
            });
        }
    }
    if let Some(rest) = rest {
        pieces.insert(end, rest);
    }
    pieces.insert(start, piece);
}
