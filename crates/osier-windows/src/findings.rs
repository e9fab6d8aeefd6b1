//! What does not fit, by rules: `docs/findings.md` describes each.
//!
//! A rule has a name, says what would be normal and what else could explain what it finds, and looks at one thing.
//! What it cannot read is an ending and no finding.

mod code;
mod context;
mod hidden;
mod moved;
mod programs;

use std::ops::ControlFlow;

use osier_osi::{Finding, WalkEnds};

use crate::windows::Windows;
use context::{Context, Found, Rule, WALK};

/// Every rule, what is worst first.
static RULES: &[&Rule] = &[
    &hidden::PROCESS,
    &hidden::MODULE,
    &code::SYSTEM_CALLS,
    &moved::MOVED,
    &code::INTERRUPTS,
    &code::DRIVERS,
    &programs::REPLACED,
    &programs::TOKENS,
    &programs::MEMORY,
];

pub(crate) fn findings(
    windows: &Windows,
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    let context = Context::new(windows);
    let mut ends = WalkEnds::default();
    for rule in RULES {
        let mut found = Found::of(rule.about);
        (rule.look)(&context, &mut found);
        ends.join(found.ends);
        for finding in found.rows {
            if row(finding).is_break() {
                return ends.stopped(WALK);
            }
        }
    }
    ends.join(context.ends());
    ends
}
