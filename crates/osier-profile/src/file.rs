//! The profile file, `.osp`: one [`Profile`] as bytes.
//!
//! ```text
//!   0  8  "OSIERPRF"
//!   8  4  version, 2
//!  12  4  CRC-32 (ISO-HDLC) of every byte from 16 to the end
//!  16  8  fingerprint of the wanted list that the profile was made for
//!  24  8  bytes of the file
//!  32  8  bytes of the card, which follows at 40
//!  40  …  the card: identity, the head of the text, anchors
//!   …  …  the body: strings, provenance, kinds, types, symbols, constants, wholeness
//! ```
//!
//! Fixed integers are little-endian. Everything in the card and the body is a sequence of
//! *numbers* (LEB128, at most 64 bits; signed ones zigzag) and of *bytes* (a number, then so many
//! bytes); *text* is bytes in UTF-8. A list is a number, then so many items.
//!
//! | part | content |
//! |---|---|
//! | identity | OS (0 Linux, 1 Windows, 2 another), pointer bytes, build id (bytes; empty for none), banner (bytes), release (text) |
//! | head of the text | bytes at `_text`, at most 64 |
//! | anchors | list of (text name, number value): the symbols that confirm a place, also in the body |
//! | strings | list of text |
//! | provenance | list of string index |
//! | kinds | list of kind: tag, then by tag 0 signed integer, 1 unsigned integer, 2 pointer (string index), 3 embedded (string index), 4 array (index of an earlier kind, count), 5 unknown |
//! | types | list of (string index, 0 struct or 1 union, bytes, list of members), by name |
//! | member | string index, kind index × 2 + 1 if a bit field, signed offset, bytes, and for a bit field its first bit and width |
//! | symbols | list of (string index, value), by name |
//! | constants | list of (string index, signed value), by name |
//! | wholeness | 1 where the types are all of the kernel's own, else 0 |
//!
//! The card can be read without the rest, so that a folder of profiles is surveyed by a few
//! kilobytes each; only reading the whole file checks the CRC. A reader allocates in proportion to
//! the bytes it was given, whatever they claim.

mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use crate::{BuildId, Identity, OsKind, Profile, ProfileBuilder};
pub use error::ProfileError;
use error::VERSION;
use read::{Cursor, damaged, read_body};
use write::{write_body, write_card};

pub(crate) const MAGIC: [u8; 8] = *b"OSIERPRF";
const HEADER_BYTES: usize = 40;
/// Where the CRC's range starts.
const CHECKED_FROM: usize = 16;
/// Bytes of a file's beginning that hold any card that this version writes.
pub(crate) const CARD_WINDOW: usize = 8192;
/// The largest profile file that is read at all.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;

/// What the beginning of a profile file says: enough to know which kernel it is for and to find
/// that kernel in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Which kernel.
    pub identity: Identity,
    /// The fingerprint of the wanted list that the profile was made for; see
    /// [`Wanted::fingerprint`](crate::Wanted::fingerprint).
    pub fingerprint: u64,
    /// As [`Profile::text_head`].
    pub text_head: Vec<u8>,
    /// Those of `_text`, `_stext`, `linux_banner`, `init_top_pgt`, `init_level4_pgt`,
    /// `swapper_pg_dir`, `initial_page_table`, `init_task` and `init_uts_ns` that the profile has, at their
    /// link-time addresses.
    pub anchors: Vec<(String, u64)>,
}

impl Card {
    /// Reads the card at the beginning of `data`, which need not be the whole file.
    ///
    /// # Errors
    ///
    /// Not a profile, one of another version, or a damaged or too short one. The CRC is not
    /// checked.
    pub fn from_bytes(data: &[u8]) -> Result<Self, ProfileError> {
        Header::read(data).and_then(|header| header.card(data))
    }

    /// The anchor called `name`.
    pub fn anchor(&self, name: &str) -> Option<u64> {
        let found = self.anchors.iter().find(|(anchor, _)| anchor == name);
        found.map(|(_, value)| *value)
    }
}

struct Header {
    fingerprint: u64,
    crc: u32,
    file_bytes: usize,
    card_end: usize,
}

