//! XBZRLE: a page as the difference to what was sent of it before.
//!
//! A record holds `01`, a big-endian `u16` length, and pairs of a run of bytes that stay and a run
//! of bytes that are new: the first's length, the second's length, the new bytes. A length takes one
//! or two bytes, seven bits each, the lower first. Bytes after the last pair stay.
//!
//! Source: QEMU `migration/xbzrle.c` (`xbzrle_decode_buffer`) and `migration/ram.c`
//! (`load_xbzrle`), 2.9 to 10.0.

use super::pages::PAGE;
use crate::cursor::Cursor;
use crate::error::Malformed;

/// Bytes of the header before the pairs: the flag and the length.
pub(super) const HEADER: usize = 3;

/// One delta of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    /// The file offset of its header.
    pub(crate) data: u64,
    /// The entry of the page that it changes, encoded: often another delta.
    pub(crate) base: u64,
}

/// Passes one delta; returns the file offset of its header.
pub(super) fn take(at: &mut Cursor<'_>) -> Result<u64, Malformed> {
    let here = at.at() as u64;
    if at.u8("an XBZRLE header")? != 1 {
        return Err(Malformed::new(here, "the XBZRLE flag 1"));
    }
    let len = at.be16("an XBZRLE length")?;
    if u64::from(len) > PAGE {
        return Err(Malformed::new(here, "an XBZRLE page of at most 4096 bytes"));
    }
    at.pass(usize::from(len), "an XBZRLE page")?;
    Ok(here)
}

/// Applies the delta whose header starts `data` to `page`; `None` when it leaves the page or its
/// own bytes.
pub(super) fn apply(data: &[u8], page: &mut [u8; PAGE as usize]) -> Option<()> {
    let len = usize::from(u16::from_be_bytes(*data.get(1..)?.first_chunk()?));
    let mut rest = data.get(HEADER..HEADER.checked_add(len)?)?;
    let mut at = 0_usize;
    while !rest.is_empty() {
        let stays = run(&mut rest)?;
        let new = run(&mut rest)?;
        at = at.checked_add(stays)?;
        let (bytes, after) = rest.split_at_checked(new)?;
        page.get_mut(at..at.checked_add(new)?)?
            .copy_from_slice(bytes);
        at = at.checked_add(new)?;
        rest = after;
    }
    Some(())
}

/// Takes a run's length.
fn run(rest: &mut &[u8]) -> Option<usize> {
    let (low, after) = rest.split_first()?;
    *rest = after;
    if low & 0x80 == 0 {
        return Some(usize::from(*low));
    }
    let (high, after) = rest.split_first()?;
    *rest = after;
    (high & 0x80 == 0).then(|| usize::from(low & 0x7f) | usize::from(*high) << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(pairs: &[u8]) -> Option<[u8; PAGE as usize]> {
        let mut data = vec![1];
        data.extend((pairs.len() as u16).to_be_bytes());
        data.extend(pairs);
        let mut page = [0xaa; PAGE as usize];
        apply(&data, &mut page).map(|()| page)
    }

    #[test]
    fn runs_of_one_and_two_bytes() {
        let page = applied(&[0x00, 0x02, 1, 2, 0x80, 0x02, 0x01, 3]).unwrap();
        assert_eq!(page[..3], [1, 2, 0xaa]);
        assert_eq!(page[257..260], [0xaa, 3, 0xaa]);
        assert!(applied(&[]).unwrap().iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn what_leaves_the_page_or_the_record_is_refused() {
        assert!(applied(&[0xff, 0x1f, 0x01, 7]).is_some()); // the page's last byte
        for bad in [
            &[0x80, 0x20, 0x01, 7][..], // one past it
            &[0x00, 0x02, 1],           // short of new bytes
            &[0x00],
            &[0x80],
            &[0x80, 0x80, 0x01, 1],
        ] {
            assert!(applied(bad).is_none(), "{bad:?}");
        }
    }
}
