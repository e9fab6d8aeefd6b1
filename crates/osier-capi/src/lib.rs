#![doc = include_str!("../README.md")]
//!
//! The header `osier/osier.h` is made from this crate's `row/`, `question.rs` and `border.rs`; `docs/c.md`
//! has a complete program. `osier/panda_osi.h` stands on it: PANDA's OSI types and functions, for
//! programs that were written against PANDA's plugin.
//!
//! ```text
//!   border    what C calls: pointers in, pointers out; the only unsafe code
//!     │
//!   guest, answer, arrow, reached, error    what stands behind C's pointers
//!     │
//!   row, filling    one struct for each kind of row, filled from the cells of osier::tables
//! ```

mod answer;
mod arrow;
mod border;
mod error;
mod filling;
mod guest;
mod panda;
mod question;
mod reached;
mod row;

pub use answer::Answer;
pub use border::*;
pub use error::{Error, ErrorKind};
pub use filling::Bytes;
pub use guest::{Guest, Options};
pub use panda::{PandaList, PandaModule, PandaProcess, PandaThread};
pub use question::Question;
pub use row::{
    Current, Finding, Handle, Interface, LogLine, Mapping, Module, Mount, OpenFile, PageRange,
    Process, Scanned, Socket, Thread, Variable, WideProcess, fields,
};
