//! Proof that nothing is lost silently: for each page that the answers rest on, the same questions
//! with that page hidden. Rows are a subset, and whatever is missing or changed comes with an
//! absence or an ending that names the page.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod answers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use osier_memory::{AddressSpace, Cause, Fault, PhysAddr, Recorder, Store, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds, Why};
use osier_profile::Profile;
use osier_testkit::Knockout;
use osier_testkit::windows::layouts;
use osier_windows::{KnownKernel, locate, windows_policy};

use answers::{Answers, attach, machine};

/// Whether `fault` is about the page `hidden`, seen from any of the address spaces.
fn names(spaces: &[AddressSpace], fault: &Fault, hidden: PhysAddr) -> bool {
    if let Some(pa) = fault.pa {
        return pa.page() == hidden;
    }
    let leads = |space: &AddressSpace| space.translate(fault.va?).ok();
    spaces
        .iter()
        .filter_map(leads)
        .any(|pa| pa.page() == hidden)
}

fn ends_name(spaces: &[AddressSpace], ends: Option<&WalkEnds>, hidden: PhysAddr) -> bool {
    ends.into_iter()
        .flat_map(WalkEnds::bad)
        .any(|(_, end)| match end {
            WalkEnd::BrokenLink { fault, .. } => names(spaces, fault, hidden),
            WalkEnd::NoStart { fault, .. } => {
                fault.is_some_and(|fault| names(spaces, &fault, hidden))
            }
            _ => false,
        })
}

/// What is wrong with `after`, compared with `before`.
fn losses(
    spaces: &[AddressSpace],
    before: &Answers,
    after: &Answers,
    hidden: PhysAddr,
) -> Vec<String> {
    let mut wrong = Vec::new();
    // The hidden page held a variable that prototype entries are counted from.
    let page = format!("{:#x}", hidden.0 >> 12);
    let no_base = after.unknown.iter().any(|by| by.contains(&page));
    let new = after
        .rows
        .keys()
        .filter(|key| !before.rows.contains_key(key));
    for (table, key) in new {
        // A descriptor whose addresses are hidden is known by its own place alone.
        let nameless = table.starts_with("mapping")
            && matches!(
                after.rows[&(table.clone(), *key)]["size"],
                Err(Why::Unreadable(_))
            );
        if !nameless {
            wrong.push(format!("invented: {table} {key:#x}"));
        }
    }
    for (table, key) in &after.twice {
        wrong.push(format!("twice: {table} {key:#x}"));
    }
    for (key, fields) in &before.rows {
        let (table, at) = key;
        let excused = ends_name(spaces, after.ends.get(table), hidden);
        let Some(now) = after.rows.get(key) else {
            let nameless = after.rows.iter().any(|((other, _), fields)| {
                let size = fields.get("size");
                other == table
                    && matches!(size, Some(Err(Why::Unreadable(fault))) if names(spaces, fault, hidden))
            });
            let of_prototype = no_base && table.starts_with("page");
            if !excused && !nameless && !of_prototype {
                let ends = after.ends.get(table);
                wrong.push(format!("lost: {table} {at:#x}; ends {ends:x?}"));
            }
            continue;
        };
        for (field, value) in fields {
            let new = now.get(field);
            let fine = match new {
                Some(new) if new == value => true,
                // Nothing to have stays nothing to have; the words may know less.
                Some(Err(Why::NotApplicable(_))) if matches!(value, Err(Why::NotApplicable(_))) => {
                    true
                }
                Some(Err(Why::Unreadable(fault))) => {
                    let store = Store::Prototype;
                    let of_prototype =
                        matches!(fault.cause, Cause::Elsewhere { store: of, .. } if of == store);
                    names(spaces, fault, hidden) || no_base && of_prototype
                }
                _ if no_base && table.starts_with("mapping") => true,
                // What a mapping's row says is put together of two walks; endings tell of them.
                _ => {
                    let joint = table.starts_with("mapping");
                    excused && (joint || matches!(*field, "backing" | "found_by"))
                }
            };
            if !fine {
                wrong.push(format!(
                    "changed: {table} {at:#x} {field}: {value:x?}, now {new:x?}"
                ));
            }
        }
    }
    wrong
}

fn knock_out(profile: &Profile) {
    let written = machine(profile);
    let profile = Arc::new(profile.clone());
    let known: Vec<KnownKernel> = KnownKernel::of_profile(&profile).into_iter().collect();
    let whole = written.machine();
    let located = locate(&whole, &known).expect("the kernel is found");
    let handles: Vec<VirtAddr> = written
        .plan
        .processes
        .iter()
        .filter_map(|p| p.eprocess)
        .collect();
    let roots = written.plan.processes.iter().filter_map(|p| p.root);
    let spaces: Vec<AddressSpace> = std::iter::once(located.root)
        .chain(roots)
        .map(|root| AddressSpace::new(whole.memory.clone(), located.mode, root, windows_policy))
        .collect();
    let recorder = Arc::new(Recorder::new(whole.memory.clone()));
    let windows = attach(&whole, &located, &profile, recorder.clone()).expect("it attaches");
    let before = Answers::ask(&windows, &handles, 2);
    for (question, ends) in &before.ends {
        assert!(ends.is_complete(), "{question}: {ends:x?}");
    }
    for ((table, at), fields) in &before.rows {
        for (field, value) in fields {
            let lost = matches!(value, Err(Why::Unreadable(_) | Why::Implausible { .. }));
            assert!(!lost, "{table} {at:#x} {field}: {value:x?}");
        }
    }
    let touched = recorder.touched();
    assert!(touched.len() > 30, "only {} pages", touched.len());
    let mut wrong = Vec::new();
    let mut refused = 0;
    for hidden in &touched {
        let holed = Arc::new(Knockout::new(whole.memory.clone(), *hidden));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            match attach(&whole, &located, &profile, holed) {
                Ok(windows) => Some(Answers::ask(&windows, &handles, 2)),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    None
                }
            }
        }));
        match outcome {
            Ok(Some(after)) => {
                let losses = losses(&spaces, &before, &after, *hidden);
                wrong.extend(losses.into_iter().map(|what| format!("{hidden}: {what}")));
            }
            Ok(None) => refused += 1,
            Err(_) => wrong.push(format!("{hidden}: panic")),
        }
    }
    let shown: Vec<_> = wrong.iter().take(40).collect();
    let of = touched.len();
    assert!(
        wrong.is_empty(),
        "{:?}, {of} pages: {} losses, {shown:#?}",
        located.mode,
        wrong.len()
    );
    assert!(refused * 4 < of, "{refused} of {of} refuse");
}

#[test]
fn two_levels_and_pae() {
    for layout in layouts::own() {
        knock_out(&layout.profile);
    }
}

/// The kernels of XP, with and without PAE.
#[test]
fn windows_xp() {
    for layout in layouts::xp() {
        knock_out(&layout.profile);
    }
}

/// A 64-bit layout by its GUID's beginning.
fn long_mode(guid: &str) {
    knock_out(&layouts::of(guid).profile);
}

#[test]
fn windows_7() {
    long_mode("3844dbb9");
}

#[test]
fn windows_8_1() {
    long_mode("c78ab9db");
}

#[test]
fn windows_10() {
    long_mode("5278aff8");
}

#[test]
fn windows_10_of_2016() {
    long_mode("2e6deb6c");
}

#[test]
fn windows_11() {
    long_mode("fdcba251");
}
