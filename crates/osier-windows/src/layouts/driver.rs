//! How to read drivers' objects, and the pool that they lie in.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_DRIVER_OBJECT`.
    pub(crate) struct Driver: "_DRIVER_OBJECT" {
        /// Where its image lies; null for what the kernel made itself.
        start: Option<Field<Ptr<()>>> = ["DriverStart"],
        bytes: Option<Field<UInt>> = ["DriverSize"],
        /// The loader's entry of its image.
        section: Option<Field<Ptr<()>>> = ["DriverSection"],
        name: Option<Field<Embed<()>>> = ["DriverName"],
        /// A function for each kind of request, 28 of them.
        functions: Option<Field<Embed<()>>> = ["MajorFunction"],
    }
}

layout! {
    /// Fields read from `_POOL_HEADER`, which stands before every block of a pool that is smaller than a page.
    pub(crate) struct Pool: "_POOL_HEADER" {
        /// Four letters, the last of them with its highest bit set for objects before Windows 8.
        tag: Option<Field<UInt>> = ["PoolTag"],
        /// 0 for a block that is free.
        kind: Option<Field<Bits>> = ["PoolType"],
    }
}

/// How to read drivers' objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) driver: Driver,
    pub(crate) pool: Pool,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            driver: Driver::resolve(resolver),
            pool: Pool::resolve(resolver),
        }
    }
}
