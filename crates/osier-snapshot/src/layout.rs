//! Where a PC's RAM block lies in guest-physical memory.

/// The first address past 4 GiB, where the RAM above the split goes on.
pub(crate) const FOUR_GIB: u64 = 1 << 32;

/// How many bytes of `ram` bytes lie below 4 GiB on QEMU's machine of type `machine`.
///
/// i440fx: all below 3.5 GiB, else 3 GiB (types up to 1.7: 3.5 GiB). q35: all below 2.75 GiB, else
/// 2 GiB. (`hw/i386/pc_piix.c` and `hw/i386/pc_q35.c`, QEMU 2.9 and 7.2.) The option
/// `max-ram-below-4g` can change it and is not in the file. `None`: an i440fx.
pub(crate) fn below_4g(machine: Option<&str>, ram: u64) -> u64 {
    let machine = machine.unwrap_or_default();
    let old = ["-1.", "-0."]
        .iter()
        .any(|version| machine.contains(version))
        || machine.starts_with("isapc");
    let (most, split) = if machine.contains("q35") {
        (0xb000_0000, 0x8000_0000)
    } else {
        (0xe000_0000, 0xc000_0000)
    };
    match (ram >= most, old) {
        (false, _) => ram,
        (true, true) => most,
        (true, false) => split,
    }
}

/// A RAM block's stretches as `(guest-physical start, length, offset in the block)`.
pub(crate) fn stretches(ram: u64, split: u64) -> Vec<(u64, u64, u64)> {
    let low = ram.min(split.min(FOUR_GIB));
    let mut stretches = vec![(0, low, 0)];
    let high = ram.saturating_sub(low);
    if high > 0 {
        stretches.push((FOUR_GIB, high, low));
    }
    stretches.retain(|stretch| stretch.1 > 0);
    stretches
}
