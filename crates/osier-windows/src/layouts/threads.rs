//! How to read threads.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

layout! {
    /// Fields read from `_ETHREAD`, and from the `_KTHREAD` it begins with.
    pub(crate) struct Fields: "_ETHREAD" through [_CLIENT_ID _KAPC_STATE _KTHREAD _LARGE_INTEGER] {
        /// The link in the process's list.
        thread_list_entry: Option<Field<Embed<()>>> = ["ThreadListEntry", "Tcb.ThreadListEntry"],
        unique_process: Option<Field<Ptr<()>>> = ["Cid.UniqueProcess"],
        unique_thread: Option<Field<Ptr<()>>> = ["Cid.UniqueThread"],
        /// The process that owns it. Windows 7 and later keep it in the `_KTHREAD`, XP and before in
        /// the `_ETHREAD`; in between only the process it is attached to can be read.
        process: Option<Field<Ptr<()>>> = [
            "Tcb.Process",
            "ThreadsProcess",
            "Tcb.ApcState.Process",
        ],
        /// The same where the kernel says which owns it.
        owner: Option<Field<Ptr<()>>> = ["Tcb.Process", "ThreadsProcess"],
        state: Option<Field<UInt>> = ["Tcb.State"],
        teb: Option<Field<Ptr<()>>> = ["Tcb.Teb"],
        /// FILETIME; XP counts it in eighths, from the fourth bit on.
        create_time: Option<Field<UInt>> = ["CreateTime.QuadPart", "CreateTime"],
        /// What XP has in the bits below.
        nested_faults: Option<Field<Bits>> = ["NestedFaultCount"],
        /// The function that it was made to run.
        start: Option<Field<Ptr<()>>> = ["Win32StartAddress"],
        /// A `_UNICODE_STRING`; Windows 10 of August 2016 on.
        thread_name: Option<Field<Ptr<()>>> = ["ThreadName"],
    }
}

layout! {
    /// Fields read from `_TEB`, the thread's block in user memory.
    pub(crate) struct Teb: "_TEB" through [_NT_TIB] {
        /// One past the stack's highest byte.
        stack_base: Option<Field<Ptr<()>>> = ["NtTib.StackBase"],
        /// Of a WoW64 thread: its `_TEB32`.
        exception_list: Option<Field<Ptr<()>>> = ["NtTib.ExceptionList"],
        /// The process's block.
        peb: Option<Field<Ptr<()>>> = ["ProcessEnvironmentBlock"],
        /// What the thread keeps for itself; the second of a WoW64 thread leads to its 32-bit registers.
        tls_slots: Option<Field<Embed<()>>> = ["TlsSlots"],
        /// Bytes from here to the `_TEB32`; Windows 10 and later.
        wow_teb_offset: Option<Field<SInt>> = ["WowTebOffset"],
    }
}

/// How to read threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) fields: Fields,
    pub(crate) teb: Teb,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            fields: Fields::resolve(resolver),
            teb: Teb::resolve(resolver),
        }
    }
}
