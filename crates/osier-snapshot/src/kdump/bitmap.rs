//! Bitmaps of page frames, and how many bits stand before one.

/// Bytes of a bitmap between two entries of the rank index.
const SPAN: usize = 512;

/// A bitmap with one bit for each page frame, the lowest bit of a byte first.
pub(super) struct Bitmap {
    bytes: Vec<u8>,
    /// The number of frames.
    frames: u64,
}

impl Bitmap {
    /// The bitmap in `bytes`, of at most `frames` frames.
    pub(super) fn new(bytes: Vec<u8>, frames: u64) -> Self {
        let bits = (bytes.len() as u64).saturating_mul(8);
        Self {
            bytes,
            frames: frames.min(bits),
        }
    }

    /// The number of frames.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether the bit of `frame` is set.
    pub(super) fn has(&self, frame: u64) -> bool {
        let byte = usize::try_from(frame / 8)
            .ok()
            .and_then(|at| self.bytes.get(at));
        frame < self.frames && byte.is_some_and(|byte| byte >> (frame % 8) & 1 == 1)
    }

    /// Whether all its set bits are set in `other` too.
    pub(super) fn within(&self, other: &Self) -> bool {
        let pairs = self.bytes.iter().zip(&other.bytes);
        pairs.into_iter().all(|(these, those)| these & !those == 0)
    }

    /// The stretches of set bits, as `(first, end)`, in order.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = self.next(at, true)?;
            let end = self.next(first, false).unwrap_or(self.frames);
            at = end;
            Some((first, end))
        })
    }

    /// The first frame from `from` on whose bit is `set`.
    fn next(&self, from: u64, set: bool) -> Option<u64> {
        let skip = if set { 0 } else { u8::MAX };
        let bytes = &self.bytes;
        let mut at = from;
        while at < self.frames {
            let byte = *bytes.get(usize::try_from(at / 8).ok()?)?;
            if byte == skip {
                at = (at / 8).saturating_add(1).saturating_mul(8);
                continue;
            }
            if (byte >> (at % 8) & 1 == 1) == set {
                return Some(at);
            }
            at = at.saturating_add(1);
        }
        None
    }
}

/// A bitmap that can be counted in: the number of set bits before each [`SPAN`] is kept.
pub(super) struct Ranked {
    pub(super) bits: Bitmap,
    before: Vec<u64>,
}

impl Ranked {
    /// Counts `bits` once.
    pub(super) fn new(bits: Bitmap) -> Self {
        let mut before = Vec::new();
        let mut sum = 0_u64;
        for span in bits.bytes.chunks(SPAN) {
            before.push(sum);
            sum = sum.saturating_add(ones(span));
        }
        before.push(sum);
        Self { bits, before }
    }

    /// The number of set bits before `frame`.
    pub(super) fn rank(&self, frame: u64) -> u64 {
        let bytes = &self.bits.bytes;
        let byte = usize::try_from(frame / 8)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let span = byte / SPAN;
        let whole = bytes.get(span.saturating_mul(SPAN)..byte);
        let part = bytes.get(byte).map_or(0, |byte| {
            let below = (1_u16 << (frame % 8)).wrapping_sub(1) as u8;
            u64::from((byte & below).count_ones())
        });
        let before = self.before.get(span).copied().unwrap_or(0);
        before
            .saturating_add(whole.map_or(0, ones))
            .saturating_add(part)
    }
}

fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_le_bytes(*word).count_ones()))
        .sum();
    let rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    words.saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_and_joined() {
        let mut seed = 0x1234_5678_9abc_def1_u64;
        let mut bytes = vec![0_u8; 3 * SPAN + 77];
        for (at, byte) in bytes.iter_mut().enumerate() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = match at / 100 % 3 {
                0 => 0,
                1 => 0xff,
                _ => seed as u8,
            };
        }
        let frames = bytes.len() as u64 * 8 - 5;
        let plain: Vec<bool> = (0..frames)
            .map(|at| bytes[at as usize / 8] >> (at % 8) & 1 == 1)
            .collect();
        let ranked = Ranked::new(Bitmap::new(bytes, frames));
        let mut rank = 0;
        for (frame, set) in plain.iter().enumerate() {
            assert_eq!(ranked.rank(frame as u64), rank);
            assert_eq!(ranked.bits.has(frame as u64), *set);
            rank += u64::from(*set);
        }
        let mut joined = vec![false; plain.len()];
        let mut last = None;
        for (first, end) in ranked.bits.stretches() {
            assert!(first < end && last < Some(first));
            joined[first as usize..end as usize].fill(true);
            last = Some(end);
        }
        assert_eq!(joined, plain);
        assert!(!ranked.bits.has(frames) && !ranked.bits.has(u64::MAX));
    }
}
