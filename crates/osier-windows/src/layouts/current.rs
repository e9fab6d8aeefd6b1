//! How to read processors.

use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_KPRCB`.
    pub(crate) struct Prcb: "_KPRCB" {
        current_thread: Option<Field<Ptr<()>>> = ["CurrentThread"],
        /// Which processor it is of.
        number: Option<Field<UInt>> = ["Number"],
    }
}

layout! {
    /// Fields read from `_KPCR`.
    pub(crate) struct Pcr: "_KPCR" {
        /// The block's own `_KPRCB`.
        prcb: Option<Field<Embed<()>>> = ["PrcbData", "Prcb"],
        /// Its own address.
        own: Option<Field<Ptr<()>>> = ["Self", "SelfPcr"],
    }
}

/// How to read processors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) prcb: Prcb,
    pub(crate) pcr: Pcr,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            prcb: Prcb::resolve(resolver),
            pcr: Pcr::resolve(resolver),
        }
    }
}
