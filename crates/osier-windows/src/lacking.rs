//! What a profile that was made of a part of a kernel's types does not tell.
//!
//! A public PDB has the kernel's types whole; an ISF or a Rekall profile may have been cut, and a member that it lacks
//! may be the kernel's all the same. Such a profile is known by what it lacks of what every kernel that Osier reads
//! has.

use osier_profile::Profile;

/// Members that every kernel from XP to 11 has, and ReactOS.
const MEMBERS: &[(&str, &[&str])] = &[
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
    ("_OBJECT_HEADER", &["Body", "HandleCount"]),
    (
        "_PEB",
        &["ImageBaseAddress", "Ldr", "ProcessParameters", "SessionId"],
    ),
    ("_TOKEN", &["UserAndGroupCount", "UserAndGroups"]),
];

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    let mut lacking = Vec::new();
    for (structure, members) in MEMBERS {
        match profile.find_type(structure) {
            None => lacking.push((*structure).to_owned()),
            Some(known) => {
                let absent = members.iter().filter(|name| known.member(name).is_none());
                lacking.extend(absent.map(|name| format!("{structure}.{name}")));
            }
        }
    }
    lacking
}
