//! The rows of toy kernels in every paging mode, against the table that they were made from.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "these tests ask one question at a time")]
mod toys;

use std::ops::ControlFlow;

use osier_linux::Linux;
use osier_memory::VirtAddr;
use osier_osi::{
    FoundBy, MappingKind, Osi, Process, ProcessExtra, ProcessName, ProcessSource, Seen,
    SeenExt as _, Thread, WalkEnds,
};
use osier_testkit::{TOYS, ToyKernel, ToyState, ToyTask};

fn each(check: impl Fn(&ToyKernel, &Linux)) {
    for (mode, era) in TOYS {
        let toy = ToyKernel::build(mode, era);
        let linux = toys::attach(&toy, toy.machine.memory.clone())
            .unwrap_or_else(|error| panic!("{mode:?} {era:?}: {error}"));
        check(&toy, &linux);
    }
}

fn complete(toy: &ToyKernel, ends: &WalkEnds) {
    assert!(!ends.0.is_empty(), "a walk ends somehow");
    assert!(ends.is_complete(), "{:?}: {ends:x?}", toy.mode);
}

fn not_applicable<T: std::fmt::Debug>(seen: &Seen<T>, why: &str) {
    let absent = seen.absence().unwrap_or_else(|| panic!("{why}: {seen:?}"));
    assert!(!absent.is_loss(), "{why}: {absent:?}");
}

fn letter(state: ToyState) -> char {
    match state {
        ToyState::Running => 'R',
        ToyState::Sleeping => 'S',
        ToyState::Stopped => 'T',
        ToyState::Zombie => 'Z',
        ToyState::Idle => 'I',
    }
}

fn same_process(task: &ToyTask, row: &Process) {
    let name = String::from_utf8(task.name.escape_ascii().collect()).unwrap();
    assert_eq!(row.taskd, task.taskd, "{name}");
    assert_eq!(row.pid, Ok(task.pid));
    assert_eq!(row.ppid, Ok(task.ppid), "{name}");
    assert_eq!(row.name, Ok(task.name.clone()));
    assert_eq!(row.create_time, Ok(task.start), "{name}");
    let boot = 1_767_225_600_i64 * 1_000_000_000;
    assert_eq!(
        row.start,
        Ok(boot + i64::try_from(task.start).unwrap()),
        "{name}"
    );
    let ProcessExtra::Linux(extra) = &row.extra else {
        panic!("{row:?}")
    };
    assert_eq!(extra.uid, Ok(task.uid), "{name}");
    assert_eq!(extra.gid, Ok(task.gid), "{name}");
    assert_eq!(
        extra.state.get().map(|s| s.0),
        Some(letter(task.state)),
        "{name}"
    );
    assert_eq!(
        extra.threads,
        Ok(u32::try_from(task.threads.len()).unwrap()),
        "{name}"
    );
    assert_eq!(extra.kernel_thread, Ok(task.kernel), "{name}");
    if let Some((root, pgd)) = task.root {
        assert_eq!(row.asid, Ok(root), "{name}");
        assert_eq!(row.pgd, Ok(pgd), "{name}");
        assert_eq!(extra.exe, Ok(task.exe.clone()), "{name}");
        assert_eq!(extra.cmdline, Ok(task.cmdline.clone()), "{name}");
    } else {
        not_applicable(&row.asid, &name);
        not_applicable(&row.pgd, &name);
        not_applicable(&extra.exe, &name);
    }
}

#[test]
fn processes() {
    each(|toy, linux| {
        let mut rows = Vec::new();
        let ends = linux.processes(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        complete(toy, &ends);
        assert_eq!(rows.len(), toy.tasks.len(), "{:?}", toy.mode);
        for (task, row) in toy.tasks.iter().zip(&rows) {
            same_process(task, row);
            let mut alone = linux.process(row.taskd).get().unwrap().clone();
            assert_eq!(alone.found_by, FoundBy::source(ProcessSource::List));
            assert_eq!(
                row.found_by,
                FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable)
            );
            alone.found_by = FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable);
            assert_eq!(alone, *row);
        }
        let mut chosen = Vec::new();
        let second = &rows[1];
        let mut shown = Vec::new();
        let wanted = &mut |process: &ProcessName| {
            shown.push((process.taskd, process.name.clone()));
            process.pid == second.pid
        };
        let ends = linux.processes_of(wanted, &mut |row| {
            chosen.push(row);
            ControlFlow::Continue(())
        });
        complete(toy, &ends);
        assert_eq!(chosen.as_slice(), std::slice::from_ref(second));
        let all: Vec<_> = rows
            .iter()
            .map(|row| (row.taskd, row.name.clone()))
            .collect();
        assert_eq!(shown, all);
    });
}

