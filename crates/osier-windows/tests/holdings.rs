//! The handles, environments and tokens that the writer of machines gave processes, on every layout.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "other tests ask for more")]
mod answers;

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_osi::{FileExtra, OpenFile, Osi, Process, ProcessExtra, Variable, Why};
use osier_testkit::windows::WindowsMachine;
use osier_testkit::windows::layouts;
use osier_windows::{KnownKernel, Windows, locate};

fn attached(layout: &layouts::Layout, machine: &WindowsMachine) -> Windows {
    let whole = machine.machine();
    let known: Vec<KnownKernel> = KnownKernel::of_profile(&layout.profile)
        .into_iter()
        .collect();
    let located = locate(&whole, &known).expect("the kernel is found");
    let profile = Arc::new(layout.profile.clone());
    Windows::attach(&whole, &located, profile).expect("it attaches")
}

#[test]
fn every_handle_is_a_row() {
    for layout in layouts::all() {
        let machine = answers::machine(&layout.profile);
        let windows = attached(layout, &machine);
        let processes = &machine.plan.processes;
        for process in processes {
            let mut rows: Vec<OpenFile> = Vec::new();
            let ends = windows.files(process.eprocess.unwrap(), &mut |row| {
                rows.push(row);
                ControlFlow::Continue(())
            });
            assert!(ends.is_complete(), "{}: {ends}", layout.name);
            let mut wanted = process.handles.clone();
            wanted.sort_by_key(|handle| handle.handle);
            assert_eq!(rows.len(), wanted.len(), "{}", layout.name);
            for (row, wanted) in rows.iter().zip(&wanted) {
                let what = format!("{}: {wanted:?}", layout.name);
                assert_eq!(row.pid, Ok(u32::try_from(process.pid).unwrap()), "{what}");
                assert_eq!(u64::from(row.fd), wanted.handle, "{what}");
                assert_eq!(row.filed, Ok(wanted.object), "{what}");
                assert_eq!(row.flags, Ok(wanted.access), "{what}");
                let kind = row.kind.as_ref().unwrap();
                assert_eq!(kind.word(), wanted.opened.kind().as_bytes(), "{what}");
                if let Some(name) = wanted.opened.name(processes) {
                    assert_eq!(row.path, Ok(name.into_bytes()), "{what}");
                } else {
                    let why = &row.path.as_ref().unwrap_err().why;
                    assert!(matches!(why, Why::NotApplicable(_)), "{what}");
                }
                assert_eq!(row.extra, FileExtra::Windows);
            }
        }
    }
}

#[test]
fn every_variable_is_a_row() {
    for layout in layouts::all() {
        let machine = answers::machine(&layout.profile);
        let windows = attached(layout, &machine);
        for process in &machine.plan.processes {
            let mut rows = Vec::new();
            let ends = windows.environment(process.eprocess.unwrap(), &mut |row: Variable| {
                rows.push(row);
                ControlFlow::Continue(())
            });
            assert!(ends.is_complete(), "{}: {ends}", layout.name);
            if !process.has_peb() {
                assert_eq!(rows, []);
                continue;
            }
            let wanted = &process.environment;
            assert_eq!(rows.len(), wanted.len(), "{}", layout.name);
            assert_eq!(rows[0].address, process.environment_at.unwrap().0);
            for (row, wanted) in rows.iter().zip(wanted) {
                let value = String::from_utf8(row.value.clone().unwrap()).unwrap();
                let text = match &row.name {
                    Ok(name) => format!("{}={value}", String::from_utf8(name.clone()).unwrap()),
                    Err(absent) => {
                        assert!(matches!(absent.why, Why::NotApplicable(_)));
                        value
                    }
                };
                assert_eq!(text, *wanted, "{}", layout.name);
            }
            // Where a drive was left is a variable that begins with the sign.
            assert_eq!(rows[1].name, Ok(b"=C:".to_vec()));
        }
    }
}

#[test]
fn every_process_has_its_token() {
    let mut checked = 0;
    for layout in layouts::all() {
        let machine = answers::machine(&layout.profile);
        let windows = attached(layout, &machine);
        let mut rows = Vec::new();
        let ends = windows.wide(&mut |row: Process| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        assert!(ends.is_complete(), "{}: {ends}", layout.name);
        assert_eq!(rows.len(), machine.plan.processes.len());
        for (row, process) in rows.iter().zip(&machine.plan.processes) {
            let ProcessExtra::Windows(extra) = &row.extra else {
                panic!("a process of Windows");
            };
            let wide = extra.wide.as_ref().unwrap();
            let Some(at) = process.token else {
                assert!(wide.token.as_ref().is_err_and(|absent| !absent.is_loss()));
                continue;
            };
            checked += 1;
            let (token, what) = (&process.acts_for, format!("{} {at}", layout.name));
            let groups = wide.groups.as_ref().unwrap();
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            assert_eq!(wide.token, Ok(at), "{what}");
            assert_eq!(
                wide.user.as_ref().unwrap().to_string(),
                token.user,
                "{what}"
            );
            assert_eq!(groups, token.groups, "{what}");
            let held = wide.privileges.as_ref().unwrap();
            let held: Vec<_> = held.iter().map(|one| (one.number, one.enabled)).collect();
            assert_eq!(held, token.privileges, "{what}");
            assert_eq!(wide.logon, Ok(token.logon), "{what}");
            let vista = layout.profile.find_type("_SEP_TOKEN_PRIVILEGES").is_some();
            match &wide.integrity {
                Ok(level) => assert_eq!(Some(level.0), token.integrity, "{what}"),
                Err(absent) => assert!(!vista && absent.why == Why::NotInThisKernel, "{what}"),
            }
        }
    }
    assert!(checked > 50, "{checked}");
}

/// A caller that has seen enough stops the walk.
#[test]
fn a_walk_can_be_stopped() {
    let layout = layouts::of("5278aff8");
    let machine = answers::machine(&layout.profile);
    let windows = attached(layout, &machine);
    let shell = machine.process(1012);
    let mut rows = 0;
    let ends = windows.files(shell.eprocess.unwrap(), &mut |_| {
        rows += 1;
        ControlFlow::Break(())
    });
    assert_eq!(rows, 1);
    assert!(ends.is_complete() && !ends.all_closed());
}
