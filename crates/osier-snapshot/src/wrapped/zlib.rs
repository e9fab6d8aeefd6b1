//! A bare zlib stream (RFC 1950), which is what `LiME` writes with `compress=1` around its dump.
//!
//! The header is two bytes that one file in some 500 starts with by chance, so a stream is known by
//! what it decodes to.

use std::io::Read;

/// Bytes that must decode: a page of a dump without headers, or all of a smaller stream.
const PROBE: u64 = 4096;

/// Whether `file` starts with a zlib stream.
pub(super) fn recognises(file: &[u8]) -> bool {
    is_header(file) && decodes(file)
}

/// CMF and FLG: deflate, a window of at most 32 KiB, no preset dictionary, and the check bits.
fn is_header(file: &[u8]) -> bool {
    let Some(&[cmf, flg]) = file.first_chunk() else {
        return false;
    };
    let deflate = cmf & 0x0f == 8 && cmf >> 4 <= 7;
    deflate && flg & 0x20 == 0 && u16::from_be_bytes([cmf, flg]).is_multiple_of(31)
}

fn decodes(file: &[u8]) -> bool {
    let mut decoder = flate2::read::ZlibDecoder::new(file).take(PROBE);
    std::io::copy(&mut decoder, &mut std::io::sink()).is_ok_and(|bytes| bytes > 0)
}
