//! What does not fit, by rules: `docs/findings.md` describes each.
//!
//! A rule has a name, says what would be normal and what else could explain what it finds, and looks at one thing.
//! What it cannot read is an ending and no finding.

pub(crate) mod code;
mod context;
mod credentials;
pub(crate) mod entries;
mod executable;
mod hidden;
pub(crate) mod hooks;
pub(crate) mod netfilter;
pub(crate) mod operations;
mod programs;
mod settings;

use std::collections::HashSet;
use std::ops::ControlFlow;

use osier_osi::{Finding, WalkEnds};

use crate::Linux;
use context::{Context, Found, Rule, WALK};

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
    &programs::PRELOAD,
    &programs::PACKETS,
    &programs::TRACED,
    &settings::HELPERS,
    &settings::TAINT,
];

pub(crate) fn findings(linux: &Linux, row: &mut dyn FnMut(Finding) -> ControlFlow<()>) -> WalkEnds {
    let context = Context::new(linux);
    let mut ends = WalkEnds::default();
    for rule in RULES {
        let mut found = Found::of(rule.about);
        (rule.look)(&context, &mut found);
        tell_once(&mut ends, found.ends);
        for finding in found.rows {
            if row(finding).is_break() {
                return ends.stopped(WALK);
            }
        }
    }
    tell_once(&mut ends, context.ends());
    ends
}

/// Adds endings; what several rules met is told once.
fn tell_once(ends: &mut WalkEnds, more: WalkEnds) {
    let known: HashSet<_> = ends
        .0
        .iter()
        .map(|(walk, end)| (*walk, end.to_string()))
        .collect();
    for (walk, end) in more.0 {
        if !known.contains(&(walk, end.to_string())) {
            ends.add(walk, end);
        }
    }
}