impl Header {
    fn read(data: &[u8]) -> Result<Self, ProfileError> {
        if !data.starts_with(&MAGIC) {
            return Err(ProfileError::NotAProfile);
        }
        let mut cursor = Cursor::new(data, MAGIC.len());
        let version = u32::from_le_bytes(cursor.fixed("version")?);
        if version != VERSION {
            return Err(ProfileError::Version { found: version });
        }
        let crc = u32::from_le_bytes(cursor.fixed("checksum")?);
        let fingerprint = u64::from_le_bytes(cursor.fixed("fingerprint")?);
        let size = |field| usize::try_from(u64::from_le_bytes(field)).unwrap_or(usize::MAX);
        let file_bytes = size(cursor.fixed("length")?);
        let card_bytes = size(cursor.fixed("length of the card")?);
        let card_end = HEADER_BYTES.saturating_add(card_bytes);
        if card_end > file_bytes {
            return Err(damaged(32, "a card longer than the file"));
        }
        Ok(Self {
            fingerprint,
            crc,
            file_bytes,
            card_end,
        })
    }

    fn card(&self, data: &[u8]) -> Result<Card, ProfileError> {
        let card = data.get(..self.card_end);
        let card = card.ok_or_else(|| damaged(data.len(), "the card is cut short"))?;
        let mut cursor = Cursor::new(card, HEADER_BYTES);
        let at = cursor.offset;
        let os = match cursor.number()? {
            0 => OsKind::Linux,
            1 => OsKind::Windows,
            2 => OsKind::Other,
            _ => return Err(damaged(at, "an unknown operating system")),
        };
        let at = cursor.offset;
        let pointer_bytes = match cursor.number()? {
            4 => 4,
            8 => 8,
            _ => return Err(damaged(at, "pointers of neither 4 nor 8 bytes")),
        };
        let build_id = cursor.bytes()?;
        let identity = Identity {
            os,
            pointer_bytes,
            build_id: (!build_id.is_empty()).then(|| BuildId(build_id.to_vec())),
            banner: cursor.bytes()?.to_vec(),
            release: cursor.text()?.to_owned(),
        };
        let text_head = cursor.bytes()?.to_vec();
        let count = cursor.count(2)?;
        let mut anchors = Vec::with_capacity(count);
        for _ in 0..count {
            anchors.push((cursor.text()?.to_owned(), cursor.number()?));
        }
        Ok(Card {
            identity,
            fingerprint: self.fingerprint,
            text_head,
            anchors,
        })
    }
}

impl Profile {
    /// The profile as a file's bytes, made for the wanted list of that fingerprint.
    pub fn to_bytes(&self, fingerprint: u64) -> Vec<u8> {
        let card = write_card(self);
        let mut body = Vec::new();
        write_body(self, &mut body);
        let length = HEADER_BYTES
            .saturating_add(card.len())
            .saturating_add(body.len());

        let mut checked = Vec::new();
        checked.extend_from_slice(&fingerprint.to_le_bytes());
        checked.extend_from_slice(&(length as u64).to_le_bytes());
        checked.extend_from_slice(&(card.len() as u64).to_le_bytes());
        checked.extend_from_slice(&card);
        checked.append(&mut body);

        let mut file = Vec::with_capacity(length);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
        file.append(&mut checked);
        file
    }

    /// Reads a file's bytes: the profile, and the fingerprint of the wanted list it was made for.
    ///
    /// # Errors
    ///
    /// Not a profile, one of another version, or a damaged one.
    pub fn from_bytes(data: &[u8]) -> Result<(Self, u64), ProfileError> {
        Self::from_data(Cow::Owned(data.to_vec()))
    }

    /// As [`from_bytes`](Self::from_bytes), of bytes that stay with the profile.
    pub(crate) fn from_data(mut whole: Cow<'static, [u8]>) -> Result<(Self, u64), ProfileError> {
        let header = Header::read(&whole)?;
        if header.file_bytes > whole.len() {
            return Err(damaged(whole.len(), "the file is cut short"));
        }
        match &mut whole {
            Cow::Owned(data) => data.truncate(header.file_bytes),
            Cow::Borrowed(data) => *data = data.get(..header.file_bytes).unwrap_or(data),
        }
        let data: &[u8] = &whole;
        if crc32fast::hash(data.get(CHECKED_FROM..).unwrap_or(&[])) != header.crc {
            return Err(damaged(12, "a checksum that does not fit"));
        }
        let card = header.card(data)?;
        let mut builder = ProfileBuilder::new(card.identity);
        builder.set_text_head(card.text_head);
        read_body(whole, header.card_end, &mut builder)?;
        Ok((builder.build(), header.fingerprint))
    }
}
