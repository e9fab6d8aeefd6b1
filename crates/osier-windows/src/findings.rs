//! What does not fit, by rules: `docs/findings.md` describes each.
//!
//! A rule has a name, says what would be normal and what else could explain what it finds, and looks at one thing.
//! What it cannot read is an ending and no finding.

mod code;
mod context;
mod hidden;
mod moved;
mod programs;

use osier_memory::Each;
use osier_osi::{Finding, WalkEnds, rules};

use crate::windows::Windows;
use context::{Context, Found, Look, Rule};

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
pub(crate) fn names() -> Vec<&'static str> {
    rules::names(RULES)
}

pub(crate) fn findings(windows: &Windows, row: Each<'_, Finding>) -> WalkEnds {
    apply(windows, RULES, row)
}

/// What the rules of these names find.
pub(crate) fn of(windows: &Windows, names: &[&str], row: Each<'_, Finding>) -> WalkEnds {
    match rules::wanted(RULES, names) {
        Ok(wanted) => apply(windows, &wanted, row),
        Err(ends) => ends,
    }
}

fn apply(windows: &Windows, rules: &[&Rule], row: Each<'_, Finding>) -> WalkEnds {
    let context = Context::new(windows);
    let look = |look: &Look, found: &mut Found| look(&context, found);
    rules::apply(rules, look, || context.ends(), row)
}
