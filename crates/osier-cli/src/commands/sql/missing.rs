//! `osier sql` where it is not built in.

use crate::args::{OutputArgs, SqlArgs};
use crate::outcome::Outcome;

pub(super) fn run(_: &SqlArgs, _: &OutputArgs) -> anyhow::Result<Outcome> {
    anyhow::bail!(
        "this osier has no SQL in it; build one that has: \
         cargo build --release -p osier-cli --features sql"
    )
}
