//! Of page tables, of either system.

use super::{ANY, Excuse};

pub(super) const EXCUSES: &[Excuse] = &[
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
        places: &["page of page table of the kernel"],
        questions: &["search"],
        fields: &["-row", "searched"],
        why: "which pages a process has, and where: its page table alone says it",
        ..ANY
    },
];
