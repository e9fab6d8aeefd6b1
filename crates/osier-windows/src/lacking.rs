//! What a profile that was made of a part of a kernel's types does not tell.
//!
//! A public PDB has the kernel's types whole; an ISF or a Rekall profile may have been cut, and a member that it lacks
//! may be the kernel's all the same. Such a profile is known by what it lacks of what every kernel that Osier reads
//! has.

use osier_profile::Profile;

use crate::wanted::WANTED;

/// Members that every kernel from XP to 11 has, and ReactOS.
const MEMBERS: &[(&str, &[&str])] = &[
    ("_CLIENT_ID", &["UniqueProcess", "UniqueThread"]),
    (
        "_EPROCESS",
        &[
            "ActiveProcessLinks",
            "CreateTime",
            "ExitTime",
            "ImageFileName",
            "InheritedFromUniqueProcessId",
            "ObjectTable",
            "Peb",
            "SectionObject",
            "Token",
            "UniqueProcessId",
            "VadRoot",
        ],
    ),
    ("_ETHREAD", &["Cid", "Tcb"]),
    ("_FILE_OBJECT", &["DeviceObject", "FileName", "Type"]),
    ("_HANDLE_TABLE", &["TableCode", "UniqueProcessId"]),
    ("_KTHREAD", &["State", "Teb", "TrapFrame"]),
    ("_NT_TIB", &["StackBase", "StackLimit"]),
    ("_OBJECT_HEADER", &["Body", "HandleCount"]),
    (
        "_PEB",
        &["ImageBaseAddress", "Ldr", "ProcessParameters", "SessionId"],
    ),
    (
        "_RTL_USER_PROCESS_PARAMETERS",
        &["CommandLine", "Environment", "ImagePathName"],
    ),
    ("_TEB", &["NtTib"]),
    ("_TOKEN", &["UserAndGroupCount", "UserAndGroups"]),
];

/// Structures that every kernel from XP to 11 has, and ReactOS, beside those above.
const STRUCTURES: &[&str] = &[
    "_CM_KEY_BODY",
    "_CM_KEY_CONTROL_BLOCK",
    "_CM_NAME_CONTROL_BLOCK",
    "_CONTEXT",
    "_CONTROL_AREA",
    "_CURDIR",
    "_DEVICE_OBJECT",
    "_DISPATCHER_HEADER",
    "_DRIVER_OBJECT",
    "_EX_FAST_REF",
    "_HANDLE_TABLE_ENTRY",
    "_KAPC_STATE",
    "_KPCR",
    "_KPRCB",
    "_KPROCESS",
    "_KPROCESSOR_STATE",
    "_KSPECIAL_REGISTERS",
    "_KTRAP_FRAME",
    "_LARGE_INTEGER",
    "_LDR_DATA_TABLE_ENTRY",
    "_LIST_ENTRY",
    "_LUID",
    "_LUID_AND_ATTRIBUTES",
    "_MMPAGING_FILE",
    "_MMPTE",
    "_MMPTE_HARDWARE",
    "_MMPTE_PROTOTYPE",
    "_MMPTE_SOFTWARE",
    "_MMPTE_SUBSECTION",
    "_MMPTE_TRANSITION",
    "_MMSECTION_FLAGS",
    "_MMVAD",
    "_MMVAD_FLAGS",
    "_MMVAD_SHORT",
    "_MM_SESSION_SPACE",
    "_OBJECT_DIRECTORY",
    "_OBJECT_DIRECTORY_ENTRY",
    "_OBJECT_HEADER_CREATOR_INFO",
    "_OBJECT_HEADER_NAME_INFO",
    "_OBJECT_NAME_INFORMATION",
    "_OBJECT_TYPE",
    "_OBJECT_TYPE_INITIALIZER",
    "_PEB_LDR_DATA",
    "_POOL_HEADER",
    "_SEGMENT",
    "_SE_AUDIT_PROCESS_CREATION_INFO",
    "_SID_AND_ATTRIBUTES",
    "_SUBSECTION",
    "_UNICODE_STRING",
];

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    osier_profile::lacking(profile, MEMBERS, &WANTED, STRUCTURES.iter().copied())
}
