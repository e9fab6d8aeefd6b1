//! Offline introspection of frozen machines: open, identify, attach, ask.
//!
//! ```text
//!   a file ──► open_snapshot ──► Session::attach ──► session.osi (the questions) ──► rows
//!                                                                                     │
//!                                                              tables ──► format (JSON, CSV, table)
//! ```
//!
//! [`Session::open`] is the place to start. A row is plain data; [`tables`] describes each kind
//! once, and every format is made of that description.

pub mod ask;
pub mod distill;
pub mod elf_core;
mod error;
pub mod export;
pub mod format;
pub mod import;
mod located;
pub mod missing;
pub mod order;
pub mod os_name;
pub mod osi_test;
mod place;
mod profiles;
mod registers;
mod session;
mod shipped;
pub mod symbol_path;
pub mod tables;

pub use error::Error;
pub use located::{AttachError, Last, Located};
pub use profiles::{ProfileSource, known, profile_of_pdb};
pub use session::{Options, Session, Shared, open_snapshot};

pub use {
    osier_linux, osier_memory, osier_osi, osier_profile, osier_snapshot, osier_symbols,
    osier_windows,
};
