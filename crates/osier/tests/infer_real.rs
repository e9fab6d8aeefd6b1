//! Real kernels whose types and profile are hidden: what is inferred is what their types tell, or absent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;

use osier::ask::{Question, ask};
use osier::osier_memory::Cause;
use osier::tables::{Cell, Cells};
use osier::{
    Guest, Located, Options, Osi, ProcessExtra, ProfileSource, Seen, WalkEnd, WalkEnds, Why,
    infer_profile, open_snapshot,
};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, SNAPSHOTS) =>
        what_is_inferred_is_so, no_question_is_silently_short;
    need::snapshot("deb11-5.10-686") => a_kernel_without_types_is_inferred_when_that_is_asked_for;
}

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// The guest by its own types or its shipped profile, and by inferred structures.
fn both(folder: &Path) -> (Guest, Guest) {
    let options = Options::default();
    let path = folder.join("memory.elf");
    let told = Guest::open(&path, &options).unwrap();
    let snapshot = open_snapshot(&path, &options).unwrap();
    let located = told.located().clone();
    let Located::Linux(linux) = &located else {
        panic!("a Linux kernel");
    };
    let profile = infer_profile(&snapshot.machine, linux).unwrap();
    let source = ProfileSource::Inferred;
    let inferred = Guest::with(snapshot, located, profile.into(), source).unwrap();
    (told, inferred)
}

/// Whether the value is the true one; one that is absent was not inferred, or does not apply in truth either.
fn same<T: PartialEq + Debug>(what: &str, truth: &Seen<T>, inferred: &Seen<T>) -> bool {
    match inferred {
        Ok(value) => {
            assert_eq!(truth.as_ref().ok(), Some(value), "{what}");
            true
        }
        Err(absent) => {
            let not_inferred = match absent.why {
                Why::Unreadable(fault) => fault.cause == Cause::NotInferred,
                Why::NotApplicable(_) => truth.is_err(),
                _ => false,
            };
            assert!(not_inferred, "{what}: {absent}, in truth {truth:?}");
            false
        }
    }
}

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

fn what_is_inferred_is_so(real: &Real) {
    let (told, inferred) = both(&real.path);
    let (told, inferred) = (told.provider(), inferred.provider());
    processes(&*told, &*inferred);
    threads(&*told, &*inferred);
    modules(&*told, &*inferred);
    currents(&*told, &*inferred);
}

fn processes(told: &dyn Osi, inferred: &dyn Osi) {
    let (truth, _) = rows(|row| told.processes(row));
    let (found, ends) = rows(|row| inferred.processes(row));
    assert!(ends.all_closed(), "{ends}");
    assert_eq!(truth.len(), found.len());
    let mut counts = [0_usize; 8];
    for (truth, found) in truth.iter().zip(&found) {
        assert_eq!(truth.taskd, found.taskd);
        let what = format!("{:?} {:?}", truth.pid, truth.name);
        let (ProcessExtra::Linux(is), ProcessExtra::Linux(told)) = (&truth.extra, &found.extra)
        else {
            panic!("{what}");
        };
        let equal = [
            same(&what, &truth.pid, &found.pid),
            same(&what, &truth.ppid, &found.ppid),
            same(&what, &truth.name, &found.name),
            same(&what, &truth.create_time, &found.create_time),
            same(&what, &is.kernel_thread, &told.kernel_thread),
            same(&what, &is.threads, &told.threads),
            same(&what, &truth.asid, &found.asid) || truth.asid.is_err(),
            same(&what, &truth.pgd, &found.pgd) || truth.pgd.is_err(),
        ];
        for (count, equal) in counts.iter_mut().zip(equal) {
            *count += usize::from(equal);
        }
        for absent in [told.uid.as_ref().err(), told.gid.as_ref().err()] {
            assert!(absent.is_some(), "{what}");
        }
    }
    // Each column is inferred of every process or of none.
    assert_eq!(counts, [truth.len(); 8]);
}

