//! Microsoft's Xpress: plain LZ77 and LZ77 with Huffman codes, as `[MS-XCA]` specifies them
//! (sections 2.2 and 2.4). What Windows compresses hibernated memory with.
//!
//! Both decoders fill a buffer whose length the container knows and never write past it. Input that
//! ends early, points before the start or does not end with the buffer is damaged: no byte of it
//! is to be used. (The crates that decode Xpress trust their input's lengths.)

/// How a unit is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// LZ77 alone.
    Plain,
    /// LZ77 and Huffman codes.
    Huffman,
}

impl Method {
    /// Decodes `input` into all of `out`; `None` when it is damaged.
    pub(crate) fn decode(self, input: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Plain => plain(input, out),
            Self::Huffman => huffman(input, out),
        }
    }
}

/// The shortest match.
const MATCH_MIN: usize = 3;

/// Bytes in the order of the stream.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at = self.at.checked_add(1)?;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at = self.at.checked_add(2)?;
        Some(u16::from_le_bytes(*bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at = self.at.checked_add(4)?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// What follows a length field of `most`, its highest value: a byte, a word or four bytes. The
    /// longer forms count from `base` too.
    fn longer(&mut self, base: usize) -> Option<usize> {
        match self.u8()? {
            255 => {
                let length = match self.u16()? {
                    0 => self.u32()? as usize,
                    length => length.into(),
                };
                length.checked_sub(base)
            }
            length => Some(length.into()),
        }
    }
}

/// The bytes decoded so far.
struct Output<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Output<'_> {
    fn full(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.at)? = byte;
        self.at = self.at.checked_add(1)?;
        Some(())
    }

    /// Repeats `len` bytes from `distance` back. The two may overlap: then what was just written is
    /// repeated too.
    fn repeat(&mut self, distance: usize, len: usize) -> Option<()> {
        let from = self.at.checked_sub(distance)?;
        let end = self.at.checked_add(len)?;
        if end > self.bytes.len() {
            return None;
        }
        if distance >= len {
            self.bytes
                .copy_within(from..from.checked_add(len)?, self.at);
        } else {
            for place in self.at..end {
                let byte = *self.bytes.get(place.checked_sub(distance)?)?;
                *self.bytes.get_mut(place)? = byte;
            }
        }
        self.at = end;
        Some(())
    }
}

/// Plain LZ77: 32 flags at a time, most significant first; 0 is a literal, 1 a match of 13 bits of
/// distance and 3 of length. Longer lengths go on in half bytes, bytes and words.
fn plain(input: &[u8], out: &mut [u8]) -> Option<()> {
    const NIBBLE: usize = 7;
    const BYTE: usize = 15;
    let mut input = Input {
        bytes: input,
        at: 0,
    };
    let mut out = Output { bytes: out, at: 0 };
    let mut flags = 0_u32;
    let mut left = 0_u32;
    // The byte whose upper half is the next half byte.
    let mut half: Option<u8> = None;
    while !out.full() {
        if left == 0 {
            flags = input.u32()?;
            left = 32;
        }
        left = left.wrapping_sub(1);
        if flags >> left & 1 == 0 {
            out.literal(input.u8()?)?;
            continue;
        }
        let token = usize::from(input.u16()?);
        let mut length = token & 7;
        if length == NIBBLE {
            let nibble = match half.take() {
                Some(byte) => byte >> 4,
                None => *half.insert(input.u8()?) & 15,
            };
            length = nibble.into();
            if length == BYTE {
                length = input.longer(BYTE + NIBBLE)?.checked_add(BYTE)?;
            }
            length = length.checked_add(NIBBLE)?;
        }
        out.repeat((token >> 3).checked_add(1)?, length.checked_add(MATCH_MIN)?)?;
    }
    Some(())
}

/// Symbols of the Huffman code: 256 literals, then 16 lengths for each of 16 widths of distance.
const SYMBOLS: usize = 512;
/// The longest code.
const CODE_BITS: u32 = 15;
/// After so many bytes a new code follows.
const BLOCK: usize = 1 << 16;

/// What 15 bits of input start with: a symbol, and the bits of its code.
struct Codes(Vec<(u16, u8)>);

impl Codes {
    /// The canonical code of the lengths in `table`, four bits each, the lower half byte first;
    /// `None` when they are no complete code.
    fn of(table: &[u8; SYMBOLS / 2]) -> Option<Self> {
        let mut codes = Vec::with_capacity(1 << CODE_BITS);
        for bits in 1..=CODE_BITS as u8 {
            let each = 1_usize << CODE_BITS.checked_sub(bits.into())?;
            let lengths = table.iter().flat_map(|pair| [pair & 15, pair >> 4]);
            for (symbol, _) in lengths.enumerate().filter(|(_, length)| *length == bits) {
                let end = codes.len().checked_add(each)?;
                if end > 1 << CODE_BITS {
                    return None;
                }
                codes.resize(end, (symbol as u16, bits));
            }
        }
        (codes.len() == 1 << CODE_BITS).then_some(Self(codes))
    }
}

/// The bits of 16-bit words, most significant first, with whole bytes between them.
struct Bits {
    /// The next bits, the first on top.
    next: u32,
    /// Bits in `next` beyond 16.
    extra: i32,
    /// Bits of `next` that no byte stands for, as the input had ended.
    beyond: i32,
}

impl Bits {
    fn start(input: &mut Input<'_>) -> Self {
        let mut bits = Self {
            next: 0,
            extra: 0,
            beyond: 0,
        };
        let high = bits.word(input);
        bits.next = high << 16 | bits.word(input);
        bits.extra = 16;
        bits
    }

