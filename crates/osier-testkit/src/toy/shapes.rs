//! The toy kernels' structures: made-up layouts under the kernel's names.

use std::collections::BTreeMap;

use osier_profile::{Kind, Member, ProfileBuilder, Type, TypeKind};

use super::Era;

/// What a member holds.
#[derive(Clone, Copy)]
enum Hold {
    /// An integer of so many bytes; negative for a signed one.
    Int(i64),
    /// An integer of a pointer's width.
    Long,
    /// A pointer to a structure.
    Ptr(&'static str),
    /// A structure in place.
    In(&'static str),
    /// So many bytes, characters or padding.
    Bytes(u64),
    /// An array of pointers or of words of a pointer's width.
    Words(u64),
    /// An array of structures.
    Many(&'static str, u64),
}

use Hold::{Bytes, In, Int, Long, Many, Ptr, Words};

type Rows = &'static [(&'static str, &'static [(&'static str, Hold)])];

/// Structures of both eras; those that others hold come first.
const COMMON: Rows = &[
    (
        "list_head",
        &[("next", Ptr("list_head")), ("prev", Ptr("list_head"))],
    ),
    ("hlist_head", &[("first", Ptr("hlist_node"))]),
    (
        "hlist_node",
        &[("next", Ptr("hlist_node")), ("pprev", Ptr(""))],
    ),
    (
        "hlist_bl_node",
        &[("next", Ptr("hlist_bl_node")), ("pprev", Ptr(""))],
    ),
    (
        "rb_node",
        &[
            ("__rb_parent_color", Long),
            ("rb_right", Ptr("rb_node")),
            ("rb_left", Ptr("rb_node")),
        ],
    ),
    ("rb_root", &[("rb_node", Ptr("rb_node"))]),
    ("kuid_t", &[("val", Int(4))]),
    ("kgid_t", &[("val", Int(4))]),
    (
        "cred",
        &[
            ("usage", Int(4)),
            ("uid", In("kuid_t")),
            ("gid", In("kgid_t")),
        ],
    ),
    (
        "path",
        &[("mnt", Ptr("vfsmount")), ("dentry", Ptr("dentry"))],
    ),
    (
        "qstr",
        &[("hash", Int(4)), ("len", Int(4)), ("name", Ptr(""))],
    ),
    (
        "dentry",
        &[
            ("d_flags", Int(4)),
            ("d_hash", In("hlist_bl_node")),
            ("d_parent", Ptr("dentry")),
            ("d_name", In("qstr")),
            ("d_inode", Ptr("inode")),
            ("d_iname", Bytes(32)),
            ("d_op", Ptr("dentry_operations")),
            ("d_sb", Ptr("super_block")),
        ],
    ),
    (
        "vfsmount",
        &[
            ("mnt_root", Ptr("dentry")),
            ("mnt_sb", Ptr("super_block")),
            ("mnt_flags", Int(4)),
        ],
    ),
    (
        "mount",
        &[
            ("mnt_hash", In("hlist_node")),
            ("mnt_parent", Ptr("mount")),
            ("mnt_mountpoint", Ptr("dentry")),
            ("mnt", In("vfsmount")),
        ],
    ),
    (
        "super_block",
        &[
            ("s_list", In("list_head")),
            ("s_type", Ptr("file_system_type")),
        ],
    ),
    (
        "file_system_type",
        &[("name", Ptr("")), ("fs_flags", Int(4))],
    ),
    ("inode", &[("i_mode", Int(2)), ("i_ino", Long)]),
    (
        "file",
        &[
            ("f_mode", Int(4)),
            ("f_path", In("path")),
            ("f_inode", Ptr("inode")),
        ],
    ),
    (
        "fs_struct",
        &[("users", Int(4)), ("root", In("path")), ("pwd", In("path"))],
    ),
    ("upid", &[("nr", Int(-4)), ("ns", Ptr("pid_namespace"))]),
    (
        "pid",
        &[
            ("count", Int(4)),
            ("level", Int(4)),
            ("tasks", Many("hlist_head", 4)),
            ("numbers", Many("upid", 1)),
        ],
    ),
    (
        "xarray",
        &[
            ("xa_lock", Int(4)),
            ("xa_flags", Int(4)),
            ("xa_head", Ptr("")),
        ],
    ),
    (
        "xa_node",
        &[
            ("shift", Int(1)),
            ("offset", Int(1)),
            ("count", Int(1)),
            ("nr_values", Int(1)),
            ("parent", Ptr("xa_node")),
            ("array", Ptr("xarray")),
            ("slots", Words(64)),
        ],
    ),
    (
        "idr",
        &[
            ("idr_rt", In("xarray")),
            ("idr_base", Int(4)),
            ("idr_next", Int(4)),
        ],
    ),
    (
        "pid_namespace",
        &[
            ("idr", In("idr")),
            ("pid_allocated", Int(4)),
            ("child_reaper", Ptr("task_struct")),
            ("level", Int(4)),
        ],
    ),
    (
        "signal_struct",
        &[
            ("live", Int(4)),
            ("nr_threads", Int(-4)),
            ("thread_head", In("list_head")),
            ("flags", Int(4)),
        ],
    ),
    ("thread_info", &[("flags", Long), ("cpu", Int(4))]),
    ("timespec64", &[("tv_sec", Int(-8)), ("tv_nsec", Int(-8))]),
    (
        "tk_read_base",
        &[
            ("clock", Ptr("")),
            ("mask", Int(8)),
            ("cycle_last", Int(8)),
            ("mult", Int(4)),
            ("shift", Int(4)),
            ("xtime_nsec", Int(8)),
            ("base", Int(-8)),
        ],
    ),
    (
        "timekeeper",
        &[
            ("tkr_mono", In("tk_read_base")),
            ("xtime_sec", Int(8)),
            ("ktime_sec", Long),
            ("wall_to_monotonic", In("timespec64")),
            ("offs_real", Int(-8)),
            ("offs_boot", Int(-8)),
            ("offs_tai", Int(-8)),
            ("tkr_raw", In("tk_read_base")),
            ("raw_sec", Int(8)),
        ],
    ),
    (
        "vm_operations_struct",
        &[("open", Ptr("")), ("name", Ptr(""))],
    ),
    (
        "vm_special_mapping",
        &[("name", Ptr("")), ("pages", Ptr(""))],
    ),
    (
        "dentry_operations",
        &[("d_revalidate", Ptr("")), ("d_dname", Ptr(""))],
    ),
    (
        "rq",
        &[
            ("nr_running", Int(4)),
            ("curr", Ptr("task_struct")),
            ("idle", Ptr("task_struct")),
        ],
    ),
];

