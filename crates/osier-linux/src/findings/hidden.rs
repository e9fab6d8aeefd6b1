//! Processes, threads and modules that the kernel's lists do not lead to.

use std::collections::HashSet;

use osier_osi::{ScanSource, Severity};

use super::context::{About, Context, Evidence, Found, Rule, Says, closed, lists_modules, subject};
use crate::process;
use crate::scan::Met;

/// `TASK_NEW`: a task that is being made. Linux commit 7dc603c9028e ("sched/fair: Fix PELT integrity for new tasks"),
/// v4.8.
const TASK_NEW: u64 = 0x800;
/// The states of a module, `MODULE_STATE_…`.
const STATES: [&str; 4] = ["live", "coming", "going", "unformed"];

/// A task that lives and that a list lacks.
pub(super) static PROCESS: Rule = Rule {
    about: About {
        name: "process.hidden",
        normal: "A task that lives is on the list of processes or of its process's threads, and has a number in the pid table.",
        otherwise: "A task that is being made or taken apart as the machine stops, or a snapshot taken while the machine ran.",
    },
    look: processes,
};

fn processes(context: &Context<'_>, found: &mut Found) {
    let linux = context.linux;
    let space = &linux.guest.space;
    let layout = &linux.tasks;
    let (all, ends) = context.tasks();
    let list_is_whole = closed(ends, "tasks");
    let threads_are_whole = closed(ends, "threads");
    let numbers = |met: &Met| layout.pid.read(space, met.task).ok();
    let linked: HashSet<i64> = all
        .iter()
        .filter(|met| met.is_linked())
        .filter_map(numbers)
        .collect();
    for met in all {
        let task = met.task;
        let new = layout.state.and_then(|field| field.read(space, task).ok()) == Some(TASK_NEW);
        if met.free == Ok(true) || new || process::has_exited(linux, task) {
            continue;
        }
        let leads = layout.group_leader.read(space, task) == Ok(task);
        // A fork begins as a copy of its parent, number and all.
        let copy = || numbers(met).is_some_and(|number| linked.contains(&number));
        let off_list = if leads {
            list_is_whole
                && !met.found_by.has(ScanSource::List)
                && !met.found_by.has(ScanSource::RunQueue)
        } else {
            threads_are_whole && !met.is_linked()
        };
        let off_list = off_list && !copy_of(met, copy);
        let no_number = met.lacks_number;
        if !off_list && !no_number {
            continue;
        }
        let pid = process::pid(linux, task);
        let name = process::name(linux, task);
        let what = if leads { "process" } else { "thread" };
        let missing = match (off_list, no_number) {
            (true, true) => "neither the list of processes nor the pid table has it",
            (true, false) if leads => "the list of processes lacks it",
            (true, false) => "the list of its process's threads lacks it",
            _ => "the pid table lacks it",
        };
        let links = if leads {
            Some(layout.tasks)
        } else {
            layout.thread_node
        };
        let mut evidence =
            Evidence::default().and("task_struct", task, format!("found by {}", met.found_by));
        if let Some(node) = links.map(|field| field.place(task)) {
            let next = space
                .read_pointer(node)
                .map_or("unreadable".to_owned(), |next| next.to_string());
            evidence = evidence.and("its link", node, format!("leads to {next}"));
        }
        found.process(
            &pid,
            Says {
                severity: Severity::High,
                subject: subject(what, &pid, &name),
                text: format!("A {what} lives, and {missing}."),
                evidence,
                address: task,
            },
        );
    }
}

/// Whether what no number leads to is a copy of another task.
fn copy_of(met: &Met, copy: impl Fn() -> bool) -> bool {
    !met.found_by.has(ScanSource::PidTable) && !met.found_by.has(ScanSource::Children) && copy()
}

/// A module that works and that the list lacks.
pub(super) static MODULE: Rule = Rule {
    about: About {
        name: "module.hidden",
        normal: "A module that works is on the list of modules, in the module tree and in /sys/module.",
        otherwise: "A module that is being loaded or removed as the machine stops.",
    },
    look: modules,
};

fn modules(context: &Context<'_>, found: &mut Found) {
    let linux = context.linux;
    let guest = &linux.guest;
    let (all, ends) = context.modules();
    if !lists_modules(ends) {
        found.lost("the list of modules", None);
        return;
    }
    for (modd, by) in all.iter().filter(|(_, by)| !by.has(ScanSource::List)) {
        let state = linux.modules.state(guest, *modd);
        let live = state == Some(0);
        let word = state.and_then(|state| STATES.get(usize::try_from(state).ok()?));
        let name = linux.modules.named(guest, *modd);
        let evidence = Evidence::default()
            .and("struct module", *modd, format!("found by {by}"))
            .and("its state", *modd, word.unwrap_or(&"unknown"));
        found.kernel(Says {
            severity: if live { Severity::High } else { Severity::Note },
            subject: subject(
                "module",
                &Err(osier_osi::Absent::not_in_this_kernel()),
                &name,
            ),
            text: "A module lies in the kernel's memory, and the list of modules lacks it."
                .to_owned(),
            evidence,
            address: *modd,
        });
    }
}
