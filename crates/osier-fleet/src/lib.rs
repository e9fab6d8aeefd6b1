//! The fleet: one question or six, asked of every snapshot of a folder.
//!
//! ```text
//!   paths ──► inputs ──► identify: format, kernel ──► one profile for each kernel
//!                                                          │
//!        tables, manifest ◄── output (in input order) ◄── answer, in a pool of threads
//! ```
//!
//! [`run`] is the place to start. Results are written in the order of the inputs whatever the
//! number of jobs, and a run that was interrupted goes on where it was. `docs/fleet.md` says what
//! is written and what is promised of it.

mod answer;
mod budget;
#[cfg(feature = "parquet")]
mod columns;
mod fence;
mod identify;
mod inputs;
mod journal;
mod manifest;
mod options;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod run;
mod table;

pub use inputs::{Input, gather};
pub use manifest::Status;
pub use options::{Probe, RunOptions, TableFormat};
pub use run::{Event, RunError, Summary, run};
