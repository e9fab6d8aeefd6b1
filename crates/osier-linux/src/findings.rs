//! What does not fit, by rules: `docs/findings.md` describes each.
//!
//! A rule has a name, says what would be normal and what else could explain what it finds, and looks at one thing.
//! What it cannot read is an ending and no finding.

pub(crate) mod code;
mod context;
mod credentials;
mod entries;
mod executable;
mod hidden;
pub(crate) mod hooks;
pub(crate) mod netfilter;
pub(crate) mod operations;
mod preload;
mod programs;
mod settings;

use std::ops::ControlFlow;

use osier_osi::{Finding, WalkEnds, rules};

use crate::Linux;
use context::{Context, Found, Rule};

/// Every rule, what is worst first.
static RULES: &[&Rule] = &[
    &hidden::PROCESS,
    &hidden::MODULE,
    &entries::SYSTEM_CALLS,
    &entries::INTERRUPTS,
    &code::CODE,
    &operations::OPERATIONS,
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

pub(crate) fn findings(linux: &Linux, row: &mut dyn FnMut(Finding) -> ControlFlow<()>) -> WalkEnds {
    let context = Context::new(linux);
    let rules = RULES.iter().map(|rule| {
        let look = |found: &mut Found| (rule.look)(&context, found);
        (rule.about, look)
    });
    rules::apply(rules, || context.ends(), row)
}
