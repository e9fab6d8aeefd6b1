#![doc = include_str!("../README.md")]
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

mod address;
mod answer;
#[cfg(feature = "arrow")]
mod arrow;
mod budget;
mod called;
#[cfg(feature = "arrow")]
mod columns;
mod deadline;
mod file_format;
mod fleet;
mod held;
mod identify;
mod inputs;
mod journal;
#[cfg(feature = "arrow")]
mod labels;
mod manifest;
#[cfg(feature = "arrow")]
mod manifest_columns;
mod merge;
mod opened;
mod options;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod parquet_rows;
mod part;
mod root;
mod rows;
mod run;
mod shard;
mod summary;
mod table;

#[cfg(feature = "arrow")]
pub use arrow::{
    Answered, Gathering, answers, answers_of, is_address, manifest_schema, schema_of, table_schema,
};
pub use identify::id;
pub use inputs::{Input, gather, gather_below, name_of};
pub use manifest::Status;
pub use merge::{MergeError, merge};
pub use options::{Asking, Probe, RunOptions, TableFormat};
pub use run::run;
pub use shard::Shard;
pub use summary::{Event, RunError, Summary};
