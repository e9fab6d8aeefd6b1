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

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    osier_profile::lacking(profile, MEMBERS, &WANTED, std::iter::empty())
}
