//! `osier run` on a host that is short of disk, or keeps a file to itself.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[cfg(unix)]
#[path = "run/host.rs"]
mod host;
#[cfg(unix)]
#[path = "run/mod.rs"]
mod runs;

#[cfg(unix)]
osier_testkit::trials! {
    osier_testkit::need::program("mount") =>
        host::a_full_disk_costs_the_rows_that_do_not_fit_and_no_others,
        host::a_full_disk_costs_the_row_groups_that_do_not_fit_and_no_others;
    osier_testkit::need::program("setpriv") => host::a_file_that_cannot_be_read_is_one_failure;
}

#[cfg(not(unix))]
fn main() {}