const LISTS: Rows = &[
    (
        "task_struct",
        &[
            ("thread_info", In("thread_info")),
            ("state", Long),
            ("stack", Ptr("")),
            ("flags", Int(4)),
            ("on_cpu", Int(-4)),
            ("tasks", In("list_head")),
            ("mm", Ptr("mm_struct")),
            ("active_mm", Ptr("mm_struct")),
            ("exit_state", Int(-4)),
            ("exit_code", Int(-4)),
            ("pid", Int(-4)),
            ("tgid", Int(-4)),
            ("real_parent", Ptr("task_struct")),
            ("parent", Ptr("task_struct")),
            ("children", In("list_head")),
            ("sibling", In("list_head")),
            ("group_leader", Ptr("task_struct")),
            ("thread_pid", Ptr("pid")),
            ("pid_links", Many("hlist_node", 4)),
            ("thread_group", In("list_head")),
            ("thread_node", In("list_head")),
            ("start_time", Int(8)),
            ("real_start_time", Int(8)),
            ("real_cred", Ptr("cred")),
            ("cred", Ptr("cred")),
            ("comm", Bytes(16)),
            ("fs", Ptr("fs_struct")),
            ("signal", Ptr("signal_struct")),
        ],
    ),
    (
        "mm_context_t",
        &[
            ("vdso", Ptr("")),
            ("vdso_image", Ptr("vdso_image")),
            ("flags", Int(2)),
        ],
    ),
    (
        "mm_struct",
        &[
            ("mmap", Ptr("vm_area_struct")),
            ("mm_rb", In("rb_root")),
            ("task_size", Long),
            ("pgd", Ptr("")),
            ("mm_users", Int(4)),
            ("map_count", Int(-4)),
            ("mmap_lock", Words(5)),
            ("total_vm", Long),
            ("start_code", Long),
            ("start_brk", Long),
            ("brk", Long),
            ("start_stack", Long),
            ("arg_start", Long),
            ("arg_end", Long),
            ("env_start", Long),
            ("env_end", Long),
            ("context", In("mm_context_t")),
            ("exe_file", Ptr("file")),
        ],
    ),
    (
        "vm_area_struct",
        &[
            ("vm_start", Long),
            ("vm_end", Long),
            ("vm_next", Ptr("vm_area_struct")),
            ("vm_prev", Ptr("vm_area_struct")),
            ("vm_rb", In("rb_node")),
            ("vm_mm", Ptr("mm_struct")),
            ("vm_flags", Long),
            ("vm_ops", Ptr("vm_operations_struct")),
            ("vm_pgoff", Long),
            ("vm_file", Ptr("file")),
            ("vm_private_data", Ptr("")),
        ],
    ),
    (
        "module_layout",
        &[("base", Ptr("")), ("size", Int(4)), ("text_size", Int(4))],
    ),
    (
        "module",
        &[
            ("state", Int(4)),
            ("list", In("list_head")),
            ("name", Bytes(56)),
            ("core_layout", In("module_layout")),
            ("init_layout", In("module_layout")),
        ],
    ),
];

