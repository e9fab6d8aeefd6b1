//! Inference on kernels of the shapes of 2.6.32 to 4.19, and of the newest: processes, parents, names, threads and modules are the
//! truth, and what is not proved is absent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod kernel;
mod shapes;

use std::ops::ControlFlow;
use std::sync::Arc;

use kernel::{Kernel, Odd, build};
use osier_linux::{Linux, infer};
use osier_memory::Paging;
use osier_osi::{Osi as _, Process, ProcessExtra, Thread, WalkEnds};
use shapes::SHAPES;

const MODES: [Paging; 3] = [Paging::Long4, Paging::Pae, Paging::Legacy];

fn rows<T>(
    walk: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>) -> WalkEnds,
) -> (Vec<T>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = walk(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

fn attached(kernel: &Kernel) -> Result<Linux, String> {
    let profile = infer(&kernel.machine, &kernel.located, kernel.symbols.clone());
    let profile = profile.map_err(|why| why.to_string())?;
    assert!(profile.inferred());
    let linux = Linux::attach(&kernel.machine, &kernel.located, Arc::new(profile));
    Ok(linux.unwrap())
}

fn kernel_thread(process: &Process) -> Option<bool> {
    match &process.extra {
        ProcessExtra::Linux(linux) => linux.kernel_thread.as_ref().ok().copied(),
        _ => None,
    }
}

fn is_true(what: &str, kernel: &Kernel) {
    let linux = attached(kernel).unwrap_or_else(|why| panic!("{what}: {why}"));
    let (processes, ends) = rows(|row| linux.processes(row));
    assert!(ends.all_closed(), "{what}: {ends}");
    assert_eq!(processes.len(), kernel.processes.len(), "{what}");
    for (row, truth) in processes.iter().zip(&kernel.processes) {
        let what = format!("{what}: {truth:?}");
        assert_eq!(row.taskd, truth.at, "{what}");
        assert_eq!(row.pid, Ok(truth.pid), "{what}");
        assert_eq!(
            row.ppid.as_ref().ok().copied(),
            Some(if truth.ppid == 302 { 300 } else { truth.ppid }),
            "{what}"
        );
        assert_eq!(row.name.as_ref().ok(), Some(&truth.name), "{what}");
        assert_eq!(row.create_time, Ok(truth.start), "{what}");
        assert_eq!(row.asid.as_ref().ok().copied(), truth.root, "{what}");
        assert_eq!(kernel_thread(row), Some(truth.kernel), "{what}");
        let (threads, ends): (Vec<Thread>, _) = rows(|row| linux.threads(truth.at, row));
        let found: Vec<_> = threads
            .iter()
            .map(|thread| (thread.tid.clone().unwrap(), thread.name.clone().unwrap()))
            .collect();
        assert_eq!(found, truth.threads, "{what}");
        // No symbol tells of the idle tasks of other processors, and that is said.
        assert_eq!(ends.all_closed(), truth.pid != 0, "{what}: {ends}");
    }
    let (modules, ends) = rows(|row| linux.modules(row));
    assert!(ends.all_closed(), "{what}: {ends}");
    let found: Vec<_> = modules
        .iter()
        .map(|module| {
            (
                module.name.clone().unwrap(),
                module.base.clone().unwrap(),
                module.size.clone().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, kernel.modules, "{what}");
}

#[test]
fn each_shape_is_inferred_in_both_widths() {
    for shape in SHAPES {
        for mode in MODES {
            for with_data in [true, false] {
                let kernel = build(shape, mode, with_data, Odd::Nothing);
                let what = format!("{} {mode:?}, data symbols: {with_data}", shape.kernels);
                is_true(&what, &kernel);
            }
        }
    }
}

#[test]
fn a_task_may_be_overtaken_while_it_is_made() {
    for shape in SHAPES {
        for mode in MODES {
            let kernel = build(shape, mode, true, Odd::Overtaken);
            is_true(&format!("{} {mode:?}", shape.kernels), &kernel);
        }
    }
}

/// A machine whose time stamp counter the kernel does not trust (3.10.105, 4.19.304): many tasks start in one tick.
#[test]
fn a_clock_may_go_by_ticks() {
    for shape in SHAPES {
        for mode in MODES {
            let kernel = build(shape, mode, true, Odd::Ticks);
            is_true(&format!("{} {mode:?}", shape.kernels), &kernel);
        }
    }
}

#[test]
fn what_is_not_proved_is_absent_and_nothing_is_wrong() {
    for shape in SHAPES {
        for mode in MODES {
            let made = |odd| build(shape, mode, true, odd);
            let what = format!("{} {mode:?}", shape.kernels);
            let broken = attached(&made(Odd::BrokenList)).err().unwrap();
            assert!(broken.contains("task_struct.tasks"), "{what}: {broken}");
            let twin = attached(&made(Odd::SecondIds)).err().unwrap();
            assert!(twin.contains("2 places hold"), "{what}: {twin}");

            let kernel = made(Odd::StartsBack);
            let (processes, _) = rows(|row| attached(&kernel).unwrap().processes(row));
            assert_eq!(processes.len(), kernel.processes.len(), "{what}");
            for (row, truth) in processes.iter().zip(&kernel.processes) {
                assert!(row.create_time.is_err(), "{what}: {row:?}");
                assert_eq!(row.name.as_ref().ok(), Some(&truth.name), "{what}");
            }

            let kernel = made(Odd::NoThreads);
            let linux = attached(&kernel).unwrap();
            for truth in &kernel.processes {
                let (threads, ends) = rows(|row| linux.threads(truth.at, row));
                assert!(threads.len() == 1 && !ends.all_closed(), "{what}: {ends}");
            }

            let kernel = made(Odd::ForeignTable);
            let (processes, _) = rows(|row| attached(&kernel).unwrap().processes(row));
            assert!(processes.iter().all(|row| row.asid.is_err()), "{what}");

            let kernel = made(Odd::LostChild);
            let (processes, _) = rows(|row| attached(&kernel).unwrap().processes(row));
            for (row, truth) in processes.iter().zip(&kernel.processes) {
                let parent = if truth.ppid == 302 { 300 } else { truth.ppid };
                assert_eq!(row.ppid, Ok(parent), "{what}: {truth:?}");
            }
        }
    }
}
