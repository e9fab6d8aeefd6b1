//! Where a thread's registers are: how to read `thread_struct` and what it leads to, once a kernel.

use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `thread_struct`.
    pub(crate) struct Thread: "thread_struct" through [fpu] {
        /// The top of the kernel stack.
        sp0: Option<Field<UInt>>,
        /// Base of FS. Until v4.13 it was called as the selector is.
        fsbase: Option<Field<UInt>> = ["fsbase", "fs"],
        /// Base of GS; on 32 bits `gs` is the selector.
        gsbase: Option<Field<UInt>> = ["gsbase", "gs"],
        /// The selector in FS.
        fsindex: Option<Field<UInt>>,
        /// The selector in GS.
        gsindex: Option<Field<UInt>>,
        /// The selector in DS.
        ds: Option<Field<UInt>>,
        /// The selector in ES.
        es: Option<Field<UInt>>,
        /// Where the floating-point registers are. Linux commit 87d0e5be0fac ("x86/fpu: Provide struct fpstate"),
        /// v5.16.
        fpstate: Option<Field<Ptr<()>>> = ["fpu.fpstate"],
        /// The same before: in place, and until v4.1 a pointer.
        fpu_state: Option<Field<Embed<()>>> = ["fpu.state"],
    }
}

layout! {
    /// Fields read from `struct fpstate`.
    pub(crate) struct FpState: "fpstate" {
        /// The registers, as `FXSAVE` or `XSAVE` writes them.
        regs: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct fpu`, which lies behind the task since v6.16.
    pub(crate) struct Fpu: "fpu" {
        /// Where the registers are.
        fpstate: Option<Field<Ptr<()>>>,
    }
}

/// How to read registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) thread: Thread,
    pub(crate) state: FpState,
    pub(crate) fpu: Fpu,
}

impl Registers {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            thread: Thread::resolve(resolver),
            state: FpState::resolve(resolver),
            fpu: Fpu::resolve(resolver),
        }
    }
}
