//! A machine that is written by the published results of a real one is there to be read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "other tests look at more")]
mod look;
mod rows;

use osier_testkit::need::{self, Real};
use osier_testkit::windows::Rekall;
use osier_testkit::windows::layouts;

osier_testkit::trials! {
    need::snapshot("rekall-xp-laptop-2005-06-25") => rekall_s_xp_can_be_written;
}

fn rekall_s_xp_can_be_written(real: &Real) {
    let rekall = Rekall::read(&real.path.join("test_data"));
    for layout in layouts::xp() {
        let machine = rekall.plan(&layout.profile).write(&layout.profile);
        assert_eq!(machine.plan.processes.len(), 47);
        assert_eq!(machine.plan.drivers.len(), 127);
        rows::check_rows(layout, &machine);
    }
}
