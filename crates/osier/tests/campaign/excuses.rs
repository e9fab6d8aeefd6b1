//! What cannot be known from inside: a consistent lie in the only source.

use crate::BESIDE;
use crate::verdict::Silent;

/// A kind of lie that an answer may rest on without a word.
pub(crate) struct Excuse {
    /// The campaign that needs it.
    pub(crate) campaign: &'static str,
    /// How the names of the places begin.
    places: &'static [&'static str],
    /// The questions whose answers may change; empty: any.
    questions: &'static [&'static str],
    /// What is done there; empty: anything.
    ways: &'static [&'static str],
    /// The fields that may change.
    fields: &'static [&'static str],
    /// Whether memory that was replaced needs it alone, and none that was zeroed.
    replaced: bool,
    /// Whether another source is in the machine and a distilled snapshot does not hold it.
    distilled: bool,
    /// Why nothing else in the snapshot says otherwise.
    pub(crate) why: &'static str,
}

const ANY: Excuse = Excuse {
    campaign: "words",
    places: &[],
    questions: &[],
    ways: &[],
    fields: &[],
    replaced: false,
    distilled: false,
    why: "",
};

/// The kinds; `docs/validation.md` has the same list.
pub(crate) const EXCUSES: &[Excuse] = &[
    Excuse {
        places: &["task_struct.comm"],
        fields: &["name", "name_hex", "process_name", "process_name_hex"],
        why: "the letters of a task's name: `comm` alone has them",
        ..ANY
    },
    Excuse {
        places: &["dentry.d_hash"],
        fields: &[
            "file", "name", "path", "cwd", "root", "exe", "inside", "mapping", "+row", "-row",
            "text", "evidence", "severity",
        ],
        why: "whether a file was deleted: its dentry alone says it",
        ..ANY
    },
    Excuse {
        places: &["dentry."],
        fields: &[
            "file", "file_hex", "name", "name_hex", "exe", "exe_hex", "path", "path_hex", "kind",
            "kind_hex", "cwd", "cwd_hex", "root", "root_hex", "inside", "mapping",
        ],
        distilled: true,
        why: "the letters of a file's name, and its folder: the name's hash has them too, where the snapshot holds what says how it is made",
        ..ANY
    },
    Excuse {
        places: &["name of a special mapping"],
        fields: &["name", "name_hex"],
        why: "the letters between the brackets of `[vvar]`: the kernel's text alone has them",
        ..ANY
    },
    Excuse {
        places: &["task_struct.real_parent"],
        questions: &["current"],
        ways: &["another's"],
        fields: &["ppid"],
        why: "which task made a processor's idle one",
        ..ANY
    },
    Excuse {
        places: &["module.name"],
        fields: &["name", "name_hex"],
        distilled: true,
        why: "the letters of a module's name: its directory of `/sys/module` has them too, where the snapshot holds it",
        ..ANY
    },
    Excuse {
        places: &["argument vector", "page of argument vector"],
        fields: &["cmdline", "cmdline_hex"],
        why: "the arguments: a process may write over its own",
        ..ANY
    },
    Excuse {
        places: &["page table of a process"],
        fields: &["cmdline", "cmdline_hex"],
        why: "which page holds the arguments: the process's page table alone says it",
        ..ANY
    },
    Excuse {
        places: &["cred."],
        fields: &["uid", "gid"],
        why: "whose a process is: but for root and -1, one number is as good as another",
        ..ANY
    },
    Excuse {
        places: &["task_struct.real_cred"],
        ways: &["another's"],
        fields: &["uid", "gid"],
        why: "whose credentials a process has, of those in use: the kernel lends it others for a while",
        ..ANY
    },
    Excuse {
        places: &["vm_area_struct.vm_file"],
        ways: &["another's"],
        fields: &["file", "name", "mapping"],
        why: "which file a mapping shows, of one process alone: mappings of other processes have it too",
        ..ANY
    },
    Excuse {
        places: &[
            "task_struct.__state",
            "task_struct.state",
            "task_struct.exit_state",
        ],
        fields: &["state"],
        why: "which of its states a task is in that is on no run queue",
        ..ANY
    },
    Excuse {
        places: &[
            "task_struct.start_time",
            "task_struct.start_boottime",
            "task_struct.real_start_time",
        ],
        fields: &["create_time", "start"],
        why: "when a task started, by less than the two clocks may differ",
        ..ANY
    },
    Excuse {
        places: &["vm_area_struct.vm_flags", "vm_area_struct.__vm_flags"],
        fields: &["flags", "perms"],
        why: "those flags of a mapping that its page protection does not repeat",
        ..ANY
    },
    Excuse {
        places: &["vm_area_struct.vm_pgoff"],
        fields: &["offset"],
        distilled: true,
        why: "where in its file a mapping starts: the tree of the file's mappings has it too, where the snapshot holds it",
        ..ANY
    },
    Excuse {
        places: &["vfsmount.mnt_root"],
        ways: &["another's"],
        fields: &["file", "name", "exe"],
        why: "which directory of its file system a mount shows: a bind mount shows any",
        ..ANY
    },
    Excuse {
        places: &["mm_struct.pgd"],
        ways: &["another's"],
        fields: &["asid", "pgd"],
        why: "which of the page tables in use is a process's",
        ..ANY
    },
    Excuse {
        places: &["module.mem", "module.core_layout"],
        ways: &["another's"],
        fields: &["base", "size"],
        distilled: true,
        why: "where a module's memory is: the module tree has it too, where the snapshot holds it",
        ..ANY
    },
    Excuse {
        places: &["mm_struct.exe_file"],
        ways: &["another's"],
        fields: &["exe"],
        why: "which of the files in use is the program",
        ..ANY
    },
    Excuse {
        places: &["symbol vsyscall_mode"],
        fields: &["+row", "-row"],
        why: "whether the kernel shows the page of vsyscalls: one variable says it",
        ..ANY
    },
    Excuse {
        places: &["array of files"],
        questions: &["sockets"],
        ways: &["another's"],
        fields: &["fd", "found_by", "pid", "+row", "-row"],
        why: "which of the files in use a descriptor leads to, and whether its number is only reserved for one: the array of files alone says it",
        ..ANY
    },
    Excuse {
        places: &["array of files"],
        questions: &["files"],
        ways: &["another's", "zero", "zero block"],
        fields: &[
            "device", "filed", "flags", "inode", "kind", "kind_hex", "path", "path_hex", "pos",
            "socket",
        ],
        why: "which of the files in use a descriptor leads to, and whether its number is only reserved for one: the array of files alone says it",
        ..ANY
    },
    Excuse {
        places: &["bitmap of descriptors"],
        questions: &["files"],
        fields: &["+row"],
        why: "which numbers without a file are reserved for one: a bit alone says it",
        ..ANY
    },
    Excuse {
        places: &["bitmap of close_on_exec", "files_struct.close_on_exec_init"],
        questions: &["files"],
        fields: &["flags"],
        why: "which descriptors `execve` closes: a bit alone says it",
        ..ANY
    },
    Excuse {
        places: &["file.f_pos"],
        questions: &["files"],
        fields: &["pos"],
        why: "where in a file a program reads",
        ..ANY
    },
    Excuse {
        places: &["file.f_flags"],
        questions: &["files"],
        fields: &["flags"],
        why: "those flags of an open file that its rights do not repeat",
        ..ANY
    },
    Excuse {
        places: &["inode.i_ino"],
        questions: &["files"],
        fields: &["inode", "path"],
        why: "the number of a file: its inode alone has it",
        ..ANY
    },
    Excuse {
        places: &["super_block.s_dev"],
        questions: &["files"],
        fields: &["device"],
        why: "the number of a device: its file system alone has it",
        ..ANY
    },
    Excuse {
        places: &[
            "super_block.s_type",
            "file_system_type.",
            "dentry_operations.",
            "dentry.d_op",
            "symbol file_system_type",
            "page table of the kernel",
        ],
        questions: &["files", "ps_wide"],
        fields: &["cwd", "root", "exe", "kind", "path", "kind_hex", "path_hex"],
        why: "how a file in no directory is called: what makes its name alone says it",
        ..ANY
    },
    Excuse {
        places: &["environment", "argument vector", "page table of a process"],
        questions: &["env"],
        fields: &[
            "+row",
            "-row",
            "address",
            "name",
            "name_hex",
            "value",
            "value_hex",
        ],
        why: "the environment, and which page holds it: a process may write over its own",
        ..ANY
    },
    Excuse {
        places: &["printk_info.caller_id"],
        questions: &["log"],
        fields: &["caller"],
        why: "which thread or processor wrote a line",
        ..ANY
    },
    Excuse {
        places: &["printk_info.text_len", "printk_info.caller_id"],
        questions: &["log"],
        fields: &["level", "facility", "caller"],
        why: "how grave a line is, and who speaks",
        ..ANY
    },
    Excuse {
        places: &["printk_info.text_len"],
        questions: &["log"],
        ways: &["another's", "+1", "+8", "zero block"],
        fields: &["text", "text_hex", "level", "facility", "caller"],
        why: "the last letters of a line, as far as its block has room",
        ..ANY
    },
    Excuse {
        places: &["printk_info.ts_nsec"],
        questions: &["log"],
        fields: &["time"],
        why: "when a line was written, before now",
        ..ANY
    },
    Excuse {
        places: &["text of the log"],
        questions: &["log"],
        fields: &["text", "text_hex"],
        why: "the letters of a line",
        ..ANY
    },
    Excuse {
        places: &["cred.", "task_struct.real_cred"],
        questions: &["ps_wide"],
        fields: &[
            "uid", "gid", "euid", "suid", "fsuid", "egid", "caps", "groups", "ns",
        ],
        why: "which credentials a process has, of those that its kind can have",
        ..ANY
    },
    Excuse {
        places: &["fs_struct.", "task_struct.fs", "vfsmount.mnt_root"],
        questions: &["ps_wide"],
        ways: &["another's"],
        fields: &["cwd", "root", "cwd_hex", "root_hex", "exe"],
        why: "which directory of a file system is the root or the working directory",
        ..ANY
    },
    Excuse {
        places: &["mm_struct.rss_stat", "percpu_counter.", "mm_rss_stat."],
        questions: &["ps_wide"],
        fields: &["rss"],
        why: "how many of the mapped pages of a process are counted in memory",
        ..ANY
    },
    Excuse {
        places: &[
            "signal_struct.",
            "task_struct.se.sum_exec_runtime",
            "task_struct.utime",
            "task_struct.stime",
        ],
        questions: &["ps_wide"],
        fields: &["utime", "stime"],
        why: "how long a process ran, within what the machine ran",
        ..ANY
    },
    Excuse {
        places: &[
            "task_struct.nsproxy",
            "nsproxy.",
            "cgroup_namespace.",
            "ipc_namespace.",
            "mnt_namespace.",
            "net.",
            "time_namespace.",
            "user_namespace.",
            "uts_namespace.",
            "pid_namespace.",
            "pid.numbers",
            "upid.",
            "page table of the kernel",
            "symbol init_",
        ],
        questions: &["ps_wide"],
        fields: &["ns"],
        why: "which namespaces a process is in, and their numbers",
        ..ANY
    },
    Excuse {
        places: &[
            "task_struct.policy",
            "task_struct.static_prio",
            "task_struct.normal_prio",
            "task_struct.rt_priority",
        ],
        questions: &["ps_wide"],
        fields: &["policy", "nice"],
        why: "which of two policies with the same priorities a task has",
        ..ANY
    },
    Excuse {
        places: &["task_struct.loginuid"],
        questions: &["ps_wide"],
        fields: &["loginuid"],
        why: "who logged in, of those that did",
        ..ANY
    },
    Excuse {
        places: &["mm_struct.start_code"],
        ways: &["zero block"],
        fields: &["-row", "cmdline", "kind", "name"],
        why: "whether a program is loaded yet: its `mm_struct` alone says it",
        ..ANY
    },
    Excuse {
        places: &["files_struct.next_fd"],
        questions: &["files"],
        ways: &["zero block"],
        fields: &[
            "-row", "+row", "device", "filed", "flags", "inode", "kind", "path", "pos", "socket",
        ],
        why: "a table of descriptors that is lost whole",
        ..ANY
    },
    Excuse {
        places: &["mount.mnt_mountpoint"],
        ways: &["another's"],
        fields: &["file", "name", "exe", "path", "cwd", "root"],
        why: "on which of the directories in use a mount stands",
        ..ANY
    },
    Excuse {
        places: &["_EPROCESS.ImageFileName"],
        fields: &["name", "name_hex", "process_name", "process_name_hex"],
        why: "the letters of the name of a Windows process of the kernel's own: `ImageFileName` alone has them",
        ..ANY
    },
    Excuse {
        places: &[
            "_PEB.",
            "_RTL_USER_PROCESS_PARAMETERS.",
            "_LDR_DATA_TABLE_ENTRY.",
            "_LIST_ENTRY.",
            "text of _RTL_USER_PROCESS_PARAMETERS",
            "text of _LDR_DATA_TABLE_ENTRY",
            "user memory",
        ],
        questions: &["ps", "ps_wide", "maps", "current"],
        fields: &[
            "path",
            "path_hex",
            "cmdline",
            "cmdline_hex",
            "exe",
            "exe_hex",
            "name",
            "name_hex",
            "file",
            "file_hex",
            "kind",
        ],
        why: "what a Windows process says in its own memory: paths, arguments, heaps and stacks",
        ..ANY
    },
    Excuse {
        places: &["text of _LDR_DATA_TABLE_ENTRY"],
        questions: &["pages"],
        fields: &["backing", "backing_hex"],
        why: "what a Windows process says in its own memory: paths, arguments, heaps and stacks",
        ..ANY
    },
    Excuse {
        places: &[
            "_PEB.",
            "_RTL_USER_PROCESS_PARAMETERS.",
            "text of _RTL_USER_PROCESS_PARAMETERS",
            "user memory",
        ],
        questions: &["env"],
        fields: &[
            "+row",
            "-row",
            "address",
            "name",
            "name_hex",
            "value",
            "value_hex",
        ],
        why: "the environment of a Windows process: it may write over its own",
        ..ANY
    },
    Excuse {
        // A token's lists of ids and rights lie behind it, in memory that no structure names.
        places: &["_TOKEN.", "_EPROCESS.Token", "(unnamed)"],
        questions: &["ps_wide"],
        fields: &[
            "token",
            "user",
            "groups",
            "privileges",
            "integrity",
            "logon",
        ],
        why: "whom a Windows process acts for, and with which rights: its token alone says it",
        ..ANY
    },
    Excuse {
        places: &[
            "_LDR_DATA_TABLE_ENTRY.",
            "_KLDR_DATA_TABLE_ENTRY.",
            "text of _LDR_DATA_TABLE_ENTRY",
            "text of _KLDR_DATA_TABLE_ENTRY",
        ],
        questions: &["modules"],
        fields: &["name", "name_hex", "file", "file_hex"],
        why: "the letters of a driver's name and path: its loader entry alone has them",
        ..ANY
    },
    Excuse {
        places: &[
            "_OBJECT_NAME_INFORMATION.",
            "text of _OBJECT_NAME_INFORMATION",
            "_EPROCESS.SeAuditProcessCreationInfo",
        ],
        fields: &["path", "path_hex", "exe", "exe_hex"],
        why: "the path of a Windows process that has none in its own memory: the kernel notes it once",
        ..ANY
    },
    Excuse {
        places: &[
            "_FILE_OBJECT.",
            "text of _FILE_OBJECT",
            "_CONTROL_AREA.",
            "_SUBSECTION.",
            "_MSUBSECTION.",
        ],
        fields: &["file", "file_hex", "name", "name_hex", "kind", "offset"],
        why: "which file a Windows mapping shows, and from where: its section alone says it",
        ..ANY
    },
    Excuse {
        places: &["_MMVAD", "_MMADDRESS_NODE.", "_RTL_BALANCED_NODE."],
        fields: &[
            "base", "size", "flags", "perms", "kind", "offset", "file", "file_hex", "name",
            "name_hex", "backing", "+row",
        ],
        why: "the bounds, rights and sort of a Windows mapping: its descriptor alone has them",
        ..ANY
    },
    Excuse {
        places: &[
            "_EPROCESS.Session",
            "_MM_SESSION_SPACE.",
            "page of _MM_SESSION_SPACE",
        ],
        fields: &["session"],
        why: "which session a Windows process belongs to",
        ..ANY
    },
    Excuse {
        places: &["_EPROCESS.InheritedFromUniqueProcessId"],
        fields: &["ppid"],
        why: "which process created a Windows process: it may be gone",
        ..ANY
    },
    Excuse {
        places: &["_EPROCESS.CreateTime", "_EPROCESS.ExitTime"],
        fields: &["create_time", "start", "exit_time", "exe"],
        why: "when a Windows process was created or exited, by less than a day, and whether the idle process was",
        ..ANY
    },
    Excuse {
        places: &["_KPRCB.CurrentThread"],
        questions: &["current"],
        ways: &["another's"],
        fields: &[
            "asid",
            "create_time",
            "exe",
            "name",
            "pid",
            "ppid",
            "process_name",
            "start",
            "state",
            "task",
            "taskd",
            "tid",
        ],
        why: "which thread a Windows processor runs, of those in use: its block alone has it",
        ..ANY
    },
    Excuse {
        places: &["_ETHREAD.Tcb.State", "_KTHREAD.State"],
        fields: &["state"],
        why: "which of its states a Windows thread is in",
        ..ANY
    },
    Excuse {
        places: &[
            "_ETHREAD.ThreadName",
            "_UNICODE_STRING.",
            "text of _UNICODE_STRING",
        ],
        questions: &["threads", "current"],
        fields: &["name", "name_hex"],
        why: "the name of a Windows thread: its string alone has it",
        ..ANY
    },
    Excuse {
        places: &["_ETHREAD.Tcb.Teb", "_KTHREAD.Teb"],
        ways: &["zero", "another's"],
        fields: &["kind"],
        why: "which memory is the stack of a Windows thread: its `Teb` alone leads there",
        ..ANY
    },
    Excuse {
        places: &[
            "_EPROCESS.Pcb.DirectoryTableBase",
            "_KPROCESS.DirectoryTableBase",
        ],
        fields: &["asid"],
        why: "which page table a Windows process had that has exited, and which the idle process names",
        ..ANY
    },
    Excuse {
        places: &["_EPROCESS.PicoContext", "_EPROCESS.AddressPolicyFrozen"],
        fields: &["peb", "path", "cmdline", "exe"],
        why: "which sort of Windows process without a program it is",
        ..ANY
    },
    Excuse {
        places: &["_EPROCESS.Peb"],
        ways: &["zero block"],
        fields: &["-row", "cmdline", "exe", "path", "peb"],
        why: "a Windows process that lost its Peb, its mappings and its threads together",
        ..ANY
    },
    Excuse {
        places: &[
            "page table of the kernel",
            "page table of a process",
            "page of page table of the kernel",
            "page of page table of a process",
            "symbol MmHighestUserAddress",
        ],
        questions: &["pages"],
        fields: &["+row", "-row", "flags", "phys", "len", "start", "backing"],
        why: "which pages a process has, and where: its page table alone says it",
        ..ANY
    },
    Excuse {
        places: &["page table of a process", "page of page table of a process"],
        questions: &["search", "dump", "findings"],
        fields: &[
            "+row", "-row", "searched", "start", "file", "memory", "phys", "address", "match",
            "mapping", "rule", "process", "text", "evidence", "severity",
        ],
        why: "which pages a process has, and where: its page table alone says it",
        ..ANY
    },
    Excuse {
        places: &[""],
        questions: &["scan"],
        fields: &["found_by", "freed", "linked"],
        why: "what leads to a task, process or module: that a source names it no more is what `scan` shows",
        ..ANY
    },
    Excuse {
        places: &[""],
        questions: &["findings"],
        fields: &["+row", "text", "evidence", "severity"],
        replaced: true,
        why: "what a pointer, a list or a name was changed to: that it does not fit is what `findings` shows",
        ..ANY
    },
    Excuse {
        places: &["inode.i_size"],
        questions: &["recover", "recover_file", "search", "dump"],
        fields: &["size", "bytes", "sum", "searched", "file"],
        replaced: true,
        why: "how long a file is, from its last page in memory on: its inode alone has it",
        ..ANY
    },
    Excuse {
        places: &["file_system_type.name", "super_block.s_type"],
        questions: &["recover"],
        fields: &["system", "system_hex"],
        replaced: true,
        why: "what was mounted, and of which type: the text alone has its letters",
        ..ANY
    },
    Excuse {
        places: &["dentry.d_name, its text"],
        questions: &["recover"],
        fields: &["inside"],
        why: "what the root of a file system is called: its dentry alone says it",
        ..ANY
    },
    Excuse {
        places: &[
            "symbol tainted_mask",
            "symbol modprobe_path",
            "symbol core_pattern",
        ],
        questions: &["findings"],
        fields: &["-row", "text", "evidence"],
        why: "whether the kernel is tainted, and which programs it starts by itself: one variable says it",
        ..ANY
    },
    Excuse {
        places: &[
            "task_struct.thread.",
            "task_struct.stack",
            "task_struct.flags",
            "task_struct.thread_info",
        ],
        questions: &["dump"],
        fields: &["registers", "floating_point"],
        why: "the registers of a thread: the kernel keeps them once",
        ..ANY
    },
    Excuse {
        places: &["address_space.i_pages", "address_space.nrpages"],
        questions: &["recover", "recover_file", "search", "dump"],
        ways: &["zero block"],
        fields: &["-row", "searched", "start", "file", "memory"],
        why: "whether a file has pages: its tree and its count of them lie side by side",
        ..ANY
    },
    Excuse {
        places: &["(unnamed)", "mount.mnt_devname", "super_block.s_type"],
        questions: &["mounts"],
        fields: &[
            "source",
            "source_hex",
            "type",
            "type_hex",
            "root",
            "root_hex",
        ],
        why: "what was mounted, and of which type: the text alone has its letters",
        ..ANY
    },
    Excuse {
        places: &["(unnamed)", "mount.mnt_id"],
        questions: &["mounts"],
        fields: &["id", "mount_id", "parent"],
        why: "the number of a mount that no other of its namespace has",
        ..ANY
    },
    Excuse {
        places: &["(unnamed)", "vfsmount.mnt_flags", "super_block.s_flags"],
        questions: &["mounts"],
        fields: &["options", "super_options", "propagation"],
        why: "the marks of a mount and of a file system",
        ..ANY
    },
    Excuse {
        places: &["super_block.s_dev", "(unnamed)"],
        questions: &["mounts", "recover"],
        fields: &["device"],
        why: "the number of a device: its file system alone has it",
        ..ANY
    },
    Excuse {
        places: &["fs_struct.root", "mount.mnt_mountpoint"],
        questions: &["mounts"],
        ways: &["another's"],
        fields: &["point", "point_hex", "-row", "+row"],
        why: "which directory of a file system is the root or the working directory",
        ..ANY
    },
    Excuse {
        places: &["(unnamed)"],
        questions: &["net"],
        fields: &[
            "addresses",
            "flags",
            "mac",
            "mtu",
            "name",
            "name_hex",
            "index",
        ],
        why: "how an interface is called, set and addressed: it alone says it",
        ..ANY
    },
    Excuse {
        places: &["(unnamed)"],
        questions: &["sockets"],
        fields: &[
            "inode",
            "local",
            "local_port",
            "remote",
            "remote_port",
            "path",
            "path_hex",
            "recv_queue",
            "send_queue",
            "interface",
        ],
        why: "the addresses, name, number and queues of a socket: it alone says them",
        ..ANY
    },
    Excuse {
        campaign: "links",
        places: &["driver list"],
        ways: &["one unlinked", "cut to the head"],
        fields: &["-row"],
        why: "a driver that was taken out of the module list",
        ..ANY
    },
    Excuse {
        campaign: "links",
        places: &["a task"],
        ways: &[
            "out of the task list, children, its number and the count of threads",
            "out of the task list, children and its number",
        ],
        fields: &["-row"],
        why: "a process that was taken out of every list that names it",
        ..ANY
    },
    Excuse {
        campaign: "links",
        places: &["a thread"],
        ways: &["out of its list and its number, count lessened"],
        fields: &["-row", "threads"],
        why: "a thread that was taken out of every list that names it",
        ..ANY
    },
    Excuse {
        campaign: "files",
        places: &["elf"],
        fields: &[
            "name",
            "name_hex",
            "file",
            "file_hex",
            "exe",
            "exe_hex",
            "cmdline",
            "cmdline_hex",
            "uid",
            "gid",
            "state",
            "flags",
            "perms",
            "offset",
            "create_time",
            "start",
        ],
        why: "the same, of a file without checksums that was damaged at random",
        ..ANY
    },
    Excuse {
        campaign: "compressions",
        places: &["kdump of "],
        fields: &[
            "name",
            "name_hex",
            "file",
            "file_hex",
            "exe",
            "exe_hex",
            "cmdline",
            "cmdline_hex",
            "uid",
            "gid",
            "state",
            "flags",
            "perms",
            "offset",
            "create_time",
            "start",
        ],
        why: "the same, of a page of a kdump that is stored as it is, or compressed by LZO, Snappy or Zstandard, which have no checksum there",
        ..ANY
    },
];

