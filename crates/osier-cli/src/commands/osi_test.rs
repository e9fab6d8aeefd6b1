//! `osier osi-test`: what PANDA's plugin prints.

use osier::osi_test::{Sentinel, osi_test};

use super::open;
use crate::args::{OsiTestArgs, OutputArgs};
use crate::failure::Outcome;

pub(super) fn run(args: &OsiTestArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (session, mut out) = open(&args.snapshot, output)?;
    let sentinel = if args.no_sentinel {
        Sentinel::LeftOut
    } else {
        Sentinel::Shown
    };
    let printed = osi_test(
        &*session.osi,
        session.pointer_bytes(),
        sentinel,
        out.writer(),
    )?;
    out.lose(printed.lost);
    Ok(out.conclude(&printed.ends)?)
}
