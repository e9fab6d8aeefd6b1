//! One struct for each kind of row, in the groups of `osier::tables`.

mod holdings;
mod hunt;
mod kernel;
mod memory;
mod network;
mod process;

use crate::filling::Shown as _;

pub use holdings::{Mount, OpenFile, Variable};
pub use hunt::{Finding, Scanned};
pub use kernel::{Current, Handle, LogLine, Module, Thread};
pub use memory::{Mapping, PageRange};
pub use network::{Interface, Socket};
pub use process::{Process, WideProcess};

/// Each struct by its name in C, with its fields in their order: what the header's numbers of fields are
/// made from.
pub fn fields() -> [(&'static str, &'static [&'static str]); 16] {
    [
        ("process", Process::FIELDS),
        ("handle", Handle::FIELDS),
        ("current", Current::FIELDS),
        ("thread", Thread::FIELDS),
        ("module", Module::FIELDS),
        ("mapping", Mapping::FIELDS),
        ("page_range", PageRange::FIELDS),
        ("open_file", OpenFile::FIELDS),
        ("variable", Variable::FIELDS),
        ("log_line", LogLine::FIELDS),
        ("wide_process", WideProcess::FIELDS),
        ("mount", Mount::FIELDS),
        ("socket", Socket::FIELDS),
        ("interface", Interface::FIELDS),
        ("scanned", Scanned::FIELDS),
        ("finding", Finding::FIELDS),
    ]
}