const TREES: Rows = &[
    (
        "task_struct",
        &[
            ("thread_info", In("thread_info")),
            ("__state", Int(4)),
            ("stack", Ptr("")),
            ("flags", Int(4)),
            ("on_cpu", Int(-4)),
            ("tasks", In("list_head")),
            ("mm", Ptr("mm_struct")),
            ("active_mm", Ptr("mm_struct")),
            ("exit_state", Int(-4)),
            ("exit_code", Int(-4)),
            ("pid", Int(-4)),
            ("tgid", Int(-4)),
            ("real_parent", Ptr("task_struct")),
            ("parent", Ptr("task_struct")),
            ("children", In("list_head")),
            ("sibling", In("list_head")),
            ("group_leader", Ptr("task_struct")),
            ("thread_pid", Ptr("pid")),
            ("pid_links", Many("hlist_node", 4)),
            ("thread_node", In("list_head")),
            ("start_time", Int(8)),
            ("start_boottime", Int(8)),
            ("real_cred", Ptr("cred")),
            ("cred", Ptr("cred")),
            ("comm", Bytes(16)),
            ("fs", Ptr("fs_struct")),
            ("signal", Ptr("signal_struct")),
        ],
    ),
    (
        "maple_tree",
        &[
            ("ma_lock", Int(4)),
            ("ma_flags", Int(4)),
            ("ma_root", Ptr("")),
        ],
    ),
    (
        "maple_range_64",
        &[
            ("parent", Ptr("maple_node")),
            ("pivot", Words(15)),
            ("slot", Words(16)),
        ],
    ),
    (
        "maple_arange_64",
        &[
            ("parent", Ptr("maple_node")),
            ("pivot", Words(9)),
            ("slot", Words(10)),
            ("gap", Words(10)),
        ],
    ),
    (
        "maple_node",
        &[("parent", Ptr("maple_node")), ("slot", Words(31))],
    ),
    (
        "mm_context_t",
        &[
            ("flags", Long),
            ("vdso_image", Ptr("vdso_image")),
            ("vdso", Ptr("")),
        ],
    ),
    (
        "mm_struct",
        &[
            ("mm_count", Int(4)),
            ("mm_mt", In("maple_tree")),
            ("task_size", Long),
            ("pgd", Ptr("")),
            ("mm_users", Int(4)),
            ("map_count", Int(-4)),
            ("mmap_lock", Words(5)),
            ("total_vm", Long),
            ("start_code", Long),
            ("start_brk", Long),
            ("brk", Long),
            ("start_stack", Long),
            ("arg_start", Long),
            ("arg_end", Long),
            ("env_start", Long),
            ("env_end", Long),
            ("context", In("mm_context_t")),
            ("exe_file", Ptr("file")),
        ],
    ),
    ("anon_vma_name", &[("kref", Int(4)), ("name", Bytes(32))]),
    (
        "vm_area_struct",
        &[
            ("vm_start", Long),
            ("vm_end", Long),
            ("vm_mm", Ptr("mm_struct")),
            ("vm_flags", Long),
            ("anon_name", Ptr("anon_vma_name")),
            ("vm_ops", Ptr("vm_operations_struct")),
            ("vm_pgoff", Long),
            ("vm_file", Ptr("file")),
            ("vm_private_data", Ptr("")),
        ],
    ),
    (
        "pcpu_hot",
        &[
            ("preempt_count", Long),
            ("current_task", Ptr("task_struct")),
            ("cpu_number", Int(-4)),
        ],
    ),
    ("module_memory", &[("base", Ptr("")), ("size", Int(4))]),
    (
        "module",
        &[
            ("state", Int(4)),
            ("list", In("list_head")),
            ("name", Bytes(56)),
            ("mem", Many("module_memory", 7)),
        ],
    ),
];

