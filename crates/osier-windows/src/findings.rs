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

use osier_osi::{Finding, WalkEnds, rules};

use crate::windows::Windows;
use context::{Context, Found, Rule};

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
    let rules = RULES.iter().map(|rule| {
        let look = |found: &mut Found| (rule.look)(&context, found);
        (rule.about, look)
    });
    rules::apply(rules, || context.ends(), row)
}
