//! Compressed blocks, written plainly: right by the formats, not small.

/// The CRC-32C (Castagnoli) of `bytes`, bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

/// The length of the run of one byte that starts at `at`.
fn run(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|b| **b == bytes[at]).count()
}

/// `bytes` as pieces: `(literals, repeats of the last literal)`.
fn pieces(bytes: &[u8], least: usize) -> Vec<(&[u8], usize)> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let same = run(bytes, at);
        if same > least {
            pieces.push((&bytes[start..=at], same - 1));
            start = at + same;
        }
        at += same;
    }
    if start < bytes.len() {
        pieces.push((&bytes[start..], 0));
    }
    pieces
}

/// `bytes` as a Snappy block (`format_description.txt` of Google's Snappy): literals, and runs of a
/// byte as copies of what is one byte back.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for (literals, repeats) in pieces(bytes, 8) {
        for literal in literals.chunks(60) {
            out.push((literal.len() as u8 - 1) << 2);
            out.extend(literal);
        }
        let mut left = repeats;
        while left > 0 {
            let now = left.min(64);
            out.push((now as u8 - 1) << 2 | 2);
            out.extend(1_u16.to_le_bytes());
            left -= now;
        }
    }
    out
}
