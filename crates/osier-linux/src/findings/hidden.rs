//! Processes, threads and modules that the kernel's lists do not lead to.

use foldhash::HashSet;
use osier_memory::Fault;
use osier_osi::{ScanSource, Seen, Severity};

use super::context::{About, Context, Evidence, Found, Rule, Says, closed, lists_modules, subject};
use crate::process;
use crate::scan::Met;

/// `TASK_NEW`: a task that is being made. Linux commit 7dc603c9028e ("sched/fair: Fix PELT integrity for new tasks"),
/// v4.8.
const TASK_NEW: u64 = 0x800;
/// What cannot be told of a task without its number.
const COPY: &str = "whether a task is a copy of another";
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
    let number = |met: &Met| layout.pid.read(space, met.task);
    let linked = all.iter().filter(|met| met.is_linked()).map(number);
    let linked: Result<HashSet<i64>, Fault> = linked.collect();
    for met in all {
        let task = met.task;
        let leads = match layout.group_leader.read(space, task) {
            Ok(leader) => leader == task,
            Err(_) if met.found_by.has(ScanSource::List) && !met.lacks_number => continue,
            Err(fault) => {
                found.lost("which task leads its process", Some(fault));
                continue;
            }
        };
        let off_list = if leads {
            list_is_whole
                && !met.found_by.has(ScanSource::List)
                && !met.found_by.has(ScanSource::RunQueue)
        } else {
            threads_are_whole && !met.is_linked()
        };
        let no_number = met.lacks_number;
        if !off_list && !no_number {
            continue;
        }
        match lives(context, met) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(absent) => {
                found.absent("whether a task lives", &absent);
                continue;
            }
        }
        // A fork begins as a copy of its parent, number and all.
        let copy = match (number(met), &linked) {
            _ if !is_unnamed(met) => false,
            (Ok(number), Ok(linked)) => linked.contains(&number),
            (Err(fault), _) => {
                found.lost(COPY, Some(fault));
                continue;
            }
            (_, Err(fault)) => {
                found.lost(COPY, Some(*fault));
                continue;
            }
        };
        let off_list = off_list && !copy;
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
            // By one of its uses, as a process or as a thread, and not by the other.
            _ if met.found_by.has(ScanSource::PidTable) => {
                "the pid table has its number, which does not lead to it as to every task"
            }
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

/// Whether the task lives: its slot is in use, it is not being made, and has not begun to exit.
fn lives(context: &Context<'_>, met: &Met) -> Seen<bool> {
    let linux = context.linux;
    match &met.free {
        Ok(true) => return Ok(false),
        Err(absent) if absent.is_loss() => return Err(absent.clone()),
        _ => {}
    }
    if let Some(field) = linux.tasks.state
        && field.read(&linux.guest.space, met.task)? == TASK_NEW
    {
        return Ok(false);
    }
    Ok(!process::exited(linux, met.task)?)
}

/// Whether neither a number nor a parent leads to it.
fn is_unnamed(met: &Met) -> bool {
    !met.found_by.has(ScanSource::PidTable) && !met.found_by.has(ScanSource::Children)
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
        let word = match state {
            Some(Ok(state)) => usize::try_from(state)
                .ok()
                .and_then(|state| STATES.get(state)),
            Some(Err(_)) | None => None,
        };
        let live = state == Some(Ok(0));
        match state {
            Some(Err(fault)) => found.lost("the state of a module", Some(fault)),
            Some(Ok(_)) if word.is_none() => {
                found.lost("the state of a module, which is none", None);
            }
            _ => {}
        }
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
