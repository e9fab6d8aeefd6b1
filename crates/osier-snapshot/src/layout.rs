//! Where QEMU's machines have their RAM in guest-physical memory.
//!
//! Sources: QEMU `hw/i386/pc_piix.c`, `hw/i386/pc_q35.c`, `hw/i386/microvm.c`, `hw/i386/pc.c`,
//! `hw/i386/xen/xen-hvm.c`, 2.9 to 10.0.

/// The first address past 4 GiB, where the RAM above the split goes on.
pub(crate) const FOUR_GIB: u64 = 1 << 32;

/// Where `HyperTransport` has its registers on AMD's processors: a machine whose memory would reach
/// it has the RAM above the split at 1 TiB (QEMU 7.1).
pub(crate) const AMD_HOLE: u64 = 0xfd_0000_0000;

/// How a machine of `ram` bytes divides it at 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Bytes below 4 GiB.
    pub(crate) below: u64,
    /// Whether nothing says so but the most usual machine.
    pub(crate) guessed: bool,
}

/// What is known of a machine without a look at what its devices say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kind<'a> {
    /// The machine type; types before 2.4 do not name it.
    pub(crate) machine: Option<&'a str>,
    /// Whether it has q35's host bridge.
    pub(crate) q35: bool,
    /// Whether it has ACPI's tables.
    pub(crate) acpi: bool,
}

impl Kind<'_> {
    /// How the machine divides `ram` bytes, when the option `max-ram-below-4g` was not given.
    ///
    /// i440fx: all below 3.5 GiB, else 3 GiB (types up to 1.7, and isapc: 3.5 GiB). q35: all below
    /// 2.75 GiB, else 2 GiB (types up to 1.7: 2.75 GiB). microvm: up to 3 GiB (before 5.2, which had
    /// no ACPI: 3.5 GiB). Xen: up to 3.75 GiB.
    pub(crate) fn split(self, ram: u64) -> Split {
        let name = self.machine.unwrap_or_default();
        let isa = name.starts_with("isapc");
        let old = isa || name.contains("-1.") || name.contains("-0.") || name.starts_with("rhel6");
        let microvm = name.starts_with("microvm") || name.starts_with("nitro");
        let xen = name.starts_with("xen");
        let q35 = name.contains("q35") || self.q35;
        let pc = isa || old || q35 || name == "pc" || name.starts_with("pc-");
        // What is divided, where, and where another machine that this may be would.
        let (most, split, other) = if microvm {
            (
                0xc000_0001,
                0xc000_0000,
                (!self.acpi).then_some(0xe000_0000),
            )
        } else if xen {
            (0xf000_0000, 0xf000_0000, None)
        } else {
            let (most, split) = if q35 {
                (0xb000_0000, 0x8000_0000)
            } else {
                (0xe000_0000, 0xc000_0000)
            };
            let unnamed = self.machine.is_none().then_some(most);
            (most, if old { most } else { split }, unnamed)
        };
        let below = if ram >= most { split } else { ram };
        Split {
            below,
            guessed: match other {
                Some(other) => ram.min(other) != below && ram >= most,
                None => !(pc || microvm || xen || self.machine.is_none()),
            },
        }
    }
}

/// A RAM block's stretches as `(guest-physical start, length, offset in the block)`, with all after
/// the first `split` bytes from `high` on.
pub(crate) fn stretches(ram: u64, split: u64, high: u64) -> Vec<(u64, u64, u64)> {
    let low = ram.min(split.min(FOUR_GIB));
    let mut stretches = vec![(0, low, 0)];
    let above = ram.saturating_sub(low);
    if above > 0 {
        stretches.push((high, above, low));
    }
    stretches.retain(|stretch| stretch.1 > 0);
    stretches
}
