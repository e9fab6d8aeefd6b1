//! What a profile that was made of a part of a kernel's types does not tell.
//!
//! A member that a profile lacks is one that the kernel does not keep, where the profile has the kernel's types
//! whole. One that was made of a cut description, of a `kernelinfo.conf`, or of the types of a few files lacks
//! members, too, that the kernel has, and nobody can tell the two apart. Such a profile is known by what it lacks of
//! what every kernel that Osier reads has.

use osier_profile::Profile;

use crate::symbols;
use crate::wanted::WANTED;

/// Members that were in every kernel since v2.6.32, whatever it was configured with, and that no kernel moved.
const MEMBERS: &[(&str, &[&str])] = &[
    (
        "cred",
        &["egid", "euid", "fsuid", "gid", "group_info", "suid", "uid"],
    ),
    ("dentry", &["d_inode", "d_name", "d_parent", "d_sb"]),
    (
        "file",
        &["f_flags", "f_mapping", "f_mode", "f_pos", "private_data"],
    ),
    ("file_system_type", &["fs_flags", "name"]),
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
    ("mnt_namespace", &["root"]),
    ("nsproxy", &["ipc_ns", "mnt_ns", "net_ns", "uts_ns"]),
    ("path", &["dentry", "mnt"]),
    ("pid", &["level", "numbers"]),
    ("pid_namespace", &["level"]),
    ("qstr", &["len", "name"]),
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
    ("upid", &["nr", "ns"]),
    ("uts_namespace", &["name"]),
    ("vfsmount", &["mnt_root", "mnt_sb"]),
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

/// Structures that a kernel has which has the member that leads to them, though its type does not name them.
const LED_TO: &[(&str, &str, &str)] = &[
    ("inet6_dev", "addr_list", "inet6_ifaddr"),
    ("sock", "sk_socket", "socket_alloc"),
    ("vm_operations_struct", "name", "vm_special_mapping"),
];

/// Structures that a kernel has which has the symbol.
const PROVEN: &[(&str, &str)] = &[
    (symbols::modules, "module"),
    (symbols::runqueues, "rq"),
    (symbols::tcp_hashinfo, "tcp_sock"),
    (symbols::timekeeper, "timekeeper"),
    (symbols::tk_core, "timekeeper"),
    (symbols::unix_seq_ops, "unix_sock"),
];

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    let led_to = LED_TO.iter().filter_map(|(from, member, to)| {
        profile.find_type(from)?.member(member)?;
        Some(*to)
    });
    let proven = PROVEN.iter().filter_map(|(symbol, structure)| {
        profile.symbol(symbol)?;
        Some(*structure)
    });
    osier_profile::lacking(profile, MEMBERS, &WANTED, led_to.chain(proven))
}
