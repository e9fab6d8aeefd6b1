//! Of Windows.

use super::{ANY, Excuse, finding};

pub(super) const EXCUSES: &[Excuse] = &[
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
        places: &["_LDR_DATA_TABLE_ENTRY.", "text of _LDR_DATA_TABLE_ENTRY"],
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
        questions: &["modules", "scan"],
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
        // A union of Windows 7 has it among the wait blocks.
        places: &[
            "_ETHREAD.Tcb.State",
            "_ETHREAD.Tcb.WaitBlockFill",
            "_KTHREAD.State",
            "_KTHREAD.WaitBlockFill",
        ],
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
        ways: &["zero", "zero block", "another's"],
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
        places: &["(unnamed)", "page of "],
        questions: &["scan"],
        by: &["pool"],
        fields: &["found_by", "freed"],
        why: "whether a block of the pool holds a process or a driver: the words before it alone say it",
        ..ANY
    },
    finding(&["syscall.table"], &["symbol KiServiceTable"]),
    finding(&["syscall.moved"], &["symbol KeServiceDescriptorTable"]),
    finding(&["token.shared"], &["_EPROCESS.Token"]),
    finding(&["memory.executable"], &["_MMVAD"]),
    finding(&["image.replaced"], &["_PEB.ImageBaseAddress"]),
];
