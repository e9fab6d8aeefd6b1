//! `LiME` and AVML dumps (LiME `src/lime.h`; AVML's README; Snappy's `framing_format.txt`).

use super::packing::{crc32c, snappy};

/// A range's header: magic, version, first and last address, reserved.
pub fn header(magic: [u8; 4], version: u32, first: u64, last: u64) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend(version.to_le_bytes());
    out.extend(first.to_le_bytes());
    out.extend(last.to_le_bytes());
    out.extend([0; 8]);
    out
}

/// A `LiME` dump of `ranges`, each an address and its bytes, in their order.
pub fn lime(ranges: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (first, bytes) in ranges {
        let last = first + (bytes.len() as u64 - 1);
        out.extend(header(*b"EMiL", 1, *first, last));
        out.extend(bytes);
    }
    out
}

/// An AVML dump of `ranges`, in frames of `frame` bytes, every other of them stored.
pub fn avml(ranges: &[(u64, Vec<u8>)], frame: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (first, bytes) in ranges {
        let last = first + (bytes.len() as u64 - 1);
        out.extend(header(*b"AVML", 2, *first, last));
        let body = out.len();
        out.extend(b"\xff\x06\0\0sNaPpY");
        for (number, bytes) in bytes.chunks(frame).enumerate() {
            // Padding, which a reader passes over.
            out.extend(b"\xfe\x03\0\0xyz");
            let crc = crc32c(bytes);
            let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
            let (kind, data) = if number % 2 == 0 {
                (0, snappy(bytes))
            } else {
                (1, bytes.to_vec())
            };
            out.push(kind);
            out.extend(&(data.len() as u32 + 4).to_le_bytes()[..3]);
            out.extend(masked.to_le_bytes());
            out.extend(data);
        }
        let length = (out.len() - body) as u64;
        out.extend(length.to_le_bytes());
    }
    out
}
