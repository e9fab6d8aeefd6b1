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

/// `bytes` as a zlib stream (RFC 1950) of stored blocks (RFC 1951).
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let last = bytes.len().div_ceil(60_000).max(1) - 1;
    for (number, block) in bytes.chunks(60_000).enumerate() {
        let len = block.len() as u16;
        out.push(u8::from(number == last));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// `bytes` as an LZO1X block (`Documentation/staging/lzo.rst` of Linux): runs of literals, and
/// matches at distance 1.
pub fn lzo(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let extended = |out: &mut Vec<u8>, mut rest: usize| {
        while rest > 255 {
            out.push(0);
            rest -= 255;
        }
        out.push(rest as u8);
    };
    let mut first = true;
    for (literals, repeats) in pieces(bytes, 8) {
        if first && literals.len() <= 238 {
            out.push(literals.len() as u8 + 17);
        } else if literals.len() < 4 {
            // They ride on the match before, in the low bits of its distance.
            let distance = out.len() - 2;
            out[distance] |= literals.len() as u8;
        } else if literals.len() <= 18 {
            out.push(literals.len() as u8 - 3);
        } else {
            out.push(0);
            extended(&mut out, literals.len() - 18);
        }
        first = false;
        out.extend(literals);
        if repeats == 0 {
            continue;
        }
        if repeats <= 33 {
            out.push(0x20 | (repeats as u8 - 2));
        } else {
            out.push(0x20);
            extended(&mut out, repeats - 33);
        }
        out.extend([0, 0]);
    }
    out.extend([0x11, 0, 0]);
    out
}

/// `bytes`, of 256 to 65,791, as a Zstandard frame (RFC 8878) of raw and run-length blocks.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x28\xb5\x2f\xfd\x60".to_vec(); // one segment, two bytes of size
    out.extend((bytes.len() as u16).wrapping_sub(256).to_le_bytes());
    let mut block = |last: bool, kind: u32, size: usize, data: &[u8]| {
        let header = u32::from(last) | kind << 1 | (size as u32) << 3;
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(data);
    };
    for (literals, repeats) in pieces(bytes, 8) {
        block(false, 0, literals.len(), literals);
        if repeats > 0 {
            block(false, 1, repeats, &literals[literals.len() - 1..]);
        }
    }
    block(true, 0, 0, &[]);
    out
}
