//! Everything of a minidump but memory: put down piece by piece, each where the last one ended, with the
//! list of streams filled in at the end.

use osier_memory::PAGE_BYTES;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::layout::{Directory, FLAGS, Header, Location, SIGNATURE, VERSION};

/// Streams that there is room for.
const STREAMS: usize = 9;

/// The bytes before memory.
pub(super) struct Heads {
    bytes: Vec<u8>,
    streams: Vec<Directory>,
}

impl Heads {
    pub(super) fn new() -> Self {
        let room = size_of::<Header>().saturating_add(size_of::<[Directory; STREAMS]>());
        Self {
            bytes: vec![0; room],
            streams: Vec::with_capacity(STREAMS),
        }
    }

    /// Puts bytes down, at a multiple of 8.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Location {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let rva = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Location {
            data_size: narrow(bytes.len()),
            rva: narrow(rva),
        }
    }

    /// Puts a `MINIDUMP_STRING` down, of text that is UTF-8 but for lone surrogates.
    pub(super) fn text(&mut self, text: &[u8]) -> U32 {
        let units = utf16(text);
        let mut bytes = Vec::with_capacity(units.len().saturating_mul(2).saturating_add(6));
        bytes.extend(narrow(units.len().saturating_mul(2)).as_bytes());
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend([0, 0]);
        self.put(&bytes).rva
    }

    /// Puts a stream down: a head, and entries behind it.
    pub(super) fn stream<H, E>(&mut self, kind: u32, head: &H, entries: &[E])
    where
        H: Immutable + IntoBytes + ?Sized,
        E: Immutable + IntoBytes,
    {
        let bytes = [head.as_bytes(), entries.as_bytes()].concat();
        let location = self.put(&bytes);
        self.streams.push(Directory {
            stream_type: kind.into(),
            location,
        });
    }

    /// Puts the stream down that says which memory there is, `of_memory` with where its bytes begin, and gives all
    /// that stands before them; `None` when that has no room in offsets of 32 bits.
    pub(super) fn finish(
        mut self,
        seconds: u32,
        kind: u32,
        stream_bytes: usize,
        of_memory: impl FnOnce(U64) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let start = self.bytes.len().next_multiple_of(8);
        let end = start.saturating_add(stream_bytes) as u64;
        let base = end.checked_next_multiple_of(PAGE_BYTES)?;
        u32::try_from(end).ok()?;
        self.stream(kind, &of_memory(base.into())[..], &[0_u8; 0]);
        self.bytes.resize(usize::try_from(base).ok()?, 0);
        let header = Header {
            signature: SIGNATURE,
            version: VERSION.into(),
            number_of_streams: narrow(self.streams.len()),
            stream_directory_rva: narrow(size_of::<Header>()),
            check_sum: 0.into(),
            time_date_stamp: seconds.into(),
            flags: FLAGS.into(),
        };
        let head = [header.as_bytes(), self.streams.as_bytes()].concat();
        self.bytes.get_mut(..head.len())?.copy_from_slice(&head);
        Some(self.bytes)
    }
}

/// A length or offset of this file's heads, which [`Heads::finish`] looks at as a whole.
pub(super) fn narrow(number: usize) -> U32 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}

/// UTF-16 of text that is UTF-8 but for surrogates without a partner, which have three bytes each. What is neither
/// stands as U+FFFD.
pub(super) fn utf16(text: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, tail @ ..] = rest {
            let (second, third) = (u16::from(*second), u16::from(*third));
            units.push(0xd000 | (second & 0x3f) << 6 | third & 0x3f);
            rest = tail;
            continue;
        }
        let valid = match std::str::from_utf8(rest) {
            Ok(all) => all.len(),
            Err(error) => error.valid_up_to(),
        };
        let (good, tail) = rest.split_at_checked(valid).unwrap_or((rest, &[]));
        units.extend(std::str::from_utf8(good).unwrap_or_default().encode_utf16());
        rest = tail;
        if valid == 0 {
            units.push(0xfffd);
            rest = tail.get(1..).unwrap_or_default();
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::utf16;

    #[test]
    fn text_comes_back_as_the_guest_had_it() {
        let letters = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        assert_eq!(utf16("Größe 😀".as_bytes()), letters("Größe 😀"));
        assert_eq!(utf16(b"\xed\xa0\x80a"), [0xd800, 0x61], "a lone surrogate");
        assert_eq!(utf16(b"a\xed\xbf\xbf"), [0x61, 0xdfff]);
        assert_eq!(utf16(b"a\xffb"), [0x61, 0xfffd, 0x62]);
    }
}
