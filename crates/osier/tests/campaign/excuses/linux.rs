//! Of Linux.

use super::{ANY, Excuse, finding};

pub(super) const EXCUSES: &[Excuse] = &[
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
        ways: &["another's", "zero"],
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
        questions: &["files", "sockets"],
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
        places: &["files_struct.next_fd"],
        questions: &["sockets"],
        ways: &["zero block"],
        fields: &["fd", "found_by", "pid"],
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
        places: &["address_space.i_pages."],
        questions: &["dump", "search"],
        ways: &["+8"],
        fields: &["+row", "searched"],
        distilled: true,
        why: "where the first node of a file's tree of pages begins, by a word: its pages have their numbers too, where the snapshot holds them",
        ..ANY
    },
    Excuse {
        places: &["vm_area_struct.vm_flags", "vm_area_struct.__vm_flags"],
        questions: &["dump", "search"],
        fields: &["+row", "-row", "file", "memory", "searched", "start"],
        replaced: true,
        why: "those flags of a mapping that its page protection does not repeat",
        ..ANY
    },
    Excuse {
        places: &["inode.i_mode"],
        questions: &["files"],
        fields: &["kind"],
        replaced: true,
        why: "which sort of special file it is: its inode's mode alone says it",
        ..ANY
    },
    Excuse {
        places: &["file_system_type.name"],
        questions: &["mounts"],
        fields: &["type", "type_hex"],
        replaced: true,
        why: "what was mounted, and of which type: the text alone has its letters",
        ..ANY
    },
    Excuse {
        places: &["net.ns."],
        questions: &["net", "sockets"],
        fields: &["netns"],
        replaced: true,
        why: "which namespaces a process is in, and their numbers",
        ..ANY
    },
    Excuse {
        places: &["pid.level"],
        questions: &["ps_wide"],
        fields: &["ns", "ns_pid"],
        why: "which namespaces a process is in, and their numbers",
        ..ANY
    },
    Excuse {
        places: &["mm_struct.saved_auxv"],
        questions: &["dump"],
        fields: &["auxiliary"],
        replaced: true,
        why: "what the kernel told a program when it began: its `mm_struct` alone keeps it",
        ..ANY
    },
    Excuse {
        places: &[
            "cred.",
            "task_struct.__state",
            "task_struct.comm",
            "task_struct.normal_prio",
            "task_struct.policy",
            "task_struct.real_cred",
            "task_struct.state",
            "task_struct.static_prio",
        ],
        questions: &["dump"],
        fields: &["process"],
        why: "what the note of a core says of its process, as far as the kernel says it once",
        ..ANY
    },
    Excuse {
        places: &["vm_area_struct.vm_file"],
        ways: &["zero block"],
        fields: &[
            "file", "kind", "name", "offset", "-row", "mapping", "searched",
        ],
        why: "what a mapping is of that lost its file, its operations and its place in the file's tree together",
        ..ANY
    },
    finding(&["credentials.shared"], &["task_struct.real_cred"]),
    finding(&["process.hidden"], &["pid.tasks"]),
    finding(
        &["memory.executable"],
        &["vm_area_struct.vm_flags", "vm_area_struct.__vm_flags"],
    ),
    finding(
        &["process.disguised"],
        &["task_struct.comm", "argument vector"],
    ),
    finding(&["process.traced"], &["task_struct.ptrace"]),
    finding(
        &["operations.hook"],
        &["symbol proc_dir_operations", "symbol simple_dir_operations"],
    ),
    finding(
        &["syscall.table"],
        &["symbol sys_call_table", "symbol ia32_sys_call_table"],
    ),
    finding(&["interrupt.table"], &["symbol idt_table"]),
    finding(&["kernel.taint"], &["symbol tainted_mask"]),
];
