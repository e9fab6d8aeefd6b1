//! What a profile that was made of a part of a kernel's types does not tell.
//!
//! A member that a profile lacks is one that the kernel does not keep, where the profile has the kernel's types
//! whole. One that was made of a cut description, of a `kernelinfo.conf`, or of the types of a few files lacks
//! members, too, that the kernel has, and nobody can tell the two apart. Such a profile is known by what it lacks of
//! what every kernel that Osier reads has.

use osier_profile::{Kind, Profile, Type};

use crate::wanted::WANTED;

/// Members that were in every kernel since v2.6.32, whatever it was configured with, and that no kernel moved.
const MEMBERS: &[(&str, &[&str])] = &[
    ("dentry", &["d_inode", "d_name", "d_parent", "d_sb"]),
    (
        "file",
        &["f_flags", "f_mapping", "f_mode", "f_pos", "private_data"],
    ),
    ("files_struct", &["count", "fdt", "next_fd"]),
    ("fs_struct", &["pwd", "root", "users"]),
    ("inode", &["i_ino", "i_mapping", "i_mode", "i_rdev", "i_sb"]),
    (
        "mm_struct",
        &[
            "arg_end",
            "arg_start",
            "brk",
            "env_end",
            "env_start",
            "map_count",
            "mm_users",
            "pgd",
            "saved_auxv",
            "start_brk",
            "start_code",
            "start_stack",
            "total_vm",
        ],
    ),
    ("signal_struct", &["live", "tty"]),
    ("super_block", &["s_dev", "s_flags", "s_type"]),
    (
        "task_struct",
        &[
            "children",
            "comm",
            "cred",
            "exit_state",
            "files",
            "flags",
            "fs",
            "group_leader",
            "mm",
            "nsproxy",
            "parent",
            "pid",
            "real_cred",
            "real_parent",
            "sibling",
            "signal",
            "tgid",
        ],
    ),
    (
        "vm_area_struct",
        &[
            "vm_end",
            "vm_file",
            "vm_mm",
            "vm_ops",
            "vm_page_prot",
            "vm_pgoff",
            "vm_private_data",
            "vm_start",
        ],
    ),
];

/// Structures that a kernel has which has the member that leads to them.
const LED_TO: &[(&str, &str, &str)] = &[
    ("cred", "group_info", "group_info"),
    ("cred", "user_ns", "user_namespace"),
    ("dentry", "d_op", "dentry_operations"),
    ("file", "f_path", "path"),
    ("files_struct", "fdt", "fdtable"),
    ("inode", "i_mapping", "address_space"),
    ("mm_struct", "mm_mt", "maple_tree"),
    ("nsproxy", "mnt_ns", "mnt_namespace"),
    ("nsproxy", "uts_ns", "uts_namespace"),
    ("pid", "numbers", "upid"),
    ("super_block", "s_type", "file_system_type"),
    ("task_struct", "cred", "cred"),
    ("task_struct", "nsproxy", "nsproxy"),
    ("task_struct", "thread_pid", "pid"),
    ("upid", "ns", "pid_namespace"),
    ("vm_area_struct", "vm_ops", "vm_operations_struct"),
];

/// Pointers to structures that a kernel has under whichever name the pointer says.
const POINTERS: &[(&str, &str)] = &[("mnt_namespace", "root")];

/// The structure that a member of this kind holds in place.
fn held(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Embedded { name } => Some(name),
        Kind::Array { of, .. } => held(of),
        _ => None,
    }
}

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    let mut lacking = Vec::new();
    let mut lacks = |what: String| {
        if !lacking.contains(&what) {
            lacking.push(what);
        }
    };
    for (structure, members) in MEMBERS {
        match profile.find_type(structure) {
            None => lacks((*structure).to_owned()),
            Some(known) => {
                let absent = members.iter().filter(|name| known.member(name).is_none());
                absent.for_each(|name| lacks(format!("{structure}.{name}")));
            }
        }
    }
    for (from, member, to) in LED_TO {
        let leads = profile.find_type(from).and_then(|from| from.member(member));
        if leads.is_some() && profile.find_type(to).is_none() {
            lacks((*to).to_owned());
        }
    }
    // What a structure holds in place is described wherever the structure is.
    let wanted = |name: &str| WANTED.types.iter().any(|names| names.contains(&name));
    for member in profile.types().iter().flat_map(Type::members) {
        if let Some(name) = held(&member.kind)
            && member.bytes > 0
            && profile.find_type(name).is_none()
            && wanted(name)
        {
            lacks(name.to_owned());
        }
    }
    for (from, member) in POINTERS {
        let leads = profile.find_type(from).and_then(|from| from.member(member));
        if let Some(Kind::Pointer { to }) = leads.map(|member| &member.kind)
            && !to.is_empty()
            && profile.find_type(to).is_none()
        {
            lacks(to.clone());
        }
    }
    lacking
}
