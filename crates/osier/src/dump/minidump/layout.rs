//! The bytes of a minidump, little-endian, under the names that Microsoft's `minidumpapiset.h` gives them.
//!
//! Source: that header, and `winnt.h` for the two `CONTEXT`s. Everything stands at multiples of 4, so that
//! no structure has room between its members but where a member says so.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes, Unaligned};

/// `MINIDUMP_SIGNATURE` and `MINIDUMP_VERSION`.
pub(super) const SIGNATURE: [u8; 4] = *b"MDMP";
pub(super) const VERSION: u32 = 0xa793;

/// `MINIDUMP_STREAM_TYPE`.
pub(super) const THREAD_LIST: u32 = 3;
pub(super) const MODULE_LIST: u32 = 4;
pub(super) const SYSTEM_INFO: u32 = 7;
pub(super) const MEMORY_64_LIST: u32 = 9;
pub(super) const HANDLE_DATA: u32 = 12;
pub(super) const MISC_INFO: u32 = 15;
pub(super) const MEMORY_INFO_LIST: u32 = 16;
pub(super) const THREAD_INFO_LIST: u32 = 17;
pub(super) const THREAD_NAMES: u32 = 24;

/// `MiniDumpWithFullMemory`, `…HandleData`, `…FullMemoryInfo`, `…ThreadInfo`.
pub(super) const FLAGS: u64 = 0x2 | 0x4 | 0x800 | 0x1000;

/// `MINIDUMP_HEADER`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 4],
    pub(super) version: U32,
    pub(super) number_of_streams: U32,
    pub(super) stream_directory_rva: U32,
    pub(super) check_sum: U32,
    /// Seconds since 1970.
    pub(super) time_date_stamp: U32,
    pub(super) flags: U64,
}

/// `MINIDUMP_DIRECTORY`.
#[derive(Clone, Copy, FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Directory {
    pub(super) stream_type: U32,
    pub(super) location: Location,
}

/// `MINIDUMP_LOCATION_DESCRIPTOR`.
#[derive(Clone, Copy, Default, FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Location {
    pub(super) data_size: U32,
    pub(super) rva: U32,
}

/// `MINIDUMP_SYSTEM_INFO`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct SystemInfo {
    /// `PROCESSOR_ARCHITECTURE_INTEL` 0, `…_AMD64` 9.
    pub(super) processor_architecture: U16,
    pub(super) processor_level: U16,
    pub(super) processor_revision: U16,
    pub(super) number_of_processors: u8,
    pub(super) product_type: u8,
    pub(super) major_version: U32,
    pub(super) minor_version: U32,
    pub(super) build_number: U32,
    /// `VER_PLATFORM_WIN32_NT` 2.
    pub(super) platform_id: U32,
    pub(super) csd_version_rva: U32,
    pub(super) suite_mask: U16,
    pub(super) reserved: U16,
    /// `CPU_INFORMATION`, which no kernel keeps.
    pub(super) cpu: [u8; 24],
}

/// `MINIDUMP_MISC_INFO_4`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct MiscInfo {
    pub(super) size_of_info: U32,
    /// Which of the members are there: 1 the process's id, 0x100 `build_string`.
    pub(super) flags: U32,
    pub(super) process_id: U32,
    pub(super) times: [U32; 3],
    pub(super) processor_power: [U32; 5],
    pub(super) integrity_to_time_zone_id: [U32; 4],
    pub(super) time_zone: [u8; 172],
    /// `NtBuildLab`, UTF-16.
    pub(super) build_string: [U16; 260],
    pub(super) dbg_build_string: [U16; 40],
}

/// `MINIDUMP_MEMORY_DESCRIPTOR`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct MemoryDescriptor {
    pub(super) start_of_memory_range: U64,
    pub(super) memory: Location,
}

/// `MINIDUMP_THREAD`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Thread {
    pub(super) thread_id: U32,
    pub(super) suspend_count: U32,
    pub(super) priority_class: U32,
    pub(super) priority: U32,
    pub(super) teb: U64,
    pub(super) stack: MemoryDescriptor,
    pub(super) thread_context: Location,
}

/// `MINIDUMP_THREAD_INFO`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct ThreadInfo {
    pub(super) thread_id: U32,
    /// `MINIDUMP_THREAD_INFO_NO_CONTEXT` is 0x10.
    pub(super) dump_flags: U32,
    pub(super) dump_error: U32,
    /// `STATUS_PENDING` of a thread that has not exited.
    pub(super) exit_status: U32,
    pub(super) create_time: U64,
    pub(super) exit_time: U64,
    pub(super) kernel_time: U64,
    pub(super) user_time: U64,
    pub(super) start_address: U64,
    pub(super) affinity: U64,
}