/// Sizes and places of an era's structures at a pointer width.
pub(super) struct Shapes {
    pointer: u64,
    types: BTreeMap<&'static str, (u64, Vec<Member>)>,
}

impl Shapes {
    pub(super) fn new(era: Era, pointer: u64) -> Self {
        let mut shapes = Self {
            pointer,
            types: BTreeMap::new(),
        };
        let own = match era {
            Era::Lists => LISTS,
            Era::Trees => TREES,
        };
        for (name, rows) in COMMON.iter().chain(own) {
            // No two members share a place, and few start their structure, as in real ones. What
            // the kernel lays out by contract stays as it is.
            let exact = name.starts_with("maple")
                || name.ends_with("head")
                || name.ends_with("node")
                || name.ends_with("id_t");
            let mut end = if exact { 0 } else { pointer };
            let mut members = Vec::new();
            for (member, hold) in *rows {
                let (bytes, align, kind) = shapes.measure(*hold);
                let offset = end.next_multiple_of(align);
                end = offset + bytes;
                members.push(Member {
                    name: (*member).to_owned(),
                    offset: offset.cast_signed(),
                    bytes,
                    bits: None,
                    kind,
                });
            }
            shapes
                .types
                .insert(name, (end.next_multiple_of(pointer), members));
        }
        shapes
    }

    fn measure(&self, hold: Hold) -> (u64, u64, Kind) {
        let word = self.pointer;
        let array = |of, count| Kind::Array {
            of: Box::new(of),
            count,
        };
        match hold {
            Int(n) => (
                n.unsigned_abs(),
                n.unsigned_abs().min(word),
                Kind::Int { signed: n < 0 },
            ),
            Long => (word, word, Kind::Int { signed: false }),
            Ptr(to) => (word, word, Kind::Pointer { to: to.to_owned() }),
            In(name) => (
                self.size(name),
                word,
                Kind::Embedded {
                    name: name.to_owned(),
                },
            ),
            Bytes(n) => (n, 1, array(Kind::Int { signed: true }, n)),
            Words(n) => (
                n * word,
                word,
                array(Kind::Pointer { to: String::new() }, n),
            ),
            Many(name, n) => {
                let of = Kind::Embedded {
                    name: name.to_owned(),
                };
                (n * self.size(name), word, array(of, n))
            }
        }
    }

    pub(super) fn size(&self, name: &str) -> u64 {
        self.types.get(name).unwrap_or_else(|| panic!("{name}")).0
    }

    /// Offset and size of a member, through embedded structures: `f_path.dentry`.
    pub(super) fn place(&self, name: &str, path: &str) -> (u64, u64) {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let members = &self.types.get(name).unwrap_or_else(|| panic!("{name}")).1;
        let member = members.iter().find(|m| m.name == first);
        let member = member.unwrap_or_else(|| panic!("{name}.{path}"));
        let offset = member.offset.cast_unsigned();
        match (rest, &member.kind) {
            (None, _) => (offset, member.bytes),
            (Some(rest), Kind::Embedded { name }) => {
                let (inner, bytes) = self.place(name, rest);
                (offset + inner, bytes)
            }
            _ => panic!("{name}.{path}"),
        }
    }

    pub(super) fn has(&self, name: &str, member: &str) -> bool {
        let ty = self.types.get(name);
        ty.is_some_and(|(_, members)| members.iter().any(|m| m.name == member))
    }

    pub(super) fn add_to(&self, profile: &mut ProfileBuilder) {
        for (name, (bytes, members)) in &self.types {
            let ty = Type::new(
                (*name).to_owned(),
                TypeKind::Struct,
                *bytes,
                members.clone(),
            );
            profile.add_type(ty);
        }
    }
}
