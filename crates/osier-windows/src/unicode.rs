//! `_UNICODE_STRING`: counted UTF-16, made bytes.

use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{Absent, Seen};

use crate::guest::is_kernel_address;

/// Reads the `_UNICODE_STRING` at `at`, whose buffer pointer has `pointer_bytes` bytes. The ABI is
/// the same in every Windows: `Length` and `MaximumLength`, 16 bits each and in bytes, then, aligned,
/// `Buffer`.
pub(crate) fn read(space: &AddressSpace, at: VirtAddr, pointer_bytes: u8) -> Seen<Vec<u8>> {
    read_in(space, at, pointer_bytes, None)
}

/// A block of memory whose strings have the distance from its start in place of an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) at: VirtAddr,
    pub(crate) bytes: u64,
}

impl Block {
    /// The address that `buffer` of a string of `length` bytes stands for.
    fn address(self, length: u64, buffer: VirtAddr) -> VirtAddr {
        let end = buffer.0.saturating_add(length);
        if buffer.is_null() || end > self.bytes {
            return buffer; // no distance within the block
        }
        self.at.plus(buffer.0)
    }
}

/// As [`read`], of a string that may be one of `block`.
pub(crate) fn read_in(
    space: &AddressSpace,
    at: VirtAddr,
    pointer_bytes: u8,
    block: Option<Block>,
) -> Seen<Vec<u8>> {
    let width = usize::from(pointer_bytes);
    let parts = || {
        let lengths = space.read_uint(at, 4)?;
        let buffer = space.read_uint(at.plus(width as u64), width)?;
        Ok((lengths & 0xffff, lengths >> 16, VirtAddr(buffer)))
    };
    let (length, most, buffer) = match parts() {
        Ok(parts) => parts,
        Err(fault) => return Err(Absent::unreadable(fault)),
    };
    let buffer = block.map_or(buffer, |block| block.address(length, buffer));
    if !length.is_multiple_of(2) || length > most {
        let rule = "a string's length is even and within its maximum";
        return Err(Absent::implausible(length, rule, Some(at)));
    }
    if length != 0 && buffer.is_null() {
        return Err(Absent::implausible(
            length,
            "a string with a length has a buffer",
            Some(at),
        ));
    }
    if length != 0 && is_kernel_address(space, at) != is_kernel_address(space, buffer) {
        let rule = "a string's letters are in the same half of memory as its length";
        return Err(Absent::implausible(buffer.0, rule, Some(at)));
    }
    text(space, length, buffer).and_then(|text| match text.first() {
        Some(0) => Err(Absent::implausible(
            0,
            "a string does not begin with a NUL",
            Some(buffer),
        )),
        _ => Ok(text),
    })
}

/// As [`read`], of what the loader calls an image: it has letters.
pub(crate) fn image(space: &AddressSpace, at: VirtAddr, pointer_bytes: u8) -> Seen<Vec<u8>> {
    path(space, at, pointer_bytes).and_then(|path| {
        if path.is_empty() {
            return Err(Absent::implausible(0, "an image has a name", Some(at)));
        }
        Ok(path)
    })
}

/// As [`read`], of a name or path of a file: no letter of it is a NUL.
pub(crate) fn path(space: &AddressSpace, at: VirtAddr, pointer_bytes: u8) -> Seen<Vec<u8>> {
    read(space, at, pointer_bytes).and_then(|path| {
        if path.contains(&0) {
            let rule = "the name of a file has no NUL";
            return Err(Absent::implausible(path.len() as u64, rule, Some(at)));
        }
        Ok(path)
    })
}

/// Reads `length` bytes of UTF-16 at `buffer`; at most 64 KiB, as a `_UNICODE_STRING` holds.
pub(crate) fn text(space: &AddressSpace, length: u64, buffer: VirtAddr) -> Seen<Vec<u8>> {
    let mut raw = vec![0; (length & 0xffff) as usize];
    match space.read(buffer, &mut raw) {
        Ok(()) => Ok(to_bytes(&raw)),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// Little-endian UTF-16 as UTF-8. A surrogate without its partner, which file names may have, becomes
/// its three bytes of WTF-8, so that nothing is lost.
pub(crate) fn to_bytes(raw: &[u8]) -> Vec<u8> {
    let (pairs, _) = raw.as_chunks();
    // Nearly all of them.
    if pairs.iter().all(|[low, high]| *high == 0 && low.is_ascii()) {
        return pairs.iter().map(|[low, _]| *low).collect();
    }
    let units = raw.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let mut bytes = Vec::with_capacity(raw.len());
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(letter) => {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
            Err(lone) => {
                let unit = lone.unpaired_surrogate();
                let part = |shift: u32, mark: u16| (mark | (unit >> shift) & 0x3f) as u8;
                bytes.extend([0xed, part(6, 0x80), part(0, 0x80)]);
            }
        }
    }
    bytes
}

/// What follows the last backslash of a path.
pub(crate) fn base_name(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|&byte| byte == b'\\').next();
    name.unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{base_name, to_bytes};

    #[test]
    fn utf16_becomes_utf8_and_lone_surrogates_stay() {
        let utf16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        for text in ["", "ntdll.dll", "Prüfung", "😀"] {
            assert_eq!(to_bytes(&utf16(text)), text.as_bytes());
        }
        assert_eq!(to_bytes(&[0x00, 0xd8, b'a', 0]), [0xed, 0xa0, 0x80, b'a']);
        assert_eq!(to_bytes(&[0xff, 0xdf]), [0xed, 0xbf, 0xbf]);
    }

    #[test]
    fn the_name_is_what_follows_the_last_backslash() {
        assert_eq!(base_name(br"\Windows\System32\ntdll.dll"), b"ntdll.dll");
        assert_eq!(base_name(b"plain"), b"plain");
    }
}
