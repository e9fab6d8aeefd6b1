//! The questions to a whole snapshot.

/// A question that has rows for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Processes.
    Processes,
    /// Process handles.
    Handles,
    /// What runs on each processor.
    Current,
    /// Threads of every process.
    Threads,
    /// Kernel modules.
    Modules,
    /// Mappings of every process.
    Mappings,
    /// Present pages of every process.
    Pages,
    /// Open files of every process.
    Files,
    /// Environment variables of every process.
    Environment,
    /// The kernel's log.
    Log,
    /// Processes, with all that is known of them.
    Wide,
    /// Mounts of every process.
    Mounts,
    /// Sockets of every network namespace.
    Sockets,
    /// Interfaces of every network namespace.
    Interfaces,
    /// Tasks and modules by their own bytes.
    Scan,
    /// What does not fit.
    Findings,
}

impl Question {
    /// Every question.
    pub const ALL: [Self; 16] = [
        Self::Processes,
        Self::Handles,
        Self::Current,
        Self::Threads,
        Self::Modules,
        Self::Mappings,
        Self::Pages,
        Self::Files,
        Self::Environment,
        Self::Log,
        Self::Wide,
        Self::Mounts,
        Self::Sockets,
        Self::Interfaces,
        Self::Scan,
        Self::Findings,
    ];

    /// The questions that are asked when nobody says which: PANDA's, but for the pages, which are many.
    pub const USUAL: [Self; 6] = [
        Self::Processes,
        Self::Handles,
        Self::Current,
        Self::Threads,
        Self::Modules,
        Self::Mappings,
    ];

    /// The command that asks it; `ps_wide` is `ps --wide`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Processes => "ps",
            Self::Handles => "handles",
            Self::Current => "current",
            Self::Threads => "threads",
            Self::Modules => "modules",
            Self::Mappings => "maps",
            Self::Pages => "pages",
            Self::Files => "files",
            Self::Environment => "env",
            Self::Log => "log",
            Self::Wide => "ps_wide",
            Self::Mounts => "mounts",
            Self::Sockets => "sockets",
            Self::Findings => "findings",
            Self::Scan => "scan",
            Self::Interfaces => "net",
        }
    }

    /// The question that the command `word` asks.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|question| question.word() == word)
    }

    /// Whether each process is asked by itself, so that it can be asked of one alone.
    pub const fn is_of_a_process(self) -> bool {
        matches!(
            self,
            Self::Threads
                | Self::Mappings
                | Self::Pages
                | Self::Files
                | Self::Environment
                | Self::Mounts
        )
    }
}
