//! A thousand snapshots in one run, read by the programs that people read Parquet with.
//!
//! The small test runs with all others. The large one is for a release build:
//! `cargo xtask fleet` runs it and shows what it measured.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and what it measured is printed"
)]

#[cfg(unix)]
#[path = "thousand/fleet.rs"]
mod fleet;

#[cfg(unix)]
mod needs {
    use osier_testkit::need::{self, Need};

    /// Python, as `OSIER_PYTHON` names it.
    pub(crate) fn python() -> Need {
        match std::env::var("OSIER_PYTHON") {
            Ok(python) => need::program(&python),
            Err(_) => need::program("python3"),
        }
    }

    /// A release build, which `cargo xtask fleet` makes, and all full snapshots.
    pub(crate) fn much() -> Need {
        let snapshots = super::fleet::FULL.map(|(archive, _)| need::snapshot(archive));
        let asked = need::variable("OSIER_FLEET", "cargo xtask fleet");
        snapshots.into_iter().fold(asked.and(python()), Need::and)
    }
}

#[cfg(unix)]
osier_testkit::trials! {
    needs::python() => fleet::other_programs_read_the_tables_and_find_the_rows;
    needs::much() => fleet::a_thousand_snapshots;
}

#[cfg(not(unix))]
fn main() {}
