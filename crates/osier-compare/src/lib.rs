//! What differs between snapshots, and between a snapshot and its golden rows.
//!
//! [`golden`] holds the rows of one snapshot against files that were kept beside it.

pub mod golden;
