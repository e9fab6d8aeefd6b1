//! The kernel facts that the walkers read; a profile must hold these.

use osier_profile::{Wanted, names};

/// What the Windows provider wants of a profile. A kernel has some of it: shapes changed over time.
pub static WANTED: Wanted = Wanted {
    types: names![
        _CLIENT_ID _CONTEXT _CONTROL_AREA _CURDIR _DEVICE_OBJECT _DISPATCHER_HEADER _EPROCESS _ETHREAD
        _EWOW64PROCESS _EX_FAST_REF _FILE_OBJECT _HANDLE_TABLE _HANDLE_TABLE_ENTRY _KAPC_STATE
        _KDDEBUGGER_DATA64 _KGDTENTRY _KIDTENTRY _KIDTENTRY64 _KIPCR _KLDR_DATA_TABLE_ENTRY _KPCR _KPRCB
        _KPROCESS _KPROCESSOR_STATE _KSPECIAL_REGISTERS _KTHREAD _LARGE_INTEGER
        _LDR_DATA_TABLE_ENTRY _LIST_ENTRY _MEMORY_AREA _MI_HARDWARE_STATE _MI_PARTITION _MI_SYSTEM_INFORMATION
        _MI_VISIBLE_PARTITION _MMADDRESS_NODE _MMPAGING_FILE _MMPTE _MMPTE_HARDWARE _MMPTE_PROTOTYPE
        _MMPTE_SOFTWARE _MMPTE_SUBSECTION _MMPTE_TRANSITION _MMSECTION_FLAGS _MMVAD _MMVAD_FLAGS
        _MMVAD_LONG _MMVAD_SHORT _MM_AVL_NODE _MM_AVL_TABLE _MM_SECTION_SEGMENT _MM_SESSION_SPACE _MSUBSECTION _NT_TIB
        _OBJECT_HEADER _OBJECT_HEADER_NAME_INFO _OBJECT_NAME_INFORMATION _PEB _PEB32 _PEB_LDR_DATA
        _PSP_SESSION_SPACE _RTL_AVL_TREE _RTL_BALANCED_NODE _RTL_USER_PROCESS_PARAMETERS _SEGMENT
        _SE_AUDIT_PROCESS_CREATION_INFO _SUBSECTION _TEB _TEB32 _UNICODE_STRING
    ],
    symbols: names![
        CmNtCSDVersion KdDebuggerDataBlock KdVersionBlock KdpDataBlockEncoded KeActiveProcessors
        KeNumberProcessors KiBugCheckData KiDivideErrorFault KiDivideErrorFaultShadow KiInitialPCR KiKvaShadow
        KiProcessorBlock KiSystemCall64 KiSystemCall64Shadow KiWaitAlways KiWaitNever
        MiInvalidPteMask MiState MiSystemPartition MmHighestUserAddress MmPagedPoolStart MmPteBase
        MmSubsectionBase MmSystemRangeStart MmUserProbeAddress NtBuildLab NtBuildLabEx NtBuildNumber
        ObHeaderCookie ObTypeIndexTable PsActiveProcessHead PsIdleProcess PsInitialSystemProcess
        PsLoadedModuleList PsNtosImageBase PspCidTable
    ],
    constants: &[],
};
