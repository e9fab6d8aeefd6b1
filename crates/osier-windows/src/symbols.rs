//! The kernel's variables and functions that this crate looks up: a name stands here and nowhere else.

osier_profile::kernel_names! {
    pub(crate) const ALL;
    KdDebuggerDataBlock
    KdpDataBlockEncoded
    KiBugCheckData
    KiKvaShadow
    KiProcessorBlock
    KiWaitAlways
    KiWaitNever
    MiInvalidPteMask
    MiState
    MiSystemPartition
    MmHighestUserAddress
    MmPagedPoolStart
    NtBuildLab
    NtBuildNumber
    PsActiveProcessHead
    PsIdleProcess
    PsInitialSystemProcess
    PsLoadedModuleList
    PspCidTable
}
