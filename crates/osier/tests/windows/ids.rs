//! The table of ids: what is taken off the list is still found, and what is taken out of the table is
//! told.

use std::ops::ControlFlow;

use osier::osier_memory::{Cause, Store};
use osier::{FoundBy, Osi, ProcessExtra, ProcessSource, SeenExt as _, WalkEnd, Why};
use osier_testkit::windows::{Paged, Part, Plan, Process, Told, WindowsMachine};

use super::layouts::{self, Layout};
use super::machines::{attach, crowd, modes};

/// Pid and source of each process, and the endings that are not good.
fn sources(osi: &dyn Osi) -> (Vec<(u32, FoundBy)>, Vec<WalkEnd>) {
    let mut rows = Vec::new();
    let ends = osi.processes(&mut |row| {
        rows.push((row.pid.value().unwrap(), row.found_by));
        ControlFlow::Continue(())
    });
    let bad = ends.bad().map(|(_, end)| end.clone()).collect();
    (rows, bad)
}

/// `crowd`, with one process that is in the table alone and one that is on the list alone.
fn tampered(layout: &Layout, hidden: u64) -> WindowsMachine {
    let mut plan = crowd(layout, modes(layout)[0]);
    let shown = Process::new(2600, "shown.exe").child_of(1012);
    plan.processes.push(shown.told(Told::ByList));
    let rootkit = Process::new(hidden, "rootkit.exe").child_of(4).runs(
        "C:\\rootkit.exe",
        "rootkit.exe --quiet",
        0x40_0000,
        0x1_0000,
    );
    plan.processes.push(rootkit.told(Told::ByTable));
    plan.write(&layout.profile)
}

#[test]
fn a_process_that_is_on_no_list_is_found_by_its_id() {
    for layout in layouts::all() {
        // In a table of two levels, and in one of three.
        for hidden in [0x1004, 0x50_0004] {
            let machine = tampered(layout, hidden);
            let what = format!("{} {hidden:#x}", layout.name);
            let osi = attach(layout, &machine.machine());
            let (rows, bad) = sources(&osi);
            let source = |pid: u64| {
                let row = rows.iter().find(|row| u64::from(row.0) == pid);
                row.map(|row| row.1)
            };
            assert_eq!(
                rows.len(),
                machine.plan.processes.len(),
                "{what}: {rows:?} {bad:?}"
            );
            assert_eq!(
                source(4),
                Some(FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable)),
                "{what}"
            );
            assert_eq!(
                source(1012),
                Some(FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable)),
                "{what}"
            );
            assert_eq!(
                source(2600),
                Some(FoundBy::source(ProcessSource::List).missing(ProcessSource::PidTable)),
                "{what}"
            );
            assert_eq!(
                source(hidden),
                Some(FoundBy::source(ProcessSource::PidTable).missing(ProcessSource::List)),
                "{what}"
            );
            assert_eq!(rows.last().unwrap().0, u32::try_from(hidden).unwrap());
            let between = "process list and pid table";
            let expected = WalkEnd::Disagreement {
                between,
                only_first: 1,
                only_second: 1,
            };
            assert_eq!(bad, [expected], "{what}");
            // It can be asked about like any other.
            let taskd = machine.process(hidden).eprocess.unwrap();
            let row = osi.process(taskd);
            let Some(ProcessExtra::Windows(more)) = row.get().map(|row| &row.extra) else {
                panic!("{what}: {row:?}");
            };
            assert_eq!(more.path.get().unwrap(), b"C:\\rootkit.exe", "{what}");
            let mut threads = 0;
            let ends = osi.threads(taskd, &mut |_| {
                threads += 1;
                ControlFlow::Continue(())
            });
            assert!(ends.is_complete() && threads == 1, "{what}: {ends:?}");
        }
    }
}

/// Where the table cannot be read, the list stands alone and the rows say so.
#[test]
fn a_table_that_is_not_described_is_not_asked() {
    let layout = &layouts::own()[0];
    let mut plan = Plan::new(&layout.profile);
    plan.processes.push(Process::new(1012, "explorer.exe"));
    let machine = plan.write(&layout.profile);
    let osi = attach(layout, &machine.machine());
    assert_eq!(
        sources(&osi),
        (
            vec![
                (
                    4,
                    FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable)
                ),
                (
                    1012,
                    FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable)
                )
            ],
            vec![]
        )
    );
    let table = osi.kernel_space();
    let at = machine
        .plan
        .kernel_base
        .plus(layout.profile.symbol("PspCidTable").unwrap());
    let pa = table.translate(at).unwrap();
    let mut patched = osier_testkit::Patched::new(machine.machine().memory);
    patched.write_uint(pa, 0, 4);
    let mut holed = machine.machine();
    holed.memory = std::sync::Arc::new(patched);
    let (rows, bad) = sources(&attach(layout, &holed));
    let alone = FoundBy::source(ProcessSource::List);
    assert_eq!(rows, [(4, alone), (1012, alone)]);
    assert!(
        matches!(bad.as_slice(), [WalkEnd::NoStart { .. }]),
        "{bad:?}"
    );
}

/// The store of compressed memory is told from the paging files.
#[test]
fn a_compressed_page_is_called_so() {
    let mut stores = 0;
    for layout in layouts::all() {
        let file = layout.profile.find_type("_MMPAGING_FILE");
        let has = file.is_some_and(|file| file.member("VirtualStorePagefile").is_some());
        for number in [1, 2] {
            let mut plan = crowd(layout, modes(layout)[0]);
            let shell = plan.processes.iter_mut().find(|p| p.pid == 1012).unwrap();
            let offset = 0x4321;
            shell
                .paged
                .push((Part::Parameters, Paged::PageFile { number, offset }));
            let machine = plan.write(&layout.profile);
            let osi = attach(layout, &machine.machine());
            let row = osi.process(machine.process(1012).eprocess.unwrap());
            let row = row.get().unwrap();
            let ProcessExtra::Windows(more) = &row.extra else {
                panic!("{row:?}");
            };
            let Err(absent) = &more.cmdline else {
                panic!("{row:?}");
            };
            let Why::Unreadable(fault) = absent.why else {
                panic!("{absent:?}");
            };
            let Cause::Elsewhere { store, .. } = fault.cause else {
                panic!("{fault:?}");
            };
            let expected = if has && number == 2 {
                stores += 1;
                Store::Compressed
            } else {
                Store::PageFile
            };
            assert_eq!(store, expected, "{} {number}", layout.name);
        }
    }
    assert!(stores > 0, "some layout has such a store");
}
