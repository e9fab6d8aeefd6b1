//! Of lies told with care, and of files damaged at random.

use super::{ANY, Excuse};

/// What damage at random may change to another that could be, where no checksum tells.
const BY_CHANCE: [&str; 16] = [
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
];

pub(super) const EXCUSES: &[Excuse] = &[
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
        fields: &BY_CHANCE,
        why: "the same, of a file without checksums that was damaged at random",
        ..ANY
    },
    Excuse {
        campaign: "compressions",
        places: &["kdump of "],
        fields: &BY_CHANCE,
        why: "the same, of a page of a kdump that is stored as it is, or compressed by LZO, Snappy or Zstandard, which have no checksum there",
        ..ANY
    },
];
