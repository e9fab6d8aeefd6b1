//! The kernel's variables and functions that this crate looks up: a name stands here and nowhere else.

osier_profile::kernel_names! {
    pub(crate) const ALL;
    ExpFreeListCount
    KdDebuggerDataBlock
    KdpDataBlockEncoded
    KeServiceDescriptorTable
    KeServiceDescriptorTableShadow
    KiBugCheckData
    KiKvaShadow
    KiProcessorBlock
    KiServiceLimit
    KiServiceTable
    KiWaitAlways
    KiWaitNever
    MiInvalidPteMask
    MiState
    MiSystemPartition
    MmHighestUserAddress
    MmPagedPoolStart
    NtBuildLab
    NtBuildNumber
    ObHeaderCookie
    ObTypeIndexTable
    ObpRootDirectoryObject
    PsActiveProcessHead
    PsIdleProcess
    PsInitialSystemProcess
    PsLoadedModuleList
    PspCidTable
}
