//! The sources that name a process, and which of them named one.

use std::fmt;

/// A source that names processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProcessSource {
    /// The kernel's list of processes. Linux: `init_task.tasks`. Windows: `PsActiveProcessHead`.
    List,
    /// The table of ids. Linux: `init_pid_ns.idr` or `pid_hash`. Windows: `PspCidTable`.
    PidTable,
    /// The lists of children that processes have; Linux only.
    Children,
}

impl ProcessSource {
    /// All of them.
    const ALL: [Self; 3] = [Self::List, Self::PidTable, Self::Children];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The sources that found a process, and those that would have named it and do not.
///
/// A source that was not asked, or that could not be read whole, is in neither set.
///
/// ```
/// use osier_osi::{FoundBy, ProcessSource};
///
/// let hidden = FoundBy::source(ProcessSource::PidTable).missing(ProcessSource::List);
/// assert!(hidden.has(ProcessSource::PidTable) && hidden.lacks(ProcessSource::List));
/// assert_eq!(hidden.sources().collect::<Vec<_>>(), [ProcessSource::PidTable]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FoundBy {
    found: u8,
    missing: u8,
}

impl FoundBy {
    /// Found by `source`.
    pub const fn source(source: ProcessSource) -> Self {
        Self {
            found: source.bit(),
            missing: 0,
        }
    }

    /// The same, found by `source` as well.
    #[must_use]
    pub const fn and(self, source: ProcessSource) -> Self {
        Self {
            found: self.found | source.bit(),
            missing: self.missing & !source.bit(),
        }
    }

    /// The same, and `source` was read whole and does not name it.
    #[must_use]
    pub const fn missing(self, source: ProcessSource) -> Self {
        Self {
            found: self.found & !source.bit(),
            missing: self.missing | source.bit(),
        }
    }

    /// Whether `source` found it.
    pub const fn has(self, source: ProcessSource) -> bool {
        self.found & source.bit() != 0
    }

    /// Whether `source` was read whole and does not name it.
    pub const fn lacks(self, source: ProcessSource) -> bool {
        self.missing & source.bit() != 0
    }

    /// The sources that found it.
    pub fn sources(self) -> impl Iterator<Item = ProcessSource> {
        ProcessSource::ALL
            .into_iter()
            .filter(move |source| self.has(*source))
    }

    /// Whether the process list does not name the process.
    pub const fn is_off_the_list(self) -> bool {
        !self.has(ProcessSource::List)
    }
}

impl fmt::Debug for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacking: Vec<ProcessSource> = ProcessSource::ALL
            .into_iter()
            .filter(|source| self.lacks(*source))
            .collect();
        let found: Vec<ProcessSource> = self.sources().collect();
        write!(f, "FoundBy {{ {found:?}, not {lacking:?} }}")
    }
}
