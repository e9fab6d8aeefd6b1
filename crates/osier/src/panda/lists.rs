//! PANDA's lists: which rows it has, in which order, and what it calls them.

use std::fmt;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Mapping, Module, Osi, Process, ProcessExtra, Seen, SeenExt as _, WalkEnds};
use osier_profile::OsKind;

use crate::ask::Listed;
use crate::order::{Order, arrange};

/// The row that PANDA makes of the head of Windows's list of kernel modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// As PANDA prints it.
    Shown,
    /// Left out.
    LeftOut,
}

/// How complete PANDA's answers are, which have no place to say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// How the walks ended.
    pub ends: WalkEnds,
    /// Number of values that the answers should show and that were lost on the way.
    pub lost: usize,
    /// Where: whose value, which one, and why; the first hundred.
    pub places: Vec<String>,
}

/// Places that are kept.
const PLACES: usize = 100;

impl Printed {
    /// Notes whether a value that is shown was lost: `what` of `whose`, such as `file` of `mapping 0x400000`.
    pub fn note<T>(&mut self, whose: &dyn fmt::Display, what: &str, value: &Seen<T>) {
        if let Some(absent) = value.absence().filter(|absent| absent.is_loss()) {
            self.lost = self.lost.saturating_add(1);
            if self.places.len() < PLACES {
                self.places.push(format!("{whose}: {what}: {absent}"));
            }
        }
    }
}

/// A mapping as PANDA names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The mapping.
    pub mapping: Mapping,
    /// PANDA's name: a file's base name, `[heap]`, `[stack]` or `[???]`; `None` where PANDA has NULL.
    pub name: Option<Vec<u8>>,
    /// PANDA's file; `None` where it has NULL.
    pub file: Option<Vec<u8>>,
}

/// The processes that PANDA lists, in its order. `current` is the `taskd` of the one that processor 0
/// runs.
pub fn processes(osi: &dyn Osi, current: Option<VirtAddr>, noted: &mut Printed) -> Vec<Process> {
    let mut processes = Vec::new();
    let listed = Listed::of(osi, &mut |row, _| {
        processes.push(row.clone());
        ControlFlow::Continue(())
    });
    noted.ends.join(listed.ends());
    // PANDA walks the list alone.
    processes.retain(|row| !row.found_by.is_off_the_list());
    if let Some(panda) = osi.panda() {
        let told = processes.into_iter().map(|row| panda.panda_process(row));
        processes = told.collect();
    }
    if osi.kernel().os == OsKind::Windows {
        // libosi leaves out what has no PEB, System excepted: processes that exited, and those
        // without a program.
        let system = processes.first().map(|process| process.taskd);
        processes.retain(|row| has_peb(row) || Some(row.taskd) == system);
    }
    arrange(&mut processes, Order::Panda, current);
    processes
}

/// The mappings that PANDA lists of the process at `taskd`, in its order; none of a system that PANDA
/// does not read.
pub fn libraries(osi: &dyn Osi, taskd: VirtAddr, noted: &mut Printed) -> Vec<Library> {
    let Some(panda) = osi.panda() else {
        return Vec::new();
    };
    let mut mappings = Vec::new();
    noted.ends.join(panda.panda_mappings(taskd, &mut |row| {
        // The gate page is no mapping of the process's own, and PANDA lists those only.
        if !row.modd.is_null() {
            mappings.push(row);
        }
        ControlFlow::Continue(())
    }));
    if mappings.is_empty() {
        return Vec::new();
    }
    let heap = panda.heap_bounds(taskd);
    noted.note(&format_args!("process {taskd}"), "heap", &heap);
    let heap = heap.value();
    let windows = osi.kernel().os == OsKind::Windows;
    let named = mappings.into_iter().map(|mapping| {
        let whose = match &mapping.base {
            Ok(base) => format!("mapping {base}"),
            Err(_) => format!("mapping of modd {}", mapping.modd),
        };
        noted.note(&whose, "base", &mapping.base);
        noted.note(&whose, "size", &mapping.size);
        let (name, file) = if windows {
            noted.note(&whose, "name", &mapping.name);
            noted.note(&whose, "file", &mapping.file);
            // What is paged out is an empty string.
            let or_empty = |name: &Seen<Vec<u8>>| Some(name.get().cloned().unwrap_or_default());
            (or_empty(&mapping.name), or_empty(&mapping.file))
        } else {
            let file = panda.panda_file(mapping.modd);
            noted.note(&whose, "file within its file system", &file);
            let file = file.ok();
            (linux_name(&mapping, file.as_deref(), heap), file)
        };
        Library {
            mapping,
            name,
            file,
        }
    });
    named.collect()
}

/// The kernel modules that PANDA lists: none of Linux, and of Windows the head of their list as the last
/// of them.
pub fn modules(osi: &dyn Osi, sentinel: Sentinel, noted: &mut Printed) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let windows = osi.kernel().os == OsKind::Windows;
    let Some(panda) = osi.panda().filter(|_| windows) else {
        return modules;
    };
    let ends = osi.modules(&mut |row| {
        let whose = format!("module {}", row.modd);
        noted.note(&whose, "name", &row.name);
        noted.note(&whose, "file", &row.file);
        noted.note(&whose, "base", &row.base);
        noted.note(&whose, "size", &row.size);
        modules.push(row);
        ControlFlow::Continue(())
    });
    noted.ends.join(ends);
    if sentinel == Sentinel::Shown
        && let Ok(mut last) = panda.panda_last_module()
    {
        // Memory after the head is read for strings, too; what is not one is an empty one.
        for text in [&mut last.name, &mut last.file] {
            if text.get().is_none() {
                *text = Ok(Vec::new());
            }
        }
        modules.push(last);
    }
    modules
}

/// The process that PANDA calls current: processor 0's.
pub fn current_process(osi: &dyn Osi) -> Option<Process> {
    let mut found = None;
    // How the walk ended does not matter: without a current process nothing is rotated.
    let _ = osi.current(&mut |row| {
        found = row.process.get().cloned();
        ControlFlow::Break(())
    });
    found
}

fn has_peb(process: &Process) -> bool {
    match &process.extra {
        ProcessExtra::Windows(windows) => windows.peb.get().is_some(),
        ProcessExtra::Linux(_) | ProcessExtra::Other => false,
    }
}

/// A mapping's name as `osi_linux` gives it: `[heap]` only when the mapping holds the whole heap, and
/// `[???]` for everything else that has no file.
fn linux_name(
    row: &Mapping,
    file: Option<&[u8]>,
    heap: Option<(VirtAddr, VirtAddr)>,
) -> Option<Vec<u8>> {
    if let Some(file) = file {
        let (_, name) = split_last(file)?;
        return Some(name.to_vec());
    }
    let start = row.base.value().unwrap_or_default();
    let end = start.plus(row.size.value().unwrap_or(0));
    let holds_heap = heap.is_some_and(|(first, brk)| start <= first && end >= brk);
    let name: &[u8] = if holds_heap {
        b"[heap]"
    } else if row.name.get().is_some_and(|name| name == b"[stack]") {
        b"[stack]"
    } else {
        b"[???]"
    };
    Some(name.to_vec())
}

/// What stands before and after the last slash.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|&byte| byte == b'/')?;
    Some((path.get(..at)?, path.get(at.checked_add(1)?..)?))
}