/// The excuse of `silent`, if there is one.
pub(crate) fn of(silent: &Silent) -> Option<&'static Excuse> {
    // What cannot be read is always known.
    if silent.how == "missing page" {
        return None;
    }
    let named = |among: &[&str], name: &str| among.is_empty() || among.contains(&name);
    let fits = |excuse: &Excuse, places: &str| {
        let mut places = places.split(BESIDE);
        places.any(|named| excuse.places.iter().any(|place| named.starts_with(place)))
            && named(excuse.questions, silent.question)
            && (named(excuse.ways, &silent.how) || silent.how == "zero block")
            && !(excuse.replaced && silent.how.starts_with("zero"))
            && (silent.distilled || !excuse.distilled)
    };
    // Of what lies side by side, each may have lost what it alone says.
    let excused = |field: &String| {
        let excuses = |excuse: &&Excuse| {
            fits(excuse, &silent.place) && excuse.fields.contains(&field.as_str())
        };
        EXCUSES.iter().find(excuses)
    };
    if silent.place.contains(BESIDE) {
        let all = silent.fields.iter().all(|field| excused(field).is_some());
        return silent
            .fields
            .iter()
            .next()
            .and_then(excused)
            .filter(|_| all);
    }
    EXCUSES.iter().find(|excuse| {
        let mut fields = silent.fields.iter();
        fits(excuse, &silent.place) && fields.all(|field| excuse.fields.contains(&field.as_str()))
    })
}
