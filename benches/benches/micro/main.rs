//! What the parts cost: `cargo bench -p osier-benches`.
//!
//! The walks ask a golden snapshot, which every clone has. Symbols are read out of a real snapshot
//! and of a `vmlinux` with DWARF that `OSIER_VMLINUX` names; where these are absent, that is said.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a bench fails by panicking, and says what it leaves out"
)]

mod kdump;
mod symbols;
mod walks;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    walks::all(&mut criterion);
    symbols::all(&mut criterion);
    kdump::all(&mut criterion);
    criterion.final_summary();
}
