//! Rows about what was looked for.

use crate::filling::{Bytes, shown};

/// A task or a module, found by its own bytes or named by a list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanned {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// What it is, in a word.
    pub kind: Bytes,
    /// Address of its `task_struct` or `struct module`.
    pub address: u64,
    /// The same, physical.
    pub phys: u64,
    /// The process's id.
    pub pid: u64,
    /// The thread's own id.
    pub tid: u64,
    /// Its name.
    pub name: Bytes,
    /// Whether the kernel's own list leads to it.
    pub linked: bool,
    /// Whether its memory was given back.
    pub freed: bool,
    /// Whether it says that it has begun to exit.
    pub exited: bool,
    /// What found it, words with commas between.
    pub found_by: Bytes,
}

shown!(Scanned: kind, address, phys, pid, tid, name, linked, freed, exited, found_by);

/// Something that does not fit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Finding {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// The rule's name.
    pub rule: Bytes,
    /// How much it says: `note`, `medium` or `high`.
    pub severity: Bytes,
    /// What it is about.
    pub subject: Bytes,
    /// What is found, in words.
    pub text: Bytes,
    /// What was read to find it, and where.
    pub evidence: Bytes,
    /// The process's id.
    pub pid: u64,
    /// The object in memory.
    pub address: u64,
    /// What would be normal.
    pub normal: Bytes,
    /// What else could explain it.
    pub otherwise: Bytes,
}

shown!(Finding: rule, severity, subject, text, evidence, pid, address, normal, otherwise);
