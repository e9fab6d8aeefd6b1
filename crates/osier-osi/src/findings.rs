//! Rows of what does not fit.

use osier_memory::VirtAddr;

use crate::Seen;

/// How much a finding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It is there, and a machine that nobody tampered with may well have it.
    Note,
    /// It is rare on such a machine.
    Medium,
    /// No such machine has it.
    High,
}

impl Severity {
    /// The word of the field `severity`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something that does not fit, by one rule. `docs/findings.md` has the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name, such as `syscall.table`.
    pub rule: &'static str,
    /// How much it says.
    pub severity: Severity,
    /// What it is about: a process and its name, a module, an entry of a table. Bytes.
    pub subject: Vec<u8>,
    /// What is found, in words.
    pub text: String,
    /// What was read to find it, and where: parts `WHAT at ADDRESS: VALUE` with semicolons between. Bytes.
    pub evidence: Vec<u8>,
    /// The process's id; not applicable to the kernel.
    pub pid: Seen<u32>,
    /// The object in the kernel's or the process's memory.
    pub address: VirtAddr,
    /// What would be normal.
    pub normal: &'static str,
    /// What else than tampering could explain it.
    pub otherwise: &'static str,
}