    fn word(&mut self, input: &mut Input<'_>) -> u32 {
        if let Some(word) = input.u16() {
            return word.into();
        }
        self.beyond = self.beyond.saturating_add(16);
        0
    }

    /// Drops `n` bits (at most 15); `None` when they were not in the input.
    fn skip(&mut self, n: u32, input: &mut Input<'_>) -> Option<()> {
        self.next = self.next.checked_shl(n)?;
        self.extra = self.extra.wrapping_sub(n.cast_signed());
        if self.extra < 0 {
            let shift = self.extra.unsigned_abs();
            self.next |= self.word(input) << shift;
            self.extra = self.extra.wrapping_add(16);
        }
        (self.extra.wrapping_add(16) >= self.beyond).then_some(())
    }

    /// The next `n` bits (at most 15) as a number.
    fn peek(&self, n: u32) -> u32 {
        self.next.checked_shr(32_u32.wrapping_sub(n)).unwrap_or(0)
    }
}

/// LZ77 with Huffman codes: a table of code lengths for each 64 KiB, then codes.
fn huffman(input: &[u8], out: &mut [u8]) -> Option<()> {
    const BYTE: usize = 15;
    let mut input = Input {
        bytes: input,
        at: 0,
    };
    let mut out = Output { bytes: out, at: 0 };
    while !out.full() {
        let table = input.bytes.get(input.at..)?.first_chunk()?;
        let codes = Codes::of(table)?;
        input.at = input.at.checked_add(table.len())?;
        let mut bits = Bits::start(&mut input);
        let block_end = out.at.checked_add(BLOCK)?.min(out.bytes.len());
        while out.at < block_end {
            let (symbol, width) = *codes.0.get(bits.peek(CODE_BITS) as usize)?;
            bits.skip(width.into(), &mut input)?;
            let Some(token) = usize::from(symbol).checked_sub(256) else {
                out.literal(symbol as u8)?;
                continue;
            };
            let mut length = token & 15;
            if length == BYTE {
                length = input.longer(BYTE)?.checked_add(BYTE)?;
            }
            let width = (token >> 4) as u32;
            let distance = 1_usize << width | bits.peek(width) as usize;
            bits.skip(width, &mut input)?;
            out.repeat(distance, length.checked_add(MATCH_MIN)?)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    fn decoded(method: Method, input: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len];
        method.decode(input, &mut out).map(|()| out)
    }

    /// A Huffman table with these bytes and zeros otherwise, and the data behind it.
    fn tabled(table: &[(usize, &[u8])], data: &[u8]) -> Vec<u8> {
        let mut input = vec![0; SYMBOLS / 2];
        for (at, bytes) in table {
            for (into, byte) in input[*at..].iter_mut().zip(*bytes) {
                *into = *byte;
            }
        }
        input.extend(data);
        input
    }

    // The examples of [MS-XCA], section 3.

    #[test]
    fn plain_literals() {
        let input = [&[0x3f, 0, 0, 0], ALPHABET].concat();
        let out = decoded(Method::Plain, &input, 26).unwrap();
        assert_eq!(out, ALPHABET);
        assert_eq!(decoded(Method::Plain, &input, 27), None);
        assert_eq!(decoded(Method::Plain, &input[..29], 26), None);
    }

    #[test]
    fn plain_match() {
        let input = *b"\xff\xff\xff\x1fabc\x17\x00\x0f\xff\x26\x01";
        let out = decoded(Method::Plain, &input, 300).unwrap();
        assert_eq!(out, b"abc".repeat(100));
        assert_eq!(decoded(Method::Plain, &input, 299), None);
        assert_eq!(decoded(Method::Plain, &input, 301), None);
    }

    fn letters() -> Vec<u8> {
        let mut table = vec![0x50];
        table.extend([0x55; 10]);
        table.extend([0x45, 0x44, 0x04]);
        tabled(
            &[(48, &table), (128, &[0x04])],
            b"\xd8\x52\x3e\xd7\x94\x11\x5b\xe9\x19\x5f\xf9\xd6\x7c\xdf\x8d\x04\0\0\0\0",
        )
    }

    #[test]
    fn huffman_literals() {
        let out = decoded(Method::Huffman, &letters(), 26).unwrap();
        assert_eq!(out, ALPHABET);
    }

    #[test]
    fn huffman_match() {
        let input = tabled(
            &[(48, &[0x30, 0x23]), (128, &[0x02]), (143, &[0x20])],
            b"\xa8\xdc\0\0\xff\x26\x01",
        );
        let out = decoded(Method::Huffman, &input, 300).unwrap();
        assert_eq!(out, b"abc".repeat(100));
        assert_eq!(decoded(Method::Huffman, &input, 299), None);
    }

    #[test]
    fn bits_that_are_not_there_are_not_zeros() {
        let input = letters();
        for len in 0..SYMBOLS / 2 + 16 {
            assert_eq!(decoded(Method::Huffman, &input[..len], 26), None, "{len}");
        }
    }

    #[test]
    fn codes_that_are_none_are_refused() {
        let too_many = tabled(&[(0, &[0x11, 0x11])], &[0; 16]);
        assert_eq!(decoded(Method::Huffman, &too_many, 4), None);
        let too_few = tabled(&[(0, &[0x01])], &[0; 16]);
        assert_eq!(decoded(Method::Huffman, &too_few, 4), None);
    }
}
