//! A bare zlib stream (RFC 1950), which is what `LiME` writes with `compress=1` around its dump.
//!
//! The header is two bytes that one file in some 500 starts with by chance, so a stream is known by
//! what it decodes to.

use std::io::Read;

use crate::data::Data;

/// Bytes that must decode: a page of a dump without headers, or all of a smaller stream.
const PROBE: u64 = 4096;

/// Whether a file starts with a zlib stream.
pub(super) fn recognises(data: &Data) -> bool {
    data.look().array(0).is_some_and(is_header) && decodes(data)
}

/// CMF and FLG: deflate, a window of at most 32 KiB, no preset dictionary, and the check bits.
fn is_header([cmf, flg]: [u8; 2]) -> bool {
    let deflate = cmf & 0x0f == 8 && cmf >> 4 <= 7;
    deflate && flg & 0x20 == 0 && u16::from_be_bytes([cmf, flg]).is_multiple_of(31)
}

fn decodes(data: &Data) -> bool {
    let mut decoder = flate2::bufread::ZlibDecoder::new(data.reader(0)).take(PROBE);
    std::io::copy(&mut decoder, &mut std::io::sink()).is_ok_and(|bytes| bytes > 0)
}
