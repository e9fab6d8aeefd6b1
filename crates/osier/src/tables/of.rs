//! Which tables answer a question.

use super::{Table, holdings, hunt, kernel, memory, network, process};
use crate::question::Question;

/// Every kind of row that may answer `question`.
pub fn of(question: Question) -> &'static [&'static Table] {
    match question {
        Question::Processes => &process::PROCESSES,
        Question::Handles => &process::HANDLES,
        Question::Current => &process::CURRENTS,
        Question::Threads => &process::THREADS,
        Question::Modules => &kernel::MODULES,
        Question::Mappings => &memory::MAPPINGS,
        Question::Pages => &memory::PAGES,
        Question::Files => &holdings::FILES,
        Question::Environment => &holdings::VARIABLES,
        Question::Log => &kernel::LINES,
        Question::Mounts => &holdings::MOUNTS,
        Question::Sockets => &network::SOCKETS,
        Question::Findings => &hunt::FINDINGS,
        Question::Scan => &hunt::SCANNEDS,
        Question::Interfaces => &network::INTERFACES,
        Question::Wide => &process::WIDES,
    }
}

/// The kinds of row that a [`search`](crate::search) finds, which is no question.
pub fn hits() -> [&'static Table; 1] {
    memory::HITS
}

/// The kinds of row that [`kept_files`](crate::dump::kept_files) has, which is no question.
pub fn kept() -> [&'static Table; 1] {
    holdings::KEPTS
}
