//! KDBG, the block that kernel debuggers find the kernel's lists by: `KDDEBUGGER_DATA64`, plain or
//! encoded.
//!
//! Source: `wdbgexts.h` of the Windows SDK; the encoding is that of `KdCopyDataBlock`, as the
//! Volatility project described it.

use std::ops::ControlFlow;

use memchr::memmem;
use osier_memory::{AddressSpace, Fault, VirtAddr};

use super::pointers::Pointers;

use crate::symbols;

/// `OwnerTag`, at byte 16 of the block.
const TAG: &[u8; 4] = b"KDBG";
const TAG_AT: u64 = 0x10;
const KERN_BASE: u64 = 0x18;
const LOADED_MODULES: u64 = 0x48;
const ACTIVE_PROCESSES: u64 = 0x50;

/// The pointers of a plain KDBG inside the image at `base`.
pub(super) fn find(space: &AddressSpace, base: VirtAddr, size: u64) -> Option<Pointers> {
    let mut found = None;
    let within = base..base.plus(size);
    let _ = space.sweep(within, TAG.len().saturating_sub(1), &mut |at, bytes| {
        for hit in memmem::find_iter(bytes, TAG) {
            let block = at.plus(hit as u64).minus(TAG_AT);
            let word = |offset: u64| space.read_uint(block.plus(offset), 8).ok();
            if let Some(pointers) = read(space, base, block, &word) {
                found = Some(pointers);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    found
}

fn read(
    space: &AddressSpace,
    base: VirtAddr,
    block: VirtAddr,
    word: &dyn Fn(u64) -> Option<u64>,
) -> Option<Pointers> {
    let address = |offset| {
        let raw = word(offset)?;
        Some(space.mode().canonicalise(VirtAddr(raw)))
    };
    (address(KERN_BASE)? == base).then_some(Pointers {
        loaded_modules: address(LOADED_MODULES)?,
        active_processes: address(ACTIVE_PROCESSES)?,
        debugger_data: Some(block),
    })
}

/// What the kernel's KDBG says, and whether it was encoded.
pub(crate) struct Decoded {
    pub(crate) pointers: Pointers,
    pub(crate) encoded: bool,
}

/// Reads the KDBG at `block` of the kernel at `base`; `symbol` gives the kernel's variables.
/// `None` when it does not call itself KDBG of this kernel, plain or decoded.
pub(crate) fn decode(
    space: &AddressSpace,
    base: VirtAddr,
    block: VirtAddr,
    symbol: &dyn Fn(&str) -> Option<VirtAddr>,
) -> Result<Option<Decoded>, Fault> {
    let mut tag = [0; 4];
    space.read(block.plus(TAG_AT), &mut tag)?;
    let plain = |offset: u64| space.read_uint(block.plus(offset), 8).ok();
    if &tag == TAG {
        let pointers = read(space, base, block, &plain);
        return Ok(pointers.map(|pointers| Decoded {
            pointers,
            encoded: false,
        }));
    }
    let (Some(never), Some(always), Some(mark)) = (
        symbol(symbols::KiWaitNever),
        symbol(symbols::KiWaitAlways),
        symbol(symbols::KdpDataBlockEncoded),
    ) else {
        return Ok(None);
    };
    let never = space.read_uint(never, 8)?;
    let always = space.read_uint(always, 8)?;
    let word = |offset: u64| plain(offset).map(|raw| unscramble(raw, never, always, mark.0));
    let tag_word = word(TAG_AT).map(u64::to_le_bytes);
    if !tag_word.is_some_and(|word| word.starts_with(TAG)) {
        return Ok(None);
    }
    let pointers = read(space, base, block, &word);
    Ok(pointers.map(|pointers| Decoded {
        pointers,
        encoded: true,
    }))
}

/// One word of an encoded block.
const fn unscramble(raw: u64, never: u64, always: u64, mark: u64) -> u64 {
    let turned = (raw ^ never).rotate_left((never & 0xff) as u32);
    (turned ^ mark).swap_bytes() ^ always
}

#[cfg(test)]
mod tests {
    use super::unscramble;

    #[test]
    fn a_word_is_unscrambled_as_it_was_scrambled() {
        let (never, always, mark) = (
            0x1d0_5a2b_3c4d_5e6f,
            0x8877_6655_4433_2211,
            0xffff_f800_1234_5678,
        );
        for plain in [0_u64, 0x4742_444b, 0xffff_f800_0260_0000] {
            let scrambled =
                ((plain ^ always).swap_bytes() ^ mark).rotate_right((never & 63) as u32) ^ never;
            assert_eq!(unscramble(scrambled, never, always, mark), plain);
        }
    }
}