fn threads(told: &dyn Osi, inferred: &dyn Osi) {
    let (mut count, mut all) = (0, 0);
    for process in rows(|row| told.processes(row)).0 {
        let (truth, _) = rows(|row| told.threads(process.taskd, row));
        let (found, ends) = rows(|row| inferred.threads(process.taskd, row));
        all += truth.len();
        count += found.len();
        for found in &found {
            let truth = truth.iter().find(|truth| truth.task == found.task);
            let truth = truth.unwrap_or_else(|| panic!("{found:?} is no thread"));
            let what = format!("{found:?}");
            assert!(same(&what, &truth.pid, &found.pid));
            assert!(same(&what, &truth.tid, &found.tid));
            assert!(same(&what, &truth.name, &found.name));
        }
        // What is missing is said.
        assert!(
            found.len() == truth.len() || !ends.all_closed(),
            "{process:?}: {ends}"
        );
    }
    assert_eq!(count, all);
}

fn modules(told: &dyn Osi, inferred: &dyn Osi) {
    let (truth, _) = rows(|row| told.modules(row));
    let (found, ends) = rows(|row| inferred.modules(row));
    assert!(ends.all_closed(), "{ends}");
    assert_eq!(truth.len(), found.len());
    for (truth, found) in truth.iter().zip(&found) {
        assert_eq!(truth.modd, found.modd);
        let what = format!("{truth:?}");
        assert!(same(&what, &truth.name, &found.name));
        assert!(same(&what, &truth.base, &found.base), "{what}");
        assert!(same(&what, &truth.size, &found.size), "{what}");
    }
}

fn currents(told: &dyn Osi, inferred: &dyn Osi) {
    let (truth, _) = rows(|row| told.current(row));
    let (found, ends) = rows(|row| inferred.current(row));
    assert!(found.len() == truth.len() || !ends.all_closed(), "{ends}");
    let mut equal = 0;
    for found in &found {
        let truth = truth.iter().find(|truth| truth.cpu == found.cpu).unwrap();
        match (&truth.thread, &found.thread) {
            (Ok(is), Ok(told)) => {
                assert_eq!(is.task, told.task);
                equal += 1;
            }
            (_, Err(absent)) => assert!(absent.is_loss(), "{absent}"),
            (Err(why), Ok(told)) => panic!("{told:?} where in truth {why}"),
        }
    }
    // Where symbols name the variable, every processor's is told; without them none is.
    assert!(
        equal == truth.len() || found.is_empty(),
        "{equal} of {}",
        truth.len()
    );
}

/// A question that is not answered whole says so: with an ending, or with a value that was not inferred.
fn no_question_is_silently_short(real: &Real) {
    let (told, inferred) = both(&real.path);
    assert!(
        inferred
            .info()
            .anomalies
            .iter()
            .any(|odd| odd.text.contains("inferred"))
    );
    let (told, inferred) = (told.provider(), inferred.provider());
    for question in Question::ALL {
        if question == Question::Pages {
            continue;
        }
        let count = |osi: &dyn Osi| {
            let (mut rows, mut lost) = (0_usize, 0_usize);
            let ends = ask(osi, question, &mut |row: &Cells<'_>| {
                rows += 1;
                let absent = row.iter().any(|(_, cell)| matches!(cell, Cell::Absent(_)));
                lost += usize::from(absent);
                ControlFlow::Continue(())
            });
            (rows, lost, ends)
        };
        let (truth, ..) = count(&*told);
        let (found, _, ends) = count(&*inferred);
        let word = question.word();
        assert!(
            found == truth || !ends.is_complete(),
            "{word}: {found} of {truth}"
        );
        let unanswered = ends.bad().any(|(_, end)| *end == WalkEnd::NotAnswered);
        assert!(!unanswered, "{word}");
    }
}

fn a_kernel_without_types_is_inferred_when_that_is_asked_for(real: &Real) {
    let path = real.path.join("memory.elf");
    let mut options = Options {
        no_shipped: true,
        ..Options::default()
    };
    let error = Guest::open(&path, &options).unwrap_err().to_string();
    assert!(error.contains("no type information (BTF)"), "{error}");
    assert!(error.contains("  or:       --infer"), "{error}");
    options.infer = true;
    let guest = Guest::open(&path, &options).unwrap();
    assert_eq!(*guest.source(), ProfileSource::Inferred);
    assert!(guest.profile().inferred());
    let kernel = guest.kernel();
    let about = kernel
        .premises
        .iter()
        .filter(|premise| premise.about == "profile");
    assert!(
        about
            .clone()
            .any(|premise| premise.by.contains("inferred from the kernel's memory"))
    );
    // A profile that is there is used all the same.
    options.no_shipped = false;
    let told = Guest::open(&path, &options).unwrap();
    assert_ne!(*told.source(), ProfileSource::Inferred);
}
