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

/// Structures that were in every kernel since v2.6.32, beside those above.
const STRUCTURES: &[&str] = &[
    "address_space",
    "atomic_notifier_head",
    "dentry_operations",
    "fdtable",
    "file_operations",
    "group_info",
    "hlist_head",
    "hlist_node",
    "inode_operations",
    "kobject",
    "list_head",
    "notifier_block",
    "page",
    "rb_node",
    "rb_root",
    "rq",
    "sched_entity",
    "seq_operations",
    "sighand_struct",
    "thread_info",
    "thread_struct",
    "user_namespace",
    "vm_operations_struct",
];

/// Structures that a kernel has which has the member that leads to them, whatever its type says.
const LED_TO: &[(&str, &str, &[&str])] = &[
    ("address_space", "i_pages", &["xarray"]),
    ("address_space", "page_tree", &["radix_tree_root"]),
    ("css_set", "subsys", &["cgroup_subsys_state"]),
    ("cgroup_subsys_state", "cgroup", &["cgroup"]),
    ("cgroup", "kn", &["kernfs_node"]),
    ("dentry", "d_lockref", &["lockref"]),
    ("inet6_dev", "addr_list", &["inet6_ifaddr"]),
    (
        "mm_struct",
        "mm_mt",
        &[
            "maple_tree",
            "maple_node",
            "maple_range_64",
            "maple_arange_64",
        ],
    ),
    ("kmem_cache", "cpu_slab", &["kmem_cache_cpu"]),
    ("module", "core_layout", &["module_layout"]),
    ("module", "kallsyms", &["mod_kallsyms"]),
    ("module", "mem", &["module_memory"]),
    (
        "netns_nf",
        "hooks_ipv4",
        &["nf_hook_entries", "nf_hook_entry"],
    ),
    ("nsproxy", "cgroup_ns", &["cgroup_namespace"]),
    ("nsproxy", "ipc_ns", &["ipc_namespace"]),
    ("nsproxy", "net_ns", &["net"]),
    ("nsproxy", "time_ns", &["time_namespace"]),
    ("pid_namespace", "idr", &["idr"]),
    ("pid_namespace", "ns", &["ns_common"]),
    ("request_sock", "rsk_ops", &["request_sock_ops"]),
    ("rhashtable", "tbl", &["bucket_table"]),
    ("signal_struct", "prev_cputime", &["prev_cputime"]),
    (
        "sock",
        "sk_socket",
        &["socket_alloc", "socket", "proto", "sock_common"],
    ),
    ("task_struct", "cgroups", &["css_set"]),
    ("task_struct", "seccomp", &["seccomp"]),
    ("thread_struct", "fpu", &["fpu"]),
    ("tty_port", "client_ops", &["tty_port_client_operations"]),
    ("vm_operations_struct", "name", &["vm_special_mapping"]),
    ("xarray", "xa_head", &["xa_node"]),
];

/// Structures that a kernel has which has the symbol.
const PROVEN: &[(&str, &[&str])] = &[
    (symbols::elf_format, &["linux_binfmt"]),
    (symbols::ftrace_ops_list, &["ftrace_ops"]),
    (symbols::init_net, &["net", "net_device", "sock"]),
    (symbols::kprobe_table, &["kprobe"]),
    (
        symbols::mod_tree,
        &["latch_tree_node", "latch_tree_root", "mod_tree_root"],
    ),
    (symbols::module_kset, &["kset", "module_kobject"]),
    (symbols::modules, &["module"]),
    (symbols::nl_table, &["netlink_sock", "netlink_table"]),
    (symbols::packet_seq_ops, &["packet_sock"]),
    (symbols::pcpu_hot, &["pcpu_hot"]),
    (
        symbols::prb,
        &[
            "prb_data_blk_lpos",
            "prb_data_ring",
            "prb_desc",
            "prb_desc_ring",
            "printk_info",
            "printk_ringbuffer",
        ],
    ),
    (symbols::proc_root_operations, &["proc_inode"]),
    (symbols::raw_v4_hashinfo, &["raw_hashinfo", "raw_sock"]),
    (symbols::task_struct_cachep, &["kmem_cache"]),
    (
        symbols::tcp6_seq_ops,
        &["inet6_dev", "inet6_ifaddr", "ipv6_pinfo"],
    ),
    (
        symbols::tcp_hashinfo,
        &[
            "in_device",
            "in_ifaddr",
            "inet_connection_sock",
            "inet_ehash_bucket",
            "inet_hashinfo",
            "inet_listen_hashbucket",
            "inet_request_sock",
            "inet_sock",
            "inet_timewait_sock",
            "request_sock",
            "tcp_sock",
        ],
    ),
    (symbols::timekeeper, &["timekeeper"]),
    (symbols::tk_core, &["timekeeper"]),
    (
        symbols::tty_drivers,
        &["tty_driver", "tty_operations", "tty_port", "tty_struct"],
    ),
    (symbols::tty_ldiscs, &["tty_ldisc", "tty_ldisc_ops"]),
    (symbols::udp_table, &["udp_hslot", "udp_sock", "udp_table"]),
    (symbols::unix_seq_ops, &["unix_address", "unix_sock"]),
    (symbols::vdso_image_32, &["vdso_image"]),
    (symbols::vdso_image_64, &["vdso_image"]),
];

/// What every kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`. Empty of a profile that
/// was made of all of a kernel's types.
pub fn lacking(profile: &Profile) -> Vec<String> {
    let led_to = LED_TO.iter().filter_map(|(from, member, to)| {
        profile.find_type(from)?.member(member)?;
        Some(*to)
    });
    let proven = PROVEN.iter().filter_map(|(symbol, structures)| {
        profile.symbol(symbol)?;
        Some(*structures)
    });
    // Since v3.3 what is mounted where stands in a structure of its own.
    let vfsmount = profile.find_type("vfsmount");
    let moved = vfsmount.filter(|mount| mount.member("mnt_parent").is_none());
    let structures = led_to.chain(proven).flatten().chain(STRUCTURES).copied();
    let structures = structures.chain(moved.map(|_| "mount"));
    osier_profile::lacking(profile, MEMBERS, &WANTED, structures)
}
