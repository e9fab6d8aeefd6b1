//! The keys of a `kernelinfo.conf` and what each one says.

use osier_profile::Kind;

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) place: Fact,
}

/// Which fact a key states.
#[derive(Clone, Copy)]
pub(crate) enum Fact {
    /// A structure's size.
    Size(&'static str),
    /// A member's offset.
    Member(&'static str, &'static str, Holds),
    /// A symbol's address.
    Symbol(&'static str),
    /// Anything else.
    Constant,
}

/// What a member holds; the file does not say, but the kernel never changed its mind.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    /// A pointer to that structure.
    Pointer(&'static str),
    /// That structure in place.
    Embedded(&'static str),
    /// A signed integer of four bytes.
    Signed,
    /// An unsigned integer of four bytes.
    Unsigned,
    /// An unsigned integer of eight bytes.
    Long,
    /// An unsigned integer as wide as a pointer.
    Word,
    /// Characters.
    Text,
}

impl Holds {
    /// As a profile says it, with its bytes, for pointers of `pointer` bytes.
    pub(crate) fn kind(self, pointer: u64) -> (Kind, u64) {
        let integer = |signed| Kind::Int { signed };
        match self {
            Self::Pointer(to) => (Kind::Pointer { to: to.to_owned() }, pointer),
            Self::Embedded(name) => {
                let bytes = match name {
                    "list_head" | "path" | "timespec" => pointer.saturating_mul(2),
                    _ => 0,
                };
                let name = name.to_owned();
                (Kind::Embedded { name }, bytes)
            }
            Self::Signed => (integer(true), 4),
            Self::Unsigned => (integer(false), 4),
            Self::Long => (integer(false), 8),
            Self::Word => (integer(false), pointer),
            Self::Text => (Kind::Unknown, 0),
        }
    }
}

const fn key(name: &'static str, place: Fact) -> Key {
    Key { name, place }
}

const TASK: &str = "task_struct";
const MM: &str = "mm_struct";
const VMA: &str = "vm_area_struct";

use Fact::{Constant, Member, Size, Symbol};
use Holds::{Embedded, Long, Pointer, Signed, Text, Unsigned, Word};

/// All keys that state something about a kernel, in the order in which PANDA's tools print them.
#[rustfmt::skip]
pub(crate) static KEYS: &[Key] = &[
    key("version.a", Constant),
    key("version.b", Constant),
    key("version.c", Constant),
    key("task.per_cpu_offsets_addr", Symbol("__per_cpu_offset")),
    key("task.per_cpu_offset_0_addr", Constant),
    key("task.switch_task_hook_addr", Symbol("finish_task_switch")),
    key("task.current_task_addr", Symbol("current_task")),
    key("task.init_addr", Symbol("init_task")),
    key("task.size", Size(TASK)),
    key("task.tasks_offset", Member(TASK, "tasks", Embedded("list_head"))),
    key("task.next_task_offset", Member(TASK, "next_task", Pointer(TASK))),
    key("task.pid_offset", Member(TASK, "pid", Signed)),
    key("task.tgid_offset", Member(TASK, "tgid", Signed)),
    key("task.leader_offset", Member(TASK, "leader", Signed)),
    key("task.group_leader_offset", Member(TASK, "group_leader", Pointer(TASK))),
    key("task.thread_group_offset", Member(TASK, "thread_group", Embedded("list_head"))),
    key("task.real_parent_offset", Member(TASK, "real_parent", Pointer(TASK))),
    key("task.parent_offset", Member(TASK, "parent", Pointer(TASK))),
    key("task.p_opptr_offset", Member(TASK, "p_opptr", Pointer(TASK))),
    key("task.p_pptr_offset", Member(TASK, "p_pptr", Pointer(TASK))),
    key("task.mm_offset", Member(TASK, "mm", Pointer(MM))),
    key("task.stack_offset", Member(TASK, "stack", Pointer(""))),
    key("task.real_cred_offset", Member(TASK, "real_cred", Pointer("cred"))),
    key("task.cred_offset", Member(TASK, "cred", Pointer("cred"))),
    key("task.comm_offset", Member(TASK, "comm", Text)),
    key("task.comm_size", Constant),
    key("task.files_offset", Member(TASK, "files", Pointer("files_struct"))),
    key("task.start_time_offset", Member(TASK, "start_time", Long)),
    key("cred.uid_offset", Member("cred", "uid", Unsigned)),
    key("cred.gid_offset", Member("cred", "gid", Unsigned)),
    key("cred.euid_offset", Member("cred", "euid", Unsigned)),
    key("cred.egid_offset", Member("cred", "egid", Unsigned)),
    key("mm.size", Size(MM)),
    key("mm.mmap_offset", Member(MM, "mmap", Pointer(VMA))),
    key("mm.pgd_offset", Member(MM, "pgd", Pointer(""))),
    key("mm.arg_start_offset", Member(MM, "arg_start", Word)),
    key("mm.start_brk_offset", Member(MM, "start_brk", Word)),
    key("mm.brk_offset", Member(MM, "brk", Word)),
    key("mm.start_stack_offset", Member(MM, "start_stack", Word)),
    key("vma.size", Size(VMA)),
    key("vma.vm_mm_offset", Member(VMA, "vm_mm", Pointer(MM))),
    key("vma.vm_start_offset", Member(VMA, "vm_start", Word)),
    key("vma.vm_end_offset", Member(VMA, "vm_end", Word)),
    key("vma.vm_next_offset", Member(VMA, "vm_next", Pointer(VMA))),
    key("vma.vm_flags_offset", Member(VMA, "vm_flags", Word)),
    key("vma.vm_file_offset", Member(VMA, "vm_file", Pointer("file"))),
    key("fs.f_path_offset", Member("file", "f_path", Embedded("path"))),
    key("fs.f_path_dentry_offset", Member("file", "f_path.dentry", Pointer("dentry"))),
    key("fs.f_path_mnt_offset", Member("file", "f_path.mnt", Pointer("vfsmount"))),
    key("fs.f_dentry_offset", Member("file", "f_dentry", Pointer("dentry"))),
    key("fs.f_vfsmnt_offset", Member("file", "f_vfsmnt", Pointer("vfsmount"))),
    key("fs.f_pos_offset", Member("file", "f_pos", Long)),
    key("fs.fdt_offset", Member("files_struct", "fdt", Pointer("fdtable"))),
    key("fs.fdtab_offset", Member("files_struct", "fdtab", Embedded("fdtable"))),
    key("fs.fd_offset", Member("fdtable", "fd", Pointer(""))),
    key("qstr.size", Size("qstr")),
    key("qstr.name_offset", Member("qstr", "name", Pointer(""))),
    key("path.d_name_offset", Member("dentry", "d_name", Embedded("qstr"))),
    key("path.d_iname_offset", Member("dentry", "d_iname", Text)),
    key("path.d_parent_offset", Member("dentry", "d_parent", Pointer("dentry"))),
    key("path.d_op_offset", Member("dentry", "d_op", Pointer("dentry_operations"))),
    key("path.d_dname_offset", Member("dentry_operations", "d_dname", Pointer(""))),
    key("path.mnt_root_offset", Member("vfsmount", "mnt_root", Pointer("dentry"))),
    key("path.mnt_parent_offset", Member("vfsmount", "mnt_parent", Pointer("mount"))),
    key("path.mnt_mountpoint_offset", Member("vfsmount", "mnt_mountpoint", Pointer("dentry"))),
];
