#![doc = include_str!("../README.md")]
//!
//! ```text
//!   SQL ──► Query: planned over tables without rows, so its tables and columns are known
//!             │
//!             ▼
//!   osier_fleet::answers asks the snapshots for those tables; their columns are held
//!             │
//!             ▼
//!   the plan is carried out ──► Answer
//! ```
//!
//! `Query::new` is the place to start. Everything is in the feature `engine`, which brings in
//! DataFusion. A query reads the tables and nothing else: statements that define or change something
//! are refused, no file is opened or written for it, and nothing is fetched.

#[cfg(feature = "engine")]
mod answer;
#[cfg(feature = "engine")]
mod error;
#[cfg(feature = "engine")]
mod query;
#[cfg(feature = "engine")]
mod tables;

#[cfg(feature = "engine")]
pub use answer::{Answer, OutColumn};
#[cfg(feature = "engine")]
pub use error::SqlError;
#[cfg(feature = "engine")]
pub use query::Query;
