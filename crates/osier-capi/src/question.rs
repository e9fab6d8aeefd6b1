//! The questions, by number.

use osier::ask;

/// A question that has rows for an answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Processes: rows are `osier_process`.
    Processes = 0,
    /// Process handles: rows are `osier_handle`.
    Handles = 1,
    /// What runs on each processor: rows are `osier_current`.
    Current = 2,
    /// Threads: rows are `osier_thread`.
    Threads = 3,
    /// Kernel modules: rows are `osier_module`.
    Modules = 4,
    /// Mappings: rows are `osier_mapping`.
    Mappings = 5,
    /// Present pages: rows are `osier_page_range`.
    Pages = 6,
    /// Open files: rows are `osier_open_file`.
    Files = 7,
    /// Environment variables: rows are `osier_variable`.
    Environment = 8,
    /// The kernel's log: rows are `osier_log_line`.
    Log = 9,
    /// Processes with all that is known of them: rows are `osier_wide_process`.
    Wide = 10,
    /// Mounts: rows are `osier_mount`.
    Mounts = 11,
    /// Sockets: rows are `osier_socket`.
    Sockets = 12,
    /// Network interfaces: rows are `osier_interface`.
    Interfaces = 13,
    /// Tasks and modules by their own bytes: rows are `osier_scanned`.
    Scan = 14,
    /// What does not fit: rows are `osier_finding`.
    Findings = 15,
}

impl Question {
    /// The question of this number; C may pass any.
    pub(crate) fn of(number: u32) -> Option<ask::Question> {
        ask::Question::ALL
            .into_iter()
            .find(|&question| Self::from(question) as u32 == number)
    }
}

impl From<ask::Question> for Question {
    fn from(question: ask::Question) -> Self {
        match question {
            ask::Question::Processes => Self::Processes,
            ask::Question::Handles => Self::Handles,
            ask::Question::Current => Self::Current,
            ask::Question::Threads => Self::Threads,
            ask::Question::Modules => Self::Modules,
            ask::Question::Mappings => Self::Mappings,
            ask::Question::Pages => Self::Pages,
            ask::Question::Files => Self::Files,
            ask::Question::Environment => Self::Environment,
            ask::Question::Mounts => Self::Mounts,
            ask::Question::Sockets => Self::Sockets,
            ask::Question::Interfaces => Self::Interfaces,
            ask::Question::Scan => Self::Scan,
            ask::Question::Findings => Self::Findings,
            ask::Question::Log => Self::Log,
            ask::Question::Wide => Self::Wide,
        }
    }
}
