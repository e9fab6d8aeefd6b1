//! How to read processors.

use osier_profile::{Embed, Field, Kind, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_KPRCB`.
    pub(crate) struct Prcb: "_KPRCB" through [_CONTEXT _KPROCESSOR_STATE] {
        current_thread: Option<Field<Ptr<()>>> = ["CurrentThread"],
        /// Whether the processor has been stopped by another, and waits: 2 in its lower four bits.
        frozen: Option<Field<UInt>> = ["IpiFrozen"],
        /// Instruction and stack pointer as the kernel saved them when it stopped.
        ip: Option<Field<Ptr<()>>> = [
            "ProcessorState.ContextFrame.Rip",
            "ProcessorState.ContextFrame.Eip",
        ],
        sp: Option<Field<Ptr<()>>> = [
            "ProcessorState.ContextFrame.Rsp",
            "ProcessorState.ContextFrame.Esp",
        ],
        /// Which processor it is of.
        number: Option<Field<UInt>> = ["Number"],
    }
}

layout! {
    /// Fields read from `_KPCR`.
    pub(crate) struct Pcr: "_KPCR" {
        /// The block's own `_KPRCB`: of 32-bit kernels, and of 64-bit ones.
        prcb_data: Option<Field<Embed<()>>> = ["PrcbData"],
        prcb: Option<Field<Embed<()>>> = ["Prcb"],
        /// Where 32-bit kernels have the block's address in the same member.
        prcb_at: Option<Field<Ptr<()>>> = ["Prcb"],
        /// Its own address.
        own: Option<Field<Ptr<()>>> = ["Self", "SelfPcr"],
        /// The processor's table of interrupts.
        idt: Option<Field<Ptr<()>>> = ["IdtBase", "IDT"],
    }
}

layout! {
    /// The `_KPCR` with what follows it, where the kernel keeps that from drivers: ReactOS.
    pub(crate) struct WholePcr: "_KIPCR" {
        prcb: Option<Field<Embed<()>>> = ["PrcbData", "Prcb"],
    }
}

/// How to read processors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) prcb: Prcb,
    /// The place of a `_KPRCB` in its `_KPCR`, where the profile tells it.
    pub(crate) inside: Option<Field<Embed<()>>>,
    /// The pointer of a `_KPCR` to its `_KPRCB`, where there is one.
    pub(crate) pointer: Option<Field<Ptr<()>>>,
    /// A `_KPCR`'s own address.
    pub(crate) own: Option<Field<Ptr<()>>>,
    pub(crate) idt: Option<Field<Ptr<()>>>,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let prcb = Prcb::resolve(resolver);
        let pcr = Pcr::resolve(resolver);
        let whole = WholePcr::resolve(resolver);
        // 64-bit kernels hold the block where 32-bit ones have a pointer to it.
        let held = pcr.prcb.filter(|_| !points(resolver));
        Self {
            prcb,
            inside: pcr.prcb_data.or(held).or(whole.prcb),
            pointer: pcr.prcb_at.filter(|_| held.is_none()),
            own: pcr.own,
            idt: pcr.idt,
        }
    }
}

/// Whether `_KPCR.Prcb` is a pointer.
fn points(resolver: &Resolver<'_>) -> bool {
    let pcr = resolver.profile().find_type(Pcr::STRUCTURE);
    let member = pcr.and_then(|pcr| pcr.member("Prcb"));
    member.is_some_and(|member| matches!(member.kind, Kind::Pointer { .. } | Kind::Int { .. }))
}
