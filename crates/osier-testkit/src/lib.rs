//! What the tests build machines with: sparse memories, genuine page tables, toy kernels, and
//! memories with a page hidden or bytes changed. Not published.
//!
//! ```text
//!   MemoryBuilder ──► TableBuilder ──► toy kernels ──► Knockout, Patched ──► a provider under test
//! ```
//!
//! Nothing here shares code with the readers it serves: entries and structures are written by the
//! manual, and read back by the crates under test.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "its callers are tests, to which a panic is the report"
)]

pub mod containers;
pub mod data;
mod memory;
pub mod need;
pub mod qemu;
mod random;
mod refusals;
mod tables;
mod toy;
pub mod trials;
pub mod truth;
pub mod windows;
mod wrappers;

pub use memory::{FlatMemory, MemoryBuilder};
pub use random::Random;
pub use refusals::Refusals;
pub use tables::{Rights, TableBuilder};
pub use toy::{Era, TOYS, ToyKernel, ToyMapping, ToyModule, ToyState, ToyTask};
pub use wrappers::{Knockout, Patched};
