//! Physical and virtual addresses, kept apart by type.

use std::fmt;

/// Bytes in the smallest x86 page.
pub const PAGE_BYTES: u64 = 4096;

/// A guest-physical address, in bytes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// A guest-virtual address. Addresses of 32-bit guests are zero-extended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(pub u64);

macro_rules! address {
    ($name:ident) => {
        impl $name {
            /// The address `bytes` further on. Wraps, as a guest's arithmetic does.
            #[must_use]
            pub const fn plus(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The address `bytes` before. Wraps, as a guest's arithmetic does.
            #[must_use]
            pub const fn minus(self, bytes: u64) -> Self {
                Self(self.0.wrapping_sub(bytes))
            }

            /// Bytes from `base` to this address. Wraps when `base` lies above.
            pub const fn since(self, base: Self) -> u64 {
                self.0.wrapping_sub(base.0)
            }

            /// The start of the 4 KiB page that holds this address.
            #[must_use]
            pub const fn page(self) -> Self {
                Self(self.0 & !(PAGE_BYTES - 1))
            }

            /// Bytes from the start of the 4 KiB page.
            pub const fn in_page(self) -> u64 {
                self.0 & (PAGE_BYTES - 1)
            }

            /// True for address 0, which no kernel structure has.
            pub const fn is_null(self) -> bool {
                self.0 == 0
            }
        }

        /// Lower-case hexadecimal with `0x`, no padding.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address!(PhysAddr);
address!(VirtAddr);
