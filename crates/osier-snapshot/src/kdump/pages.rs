//! Compressed pages.

use std::sync::Arc;

use miniz_oxide::inflate::decompress_slice_iter_to_slice;
use osier_memory::Codec;
use ruzstd::decoding::FrameDecoder;

/// The largest window of a Zstandard frame that is believed; frames of a page need none.
const WINDOW_MAX: u64 = 1 << 20;

/// How a page is stored, by the flags of its descriptor; `None` for flags that say several ways.
pub(super) fn codec(flags: u32) -> Option<Codec> {
    const KNOWN: u32 = 0x27;
    match flags & KNOWN {
        0 => Some(Codec::Stored),
        1 => Some(Codec::Zlib),
        2 => Some(Codec::Lzo),
        4 => Some(Codec::Snappy),
        0x20 => Some(Codec::Zstd),
        _ => None,
    }
}

/// The page of `len` bytes that `packed` holds; `None` when it does not hold exactly that.
pub(super) fn decode(codec: Codec, packed: &[u8], len: usize) -> Option<Arc<[u8]>> {
    let mut page = vec![0; len];
    let whole = match codec {
        // Straight into the page: a decoder that reads streams sets up two buffers of 32 KiB first.
        Codec::Zlib => {
            let packed = std::iter::once(packed);
            decompress_slice_iter_to_slice(&mut page, packed, true, false) == Ok(len)
        }
        Codec::Lzo => lzo::decompress_into(packed, &mut page) == Ok(len),
        Codec::Snappy => snap::raw::Decoder::new().decompress(packed, &mut page) == Ok(len),
        Codec::Zstd => {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(WINDOW_MAX);
            let whole = decoder
                .decode_all(packed, &mut page)
                .is_ok_and(|n| n == len);
            let sum = decoder.get_checksum_from_data();
            whole && (sum.is_none() || sum == decoder.get_calculated_checksum())
        }
        _ => false,
    };
    whole.then(|| Arc::from(page))
}
