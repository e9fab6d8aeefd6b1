//! What does not fit, by rules: `docs/findings.md` describes each.
//!
//! A rule has a name, says what would be normal and what else could explain what it finds, and looks at one thing.
//! What it cannot read is an ending and no finding.

pub(crate) mod accounted;
mod code;
mod context;
mod credentials;
mod entries;
mod executable;
pub(crate) mod formats;
mod hidden;
pub(crate) mod hooks;
mod lost;
pub(crate) mod netfilter;
mod open_files;
pub(crate) mod operations;
mod preload;
mod programs;
mod settings;
mod switches;
mod tables;
pub(crate) mod terminals;
mod traps;

use std::ops::ControlFlow;

use osier_osi::{Finding, WalkEnds, rules};

use crate::Linux;
use context::{Context, Found, Look, Rule};

/// Every rule, what is worst first.
static RULES: &[&Rule] = &[
    &hidden::PROCESS,
    &hidden::MODULE,
    &entries::SYSTEM_CALLS,
    &switches::SWITCHES,
    &entries::INTERRUPTS,
    &code::CODE,
    &operations::OPERATIONS,
    &terminals::TERMINALS,
    &formats::FORMATS,
    &hooks::FTRACE,
    &hooks::KPROBE,
    &hooks::KEYBOARD,
    &netfilter::HOOKS,
    &credentials::SHARED,
    &executable::MEMORY,
    &programs::DISGUISED,
    &programs::MEMFD,
    &programs::DELETED,
    &preload::PRELOAD,
    &programs::PACKETS,
    &programs::TRACED,
    &settings::HELPERS,
    &settings::TAINT,
];

/// What each rule is called, in their order.
pub(crate) fn names() -> Vec<&'static str> {
    rules::names(RULES)
}

pub(crate) fn findings(linux: &Linux, row: &mut dyn FnMut(Finding) -> ControlFlow<()>) -> WalkEnds {
    apply(linux, RULES, row)
}

/// What the rules of these names find.
pub(crate) fn of(
    linux: &Linux,
    names: &[&str],
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    match rules::wanted(RULES, names) {
        Ok(wanted) => apply(linux, &wanted, row),
        Err(ends) => ends,
    }
}

fn apply(
    linux: &Linux,
    rules: &[&Rule],
    row: &mut dyn FnMut(Finding) -> ControlFlow<()>,
) -> WalkEnds {
    let context = Context::new(linux);
    let look = |look: &Look, found: &mut Found| look(&context, found);
    rules::apply(rules, look, || context.ends(), row)
}
