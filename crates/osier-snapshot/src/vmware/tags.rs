//! A VMware state file's groups and their tags.

use std::borrow::Cow;

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;

/// The magics, as little-endian words; the low digit is the version.
const MAGICS: [u32; 6] = [
    0xbed0_bed0,
    0xbed2_bed0,
    0xbed2_bed2,
    0xbed3_bed3,
    0xbad1_bad1,
    0xbad2_bad2,
];
/// The most groups; VMware writes some dozens.
const GROUPS: u32 = 4096;
const NAME: usize = 64;

/// A size in a tag that means a block, and one packed.
const BLOCK: u16 = 63;
const PACKED: u16 = 62;
/// The most bytes of a value that is read; the longest are the general registers.
const VALUE: u64 = 1 << 16;

/// Whether a file is a state file, by its first bytes.
pub(super) fn recognises(file: Look<'_>) -> bool {
    let magic = file.array(0).map(u32::from_le_bytes);
    magic.is_some_and(|magic| MAGICS.contains(&magic))
}

/// A file's groups.
pub(super) struct Groups {
    /// Names and places of the tags.
    pub(super) all: Vec<(String, u64)>,
    /// Whether a block's sizes take eight bytes, not four.
    wide: bool,
    pub(super) magic: u32,
}

/// A tag and the place of its value.
pub(super) struct Tag<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) indices: Vec<u32>,
    /// File offset and bytes of the value as it lies in the file.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Whether the value is a block of packed bytes.
    pub(super) packed: bool,
    file: Look<'a>,
}

impl Groups {
    /// Reads the list of groups.
    pub(super) fn read(file: Look<'_>) -> Result<Self, Malformed> {
        let mut at = Cursor::new(file, 0);
        let magic = at.le32("the magic")?;
        at.le32("the version")?;
        let count = at.le32("the number of groups")?;
        if count > GROUPS {
            return Err(Malformed::new(
                8,
                format!("at most {GROUPS} groups, not {count}"),
            ));
        }
        let mut all = Vec::new();
        for _ in 0..count {
            let name = at.take(NAME, "a group's name")?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let place = at.le64("a group's place")?;
            at.le64("a group's size")?;
            all.push((name.escape_ascii().to_string(), place));
        }
        Ok(Self {
            all,
            wide: magic & 0xf != 0,
            magic,
        })
    }

    /// Shows the tags of the group `name` in their order; none when there is no such group.
    pub(super) fn tags<'a>(
        &self,
        file: Look<'a>,
        name: &str,
        mut visit: impl FnMut(Tag<'a>),
    ) -> Result<(), Malformed> {
        let Some((_, place)) = self.all.iter().find(|(known, _)| known == name) else {
            return Ok(());
        };
        let mut at = Cursor::new(file, usize::try_from(*place).unwrap_or(usize::MAX));
        while let Some(tag) = self.tag(file, &mut at)? {
            // A value that the file cuts short is the last that can be shown.
            let whole = usize::try_from(tag.bytes)
                .unwrap_or(usize::MAX)
                .min(at.left());
            let cut = (whole as u64) < tag.bytes;
            at.pass(whole, "a value")?;
            visit(tag);
            if cut {
                break;
            }
        }
        Ok(())
    }

    /// Takes a tag up to its value; `None` at the end of its group.
    fn tag<'a>(&self, file: Look<'a>, at: &mut Cursor<'a>) -> Result<Option<Tag<'a>>, Malformed> {
        let word = at.le16("a tag")?;
        if word == 0 {
            return Ok(None);
        }
        let name = at.take(usize::from(word >> 8), "a tag's name")?;
        let count = word >> 6 & 3;
        let indices = (0..count).map(|_| at.le32("a tag's index"));
        let indices: Vec<u32> = indices.collect::<Result<_, _>>()?;
        let size = word & 0x3f;
        let mut bytes = u64::from(size);
        if matches!(size, BLOCK | PACKED) {
            let mut word = || {
                if self.wide {
                    at.le64("a block's size")
                } else {
                    at.le32("a block's size").map(u64::from)
                }
            };
            bytes = word()?;
            word()?; // unpacked
            let padding = at.le16("a block's padding")?;
            at.pass(usize::from(padding), "a block's padding")?;
        }
        Ok(Some(Tag {
            name,
            indices,
            offset: at.at() as u64,
            bytes,
            packed: size == PACKED,
            file,
        }))
    }
}

impl<'a> Tag<'a> {
    /// The value, when it is not packed and all there.
    pub(super) fn value(&self) -> Option<Cow<'a, [u8]>> {
        if self.packed || self.bytes > VALUE {
            return None;
        }
        let from = usize::try_from(self.offset).ok()?;
        self.file.get(from, usize::try_from(self.bytes).ok()?)
    }

    /// The value as a little-endian number of at most eight bytes.
    pub(super) fn number(&self) -> Option<u64> {
        let value = self
            .value()
            .filter(|value| (1..=8).contains(&value.len()))?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(value.iter().rev().fold(0, fold))
    }
}
