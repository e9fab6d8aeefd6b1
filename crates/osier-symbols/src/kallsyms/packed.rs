//! Names as the tables have them: packed into numbers of tokens.

/// The number of the token `0`.
pub(super) const DIGIT_ZERO: usize = 0x30;
/// Symbols between two markers.
pub(super) const PER_MARKER: usize = 256;
/// Symbols of the largest kernel.
pub(super) const MAX_SYMBOLS: usize = 4 << 20;
/// Bytes of the token index.
pub(super) const INDEX: usize = 512;

/// The 256 tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) table: Vec<u8>,
    /// Start and length of each token.
    pub(super) places: Box<[(u16, u16); 256]>,
}

impl Tokens {
    pub(super) fn get(&self, number: u8) -> &[u8] {
        let place = self.places.get(usize::from(number)).copied();
        let (start, len) = place.unwrap_or_default();
        let start = usize::from(start);
        self.table
            .get(start..start.saturating_add(usize::from(len)))
            .unwrap_or_default()
    }

    /// The first byte of a compressed name and its length, without its kind.
    pub(super) fn outline(&self, packed: &[u8]) -> (u8, usize) {
        // 16,383 tokens of 65,535 bytes are less than fills a number.
        let len = packed.iter().fold(0_usize, |len, &number| {
            let token = self.places.get(usize::from(number));
            len.wrapping_add(token.map_or(0, |(_, len)| usize::from(*len)))
        });
        let mut start = packed.iter().take(2).flat_map(|&number| self.get(number));
        let first = start.nth(1).copied().unwrap_or(0);
        (first, len.saturating_sub(1))
    }

    /// A token with a byte that no name has, by its number. Names are printable ASCII without blanks.
    pub(super) fn odd(&self) -> Option<u8> {
        (0..=u8::MAX).find(|&number| !self.get(number).iter().all(u8::is_ascii_graphic))
    }

    /// The first byte of the compressed name `packed`: the symbol's kind.
    pub(super) fn kind(&self, packed: &[u8]) -> Option<u8> {
        self.get(*packed.first()?).first().copied()
    }

    /// The whole name of the compressed bytes `packed`, kind first.
    pub(super) fn expand(&self, packed: &[u8], into: &mut Vec<u8>) {
        into.clear();
        for &number in packed {
            into.extend_from_slice(self.get(number));
        }
    }
}

/// The compressed name at `at`, and where the next starts. A length above 127 takes two bytes, low
/// bits first.
pub(super) fn packed(names: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let first = *names.get(at)?;
    let (len, start) = if first & 0x80 == 0 {
        (usize::from(first), at.checked_add(1)?)
    } else {
        let second = *names.get(at.checked_add(1)?)?;
        let len = usize::from(first & 0x7f) | (usize::from(second) << 7);
        (len, at.checked_add(2)?)
    };
    let end = start.checked_add(len)?;
    Some((names.get(start..end).filter(|n| !n.is_empty())?, end))
}

/// The token index at `at` of the bytes from the token `0` on, if the tokens from there on lie where it
/// says.
pub(super) fn index_of(tokens: &[u8], at: usize) -> Option<Vec<u16>> {
    let index = tokens.get(at..at.checked_add(INDEX)?)?;
    let starts: Vec<u16> = index
        .chunks_exact(2)
        .filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)))
        .collect();
    let zero = *starts.get(DIGIT_ZERO)?;
    let mut expected = usize::from(zero);
    let mut from = 0_usize;
    for start in starts.get(DIGIT_ZERO..)? {
        if usize::from(*start) != expected {
            return None;
        }
        let len = memchr::memchr(0, tokens.get(from..)?)?.checked_add(1)?;
        from = from.checked_add(len)?;
        expected = expected.checked_add(len)?;
    }
    Some(starts)
}

/// Where the name after the first `count` starts.
pub(super) fn skip_names(names: &[u8], count: usize) -> Option<usize> {
    (0..count).try_fold(0, |at, _| packed(names, at).map(|(_, next)| next))
}

/// The number of names, when those after the last marker reach to less than `pointer` zero bytes
/// before the end.
pub(super) fn count_names(
    names: &[u8],
    markers: usize,
    last: usize,
    pointer: usize,
) -> Option<usize> {
    let mut at = last;
    let mut count = markers.checked_sub(1)?.checked_mul(PER_MARKER)?;
    for _ in 0..PER_MARKER {
        at = packed(names, at)?.1;
        count = count.checked_add(1)?;
        let rest = names.get(at..)?;
        if rest.len() < pointer && rest.iter().all(|byte| *byte == 0) {
            return (count <= MAX_SYMBOLS).then_some(count);
        }
    }
    None
}
