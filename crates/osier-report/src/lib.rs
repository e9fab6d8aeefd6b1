#![doc = include_str!("../README.md")]
//!
//! ```text
//!   subjects ──► each guest: lists ──► spool ─┐
//!                   │                         ├──► page: head, findings, completeness, lists
//!                   └──► heads, tallies ──────┘
//! ```
//!
//! [`write()`] is the place to start. What is told first, findings and how complete all is, is known last: lists go to a
//! scratch file as they come, and are put behind the heads in the end. So no more than one list is held at a time, and of
//! each no more than [`Bounds`] say.

mod bounds;
mod built;
mod findings;
mod guest;
mod links;
mod list;
mod mounts;
mod page;
mod processes;
mod section;
mod series;
mod tally;
mod write;

pub use bounds::Bounds;
pub use tally::{Failed, Told};
pub use write::{Error, Report, Subject, names, write};
