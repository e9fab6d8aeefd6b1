//! How to read processes.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

layout! {
    /// Fields read from `_EPROCESS`.
    pub(crate) struct Fields: "_EPROCESS" through [_DISPATCHER_HEADER _KPROCESS _LARGE_INTEGER _MM_AVL_TABLE _RTL_AVL_TREE _SE_AUDIT_PROCESS_CREATION_INFO] {
        /// The link in the list of processes.
        active_process_links: Field<Embed<()>> = ["ActiveProcessLinks"],
        /// The process's id, a handle.
        unique_process_id: Field<Ptr<()>> = ["UniqueProcessId"],
        /// The table root; an array of two on XP.
        directory_table_base: Field<Embed<()>> = ["Pcb.DirectoryTableBase", "DirectoryTableBase"],
        /// The name, cut.
        image_file_name: Field<Embed<()>> = ["ImageFileName"],
        /// Its creator's id.
        inherited_from: Option<Field<Ptr<()>>> = ["InheritedFromUniqueProcessId"],
        /// FILETIME.
        create_time: Option<Field<UInt>> = ["CreateTime.QuadPart", "CreateTime"],
        /// FILETIME; 0 while it runs.
        exit_time: Option<Field<UInt>> = ["ExitTime.QuadPart", "ExitTime"],
        /// The process environment block, in user memory.
        peb: Option<Field<Ptr<()>>> = ["Peb"],
        /// Of a WoW64 process: its 32-bit PEB, or since Windows 10 an `_EWOW64PROCESS`.
        wow64: Option<Field<Ptr<()>>> = ["WoW64Process", "Wow64Process"],
        /// Its session; null for the System process and the session manager.
        session: Option<Field<Ptr<()>>> = ["Session"],
        /// Windows 2000 keeps the number itself.
        session_id: Option<Field<UInt>> = ["SessionId"],
        /// The whole name of the image: an `_OBJECT_NAME_INFORMATION`.
        image_name: Option<Field<Ptr<()>>> = ["SeAuditProcessCreationInfo.ImageFileName"],
        /// Of a process without image or PEB, Windows 10 and later.
        minimal: Option<Field<Bits>> = ["Minimal"],
        /// The subsystem's data of a pico process.
        pico_context: Option<Field<Ptr<()>>> = ["PicoContext"],
        /// Its table of handles; null once it has exited.
        object_table: Option<Field<Ptr<()>>> = ["ObjectTable"],
        /// Whom it acts for: an `_EX_FAST_REF`, whose low bits count.
        token: Option<Field<Embed<()>>> = ["Token"],
        /// The list of threads.
        thread_list_head: Option<Field<Embed<()>>> = ["ThreadListHead", "Pcb.ThreadListHead"],
        /// Threads that have not ended; the last one to end writes `ExitTime` after it took itself off.
        active_threads: Option<Field<UInt>> = ["ActiveThreads"],
        /// Whether the page of the table root has been taken from a process that waited long.
        outswapped: Option<Field<Bits>> = ["Outswapped", "OutSwapped", "ProcessOutswapped"],
        /// The section of its image; null for the kernel's own.
        section: Option<Field<Ptr<()>>> = ["SectionObject"],
        /// Where the kernel mapped that image.
        section_base: Option<Field<Ptr<()>>> = ["SectionBaseAddress"],
        /// What waits for its end sees: 1 since it has exited.
        signal_state: Option<Field<SInt>> = ["Pcb.Header.SignalState"],
        /// The tree of mappings.
        vad_root: Option<Field<Embed<()>>> = ["VadRoot"],
    }
}

layout! {
    /// Fields read from `_MM_SESSION_SPACE`.
    pub(crate) struct SessionSpace: "_MM_SESSION_SPACE" {
        session_id: Option<Field<UInt>> = ["SessionId"],
    }
}

layout! {
    /// Fields read from `_PSP_SESSION_SPACE`, which took its place in Windows 11.
    pub(crate) struct PspSessionSpace: "_PSP_SESSION_SPACE" {
        session_id: Option<Field<UInt>> = ["SessionId"],
    }
}

layout! {
    /// Fields read from `_EWOW64PROCESS`.
    pub(crate) struct Wow64: "_EWOW64PROCESS" {
        /// The 32-bit PEB.
        peb: Option<Field<Ptr<()>>> = ["Peb"],
    }
}

/// How to read processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) fields: Fields,
    pub(crate) session: SessionSpace,
    pub(crate) psp_session: PspSessionSpace,
    pub(crate) wow64: Wow64,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            fields: Fields::resolve(resolver),
            session: SessionSpace::resolve(resolver),
            psp_session: PspSessionSpace::resolve(resolver),
            wow64: Wow64::resolve(resolver),
        }
    }
}
