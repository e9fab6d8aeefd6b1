#![doc = include_str!("../README.md")]
//!
//! [`View`] takes everything that one snapshot says; [`diff()`] lays two views side by side and tells
//! what happened in between as [`Event`]s. [`timeline`] follows processes
//! through a series of views. [`golden`] holds the rows of one snapshot against files
//! that were kept beside it.

mod diff;
mod event;
pub mod golden;
pub mod timeline;
mod view;
mod xml;

pub use diff::{Premise, Turn, diff, premises};
pub use event::{Event, Kind, event_table};
pub use view::{Answer, Belongings, Boot, View};
