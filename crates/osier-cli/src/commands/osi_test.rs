//! `osier osi-test`: what PANDA's plugin prints.

use osier::osi_test::osi_test;

use super::open;
use crate::args::{OutputArgs, SnapshotArgs};
use crate::failure::Outcome;

pub(super) fn run(args: &SnapshotArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (session, mut out) = open(args, output)?;
    let ends = osi_test(&*session.osi, session.pointer_bytes(), out.writer())?;
    Ok(out.conclude(&ends)?)
}