/// `MINIDUMP_THREAD_NAME`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct ThreadName {
    pub(super) thread_id: U32,
    pub(super) rva_of_thread_name: U64,
}

/// `MINIDUMP_MODULE`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Module {
    pub(super) base_of_image: U64,
    pub(super) size_of_image: U32,
    pub(super) check_sum: U32,
    pub(super) time_date_stamp: U32,
    pub(super) module_name_rva: U32,
    /// `VS_FIXEDFILEINFO`; zeros where its page is not in memory.
    pub(super) version_info: [u8; 52],
    pub(super) cv_record: Location,
    pub(super) misc_record: Location,
    pub(super) reserved: [U64; 2],
}

/// `MINIDUMP_HANDLE_DATA_STREAM`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct HandleData {
    pub(super) size_of_header: U32,
    pub(super) size_of_descriptor: U32,
    pub(super) number_of_descriptors: U32,
    pub(super) reserved: U32,
}

/// `MINIDUMP_HANDLE_DESCRIPTOR`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct HandleDescriptor {
    pub(super) handle: U64,
    pub(super) type_name_rva: U32,
    pub(super) object_name_rva: U32,
    pub(super) attributes: U32,
    pub(super) granted_access: U32,
    pub(super) handle_count: U32,
    pub(super) pointer_count: U32,
}

/// `MINIDUMP_MEMORY64_LIST`, before its descriptors.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Memory64List {
    pub(super) number_of_memory_ranges: U64,
    pub(super) base_rva: U64,
}

/// `MINIDUMP_MEMORY_DESCRIPTOR64`.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct MemoryDescriptor64 {
    pub(super) start_of_memory_range: U64,
    pub(super) data_size: U64,
}

/// `MINIDUMP_MEMORY_INFO_LIST` and `MINIDUMP_THREAD_INFO_LIST`, before their entries: the first counts in 8 bytes.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct ListHeader<N> {
    pub(super) size_of_header: U32,
    pub(super) size_of_entry: U32,
    pub(super) number_of_entries: N,
}

/// `MINIDUMP_MEMORY_INFO`.
#[derive(Clone, FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct MemoryInfo {
    pub(super) base_address: U64,
    pub(super) allocation_base: U64,
    pub(super) allocation_protect: U32,
    pub(super) alignment_1: U32,
    pub(super) region_size: U64,
    /// `MEM_COMMIT` 0x1000, `MEM_RESERVE` 0x2000.
    pub(super) state: U32,
    pub(super) protect: U32,
    pub(super) kind: U32,
    pub(super) alignment_2: U32,
}

/// `CONTEXT` of x86-64.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Context64 {
    pub(super) home: [U64; 6],
    pub(super) context_flags: U32,
    pub(super) mx_csr: U32,
    /// CS DS ES FS GS SS.
    pub(super) segments: [U16; 6],
    pub(super) e_flags: U32,
    pub(super) debug: [U64; 6],
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15.
    pub(super) general: [U64; 16],
    pub(super) rip: U64,
    pub(super) floating_point: [u8; 512],
    pub(super) vector: [u8; 26 * 16 + 8],
    pub(super) last_branch: [U64; 5],
}

/// `CONTEXT` of x86.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Context32 {
    pub(super) context_flags: U32,
    pub(super) debug: [U32; 6],
    pub(super) floating_point: [u8; 112],
    /// GS FS ES DS.
    pub(super) segments: [U32; 4],
    /// EDI ESI EBX EDX ECX EAX EBP.
    pub(super) general: [U32; 7],
    pub(super) eip: U32,
    pub(super) seg_cs: U32,
    pub(super) e_flags: U32,
    pub(super) esp: U32,
    pub(super) seg_ss: U32,
    pub(super) extended: [u8; 512],
}

/// The lengths that readers know.
const _: () = {
    assert!(size_of::<Header>() == 32);
    assert!(size_of::<SystemInfo>() == 56);
    assert!(size_of::<MiscInfo>() == 832);
    assert!(size_of::<Thread>() == 48);
    assert!(size_of::<ThreadInfo>() == 64);
    assert!(size_of::<ThreadName>() == 12);
    assert!(size_of::<Module>() == 108);
    assert!(size_of::<HandleDescriptor>() == 32);
    assert!(size_of::<MemoryInfo>() == 48);
    assert!(size_of::<Context64>() == 1232);
    assert!(size_of::<Context32>() == 716);
};