fn threads_of(toy: &ToyKernel, linux: &Linux, taskd: VirtAddr) -> Vec<Thread> {
    let mut rows = Vec::new();
    let ends = linux.threads(taskd, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    complete(toy, &ends);
    rows
}

#[test]
fn threads() {
    each(|toy, linux| {
        for task in &toy.tasks {
            let rows = threads_of(toy, linux, task.taskd);
            let found: Vec<_> = rows
                .iter()
                .map(|row| (row.tid.value().unwrap(), row.name.get().unwrap().clone()))
                .collect();
            let mut expected = task.threads.clone();
            if task.pid == 0 {
                expected.push((0, b"swapper/1".to_vec())); // the second processor's
            }
            assert_eq!(found, expected, "{:?} {}", toy.mode, task.pid);
            assert!(rows.iter().all(|row| row.pid == Ok(task.pid)));
        }
    });
}

#[test]
fn mappings() {
    each(|toy, linux| {
        for task in &toy.tasks {
            let mut rows = Vec::new();
            let ends = linux.mappings(task.taskd, &mut |row| {
                rows.push(row);
                ControlFlow::Continue(())
            });
            complete(toy, &ends);
            let what = format!("{:?} pid {}", toy.mode, task.pid);
            assert_eq!(rows.len(), task.mappings.len(), "{what}");
            for (mapping, row) in task.mappings.iter().zip(&rows) {
                assert_eq!(row.modd, mapping.vma, "{what}");
                assert_eq!(row.base, Ok(VirtAddr(mapping.start)), "{what}");
                assert_eq!(row.size, Ok(mapping.end - mapping.start), "{what}");
                assert_eq!(row.flags, Ok(mapping.flags), "{what}");
                if mapping.name.is_empty() {
                    not_applicable(&row.name, &what);
                } else {
                    assert_eq!(row.name, Ok(mapping.name.clone()), "{what}");
                }
                match &mapping.file {
                    Some(file) => {
                        assert_eq!(row.file, Ok(file.clone()), "{what}");
                        assert_eq!(row.offset, Ok(mapping.offset), "{what}");
                    }
                    None => not_applicable(&row.file, &what),
                }
                let kind = match (&mapping.name[..], &mapping.file) {
                    (_, Some(_)) => MappingKind::File,
                    (b"[heap]", _) => MappingKind::Heap,
                    (b"[stack]", _) => MappingKind::Stack,
                    _ => MappingKind::Unknown,
                };
                assert_eq!(row.kind, Ok(kind), "{what}");
            }
        }
    });
}

#[test]
fn modules() {
    each(|toy, linux| {
        let mut rows = Vec::new();
        let ends = linux.modules(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        complete(toy, &ends);
        assert_eq!(rows.len(), toy.modules.len());
        for (module, row) in toy.modules.iter().zip(&rows) {
            assert_eq!(row.modd, module.modd);
            assert_eq!(row.name, Ok(module.name.clone()));
            assert_eq!(row.base, Ok(VirtAddr(module.base)));
            assert_eq!(row.size, Ok(module.size));
        }
    });
}

#[test]
fn current() {
    each(|toy, linux| {
        let mut rows = Vec::new();
        let ends = linux.current(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        complete(toy, &ends);
        let pids: Vec<_> = rows
            .iter()
            .map(|row| row.thread.get().unwrap().pid.value().unwrap())
            .collect();
        assert_eq!(pids, toy.current);
        let names: Vec<_> = rows
            .iter()
            .map(|row| row.thread.get().unwrap().name.get().unwrap().clone())
            .collect();
        assert_eq!(names, [b"sh tab\t\xff".to_vec(), b"swapper/1".to_vec()]);
    });
}
