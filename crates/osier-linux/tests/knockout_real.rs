//! Nothing of a real machine is lost silently. Of its touched pages some are hidden;
//! `OSIER_KNOCKOUT=1` hides each in turn, which takes a while.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod knock_out;
#[allow(dead_code, reason = "other tests ask more of real machines")]
mod real;
#[allow(dead_code, reason = "other tests build toys")]
mod toys;

use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, &["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"]) =>
        no_page_is_missed_in_silence;
}

fn no_page_is_missed_in_silence(real: &Real) {
    let (machine, located, profile) = real::parts(&real.path.join("memory.raw"));
    // One in seven shows what a change broke.
    let whole = std::env::var_os("OSIER_KNOCKOUT").is_some();
    let every = if whole { 1 } else { 7 };
    knock_out::knock_out_pages(&machine, &located, &profile, every);
}
