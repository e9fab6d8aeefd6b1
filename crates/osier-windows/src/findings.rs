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

use osier_osi::{Finding, WalkEnd, WalkEnds, rules};

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

/// What each rule is called, in their order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.about.name)
}

pub(crate) fn findings(
    windows: &Windows,
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    apply(windows, RULES, row)
}

/// What the rules of these names find.
pub(crate) fn of(
    windows: &Windows,
    wanted: &[&str],
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    let wanted = |rule: &&&Rule| wanted.contains(&rule.about.name);
    let wanted: Vec<&Rule> = RULES.iter().filter(wanted).copied().collect();
    if wanted.is_empty() {
        return WalkEnds::one(rules::WALK, WalkEnd::NotAnswered);
    }
    apply(windows, &wanted, row)
}

fn apply(
    windows: &Windows,
    rules: &[&Rule],
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    let context = Context::new(windows);
    let rules = rules.iter().map(|rule| {
        let look = |found: &mut Found| (rule.look)(&context, found);
        (rule.about, look)
    });
    rules::apply(rules, || context.ends(), row)
}
