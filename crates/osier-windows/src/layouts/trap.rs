//! How to read what the processor's registers were when a thread entered the kernel.

use osier_profile::{Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_KTRAP_FRAME`, of either width.
    pub(crate) struct Frame: "_KTRAP_FRAME" {
        ax: Option<Field<UInt>> = ["Rax", "Eax"],
        cx: Option<Field<UInt>> = ["Rcx", "Ecx"],
        dx: Option<Field<UInt>> = ["Rdx", "Edx"],
        bx: Option<Field<UInt>> = ["Rbx", "Ebx"],
        bp: Option<Field<UInt>> = ["Rbp", "Ebp"],
        si: Option<Field<UInt>> = ["Rsi", "Esi"],
        di: Option<Field<UInt>> = ["Rdi", "Edi"],
        r8: Option<Field<UInt>> = ["R8"],
        r9: Option<Field<UInt>> = ["R9"],
        r10: Option<Field<UInt>> = ["R10"],
        r11: Option<Field<UInt>> = ["R11"],
        /// What the processor itself pushes.
        ip: Option<Field<UInt>> = ["Rip", "Eip"],
        cs: Option<Field<UInt>> = ["SegCs"],
        flags: Option<Field<UInt>> = ["EFlags"],
        sp: Option<Field<UInt>> = ["Rsp", "HardwareEsp"],
        ss: Option<Field<UInt>> = ["SegSs", "HardwareSegSs"],
        ds: Option<Field<UInt>> = ["SegDs"],
        es: Option<Field<UInt>> = ["SegEs"],
        fs: Option<Field<UInt>> = ["SegFs"],
        gs: Option<Field<UInt>> = ["SegGs"],
        /// Of 64-bit kernels: 0 of an interrupt, 1 of an exception, 2 of a system call.
        active: Option<Field<UInt>> = ["ExceptionActive"],
        /// Of 64-bit kernels: the frame before it, of a thread that entered the kernel from the kernel.
        before: Option<Field<Ptr<()>>> = ["TrapFrame"],
    }
}

layout! {
    /// Fields read from `_KTHREAD`, the kernel's part of a thread.
    pub(crate) struct Stack: "_KTHREAD" {
        /// One past the highest byte that frames are put at.
        initial: Option<Field<Ptr<()>>> = ["InitialStack"],
        /// Its lowest byte.
        limit: Option<Field<Ptr<()>>> = ["StackLimit"],
        /// The frame of the last entry that noted it.
        frame: Option<Field<Ptr<()>>> = ["TrapFrame"],
        /// 0 to 31.
        priority: Option<Field<UInt>> = ["Priority"],
        /// On 32-bit kernels: the tables of system calls that it goes by.
        services: Option<Field<Ptr<()>>> = ["ServiceTable"],
        suspended: Option<Field<UInt>> = ["SuspendCount"],
    }
}

/// How to read frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) frame: Frame,
    pub(crate) stack: Stack,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            frame: Frame::resolve(resolver),
            stack: Stack::resolve(resolver),
        }
    }
}
