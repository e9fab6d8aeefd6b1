//! Whole Windows machines: what comes out is what went in.
//!
//! Every layout, paging mode and container, with registers and without, and no hint but a folder
//! that holds the profile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod crash;
mod distilled;
mod ids;
mod machines;
mod minidump;
mod osi_test;
mod reactos;
mod rows;
mod win2000;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use machines::{Folder, attach, compare, compare_rows, crowd, modes, store};
use osier::Guest;
use osier::Osi;
use osier::osier_memory::Paging;
use osier::osier_profile::Kind;
use osier_testkit::Patched;
use osier_testkit::containers::hiber::HiberForm;
use osier_testkit::windows::layouts;
use osier_testkit::windows::{Libosi, Paged, Part, PdbRecord, Proto, WindowsMachine};
use rows::{found, planned};

#[test]
fn in_memory_with_registers_and_without() {
    for layout in layouts::all() {
        for mode in modes(layout) {
            let machine = crowd(layout, mode).write(&layout.profile);
            for (with, snapshot) in [
                ("registers", machine.machine()),
                ("no registers", machine.without_registers()),
            ] {
                let what = format!("{} {mode:?} {with}", layout.name);
                let osi = attach(layout, &snapshot);
                compare(&osi, &machine, &what);
                assert_eq!(
                    osi.kernel().banner,
                    machine.plan.build_lab.as_bytes(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn under_kva_shadow() {
    for layout in layouts::all() {
        let kprocess = layout.profile.find_type("_KPROCESS").unwrap();
        if kprocess.member("UserDirectoryTableBase").is_none() {
            continue;
        }
        for user in [true, false] {
            let mut plan = crowd(layout, Paging::Long4);
            plan.kva_shadow = true;
            plan.processors[0].user = user;
            let machine = plan.write(&layout.profile);
            for snapshot in [machine.machine(), machine.without_registers()] {
                let what = format!("{}, user mode: {user}", layout.name);
                compare(&attach(layout, &snapshot), &machine, &what);
            }
        }
    }
}

#[test]
fn with_small_pages_and_without_the_record_of_the_pdb() {
    for layout in layouts::all() {
        for mode in modes(layout) {
            let mut plan = crowd(layout, mode);
            plan.large_pages = false;
            let machine = plan.clone().write(&layout.profile);
            let what = format!("{} {mode:?} small pages", layout.name);
            compare(
                &attach(layout, &machine.without_registers()),
                &machine,
                &what,
            );
            plan.record = PdbRecord::Lost;
            let machine = plan.write(&layout.profile);
            let what = format!("{} {mode:?} no RSDS", layout.name);
            compare(&attach(layout, &machine.machine()), &machine, &what);
        }
    }
}

/// Each part of a process away in each way: its rows say less, and nothing else changes.
#[test]
fn with_pages_that_are_away() {
    let states = [
        Paged::Transition,
        Paged::Prototype(Proto::Valid),
        Paged::Prototype(Proto::Transition),
        Paged::Prototype(Proto::PageFile(0x77)),
        Paged::DemandZero,
        Paged::PageFile {
            number: 1,
            offset: 0x4321,
        },
    ];
    let parts = [Part::Peb, Part::Loader, Part::Entries, Part::Parameters];
    for layout in layouts::all() {
        let mode = modes(layout)[0];
        for (part, state) in parts
            .into_iter()
            .flat_map(|part| states.map(|state| (part, state)))
        {
            let mut plan = crowd(layout, mode);
            let process = plan.processes.iter_mut().find(|p| p.pid == 1012).unwrap();
            process.paged.push((part, state));
            let machine = plan.write(&layout.profile);
            let what = format!("{} {part:?} {state:?}", layout.name);
            let bad = compare_rows(&attach(layout, &machine.machine()), &machine, &what);
            // What is lost of a list is told; of the parameters the row itself tells.
            let there = rows::is_there(state) || part == Part::Parameters;
            assert_eq!(bad.is_empty(), there, "{what}: {bad:?}");
        }
    }
}

#[test]
fn from_files_with_nothing_but_a_profile_in_the_store() {
    let folder = Folder::new("windows-files");
    for layout in layouts::all() {
        let options = store(&folder.0, layout);
        for mode in modes(layout) {
            let machine = crowd(layout, mode).write(&layout.profile);
            let (raw, dump) = (folder.0.join("memory.raw"), folder.0.join("memory.dmp"));
            machine.write_raw(&raw).unwrap();
            machine.write_crash_dump(&dump).unwrap();
            let mut files = vec![raw, dump];
            files.extend(hibernated(&machine, mode, &folder.0));
            for file in files {
                let what = format!("{} {mode:?} {}", layout.name, file.display());
                let guest =
                    Guest::open(&file, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(guest.located().mode(), written_as(mode), "{what}");
                compare(guest.provider().as_ref(), &machine, &what);
            }
        }
    }
}

/// The machine in a hibernation file of its time, where the paging mode is one that such files are
/// written in.
fn hibernated(machine: &WindowsMachine, mode: Paging, folder: &Path) -> Option<PathBuf> {
    let modern = machine.plan.version >= (6, 2);
    let (form, huffman) = match (mode, modern) {
        (Paging::Long4, true) => (HiberForm::Modern(true, 0x448), true),
        (Paging::Long4, false) => (HiberForm::Win7x64, false),
        (Paging::Pae, _) => (HiberForm::Win7x32, false),
        _ => return None,
    };
    let path = folder.join("hiberfil.sys");
    machine.write_hibernation(&path, form, huffman).unwrap();
    Some(path)
}

/// Nothing in a file tells 2-level paging with large pages from one without, where none is used.
fn written_as(mode: Paging) -> Paging {
    match mode {
        Paging::LegacyNoPse => Paging::Legacy,
        mode => mode,
    }
}

#[test]
fn libosi_s_machines() {
    let own = layouts::own();
    let i386 = Libosi::I386
        .plan(&own[0].profile, true)
        .write(&own[0].profile);
    let osi = attach(&own[0], &i386.machine());
    compare(&osi, &i386, "i386");
    let layout = layouts::of("3844dbb9");
    for (image, _) in Libosi::WOW64 {
        let machine = image.plan(&layout.profile, true).write(&layout.profile);
        compare(
            &attach(layout, &machine.machine()),
            &machine,
            &format!("{image:?}"),
        );
    }
    // The same rows on every x64 layout; on its own at the addresses that libosi expects.
    for layout in layouts::all()
        .iter()
        .filter(|layout| layout.profile.identity().pointer_bytes == 8)
    {
        let at_home = layout.name.ends_with("-3844dbb9");
        let machine = Libosi::Amd64
            .plan(&layout.profile, at_home)
            .write(&layout.profile);
        let bad = compare_rows(&attach(layout, &machine.machine()), &machine, &layout.name);
        assert!(!bad.is_empty(), "most PEBs are away");
    }
}

/// The comparison itself: whatever is changed in the machine shows.
#[test]
fn a_wrong_field_shows() {
    let layout = &layouts::own()[1];
    let machine = crowd(layout, Paging::Pae).write(&layout.profile);
    let osi = attach(layout, &machine.machine());
    let eprocess = machine.process(1012).eprocess.unwrap();
    let fields = [
        "UniqueProcessId",
        "InheritedFromUniqueProcessId",
        "ImageFileName",
        "CreateTime",
        "ExitTime",
        "Pcb.DirectoryTableBase",
        "Peb",
        "VadRoot.BalancedRoot.RightChild",
        "ThreadListHead.Flink",
        "ActiveProcessLinks.Flink",
    ];
    let wanted = format!("{:?}", (planned(&machine.plan), Vec::<String>::new()));
    assert_eq!(format!("{:?}", found(&osi)), wanted);
    for field in fields {
        let mut at = eprocess;
        let mut ty = "_EPROCESS".to_owned();
        for part in field.split('.') {
            let member = layout.profile.find_type(&ty).unwrap().member(part).unwrap();
            at = at.plus(u64::try_from(member.offset).unwrap());
            if let Kind::Embedded { name } = &member.kind {
                ty.clone_from(name);
            }
        }
        let pa = osi.kernel_space().translate(at).unwrap();
        let mut patched = Patched::new(machine.machine().memory);
        // A link that is off by so much leads into the same page.
        patched.flip(pa, 6);
        let mut wrong = machine.machine();
        wrong.memory = Arc::new(patched);
        let rows = std::panic::catch_unwind(AssertUnwindSafe(|| {
            format!("{:?}", found(&attach(layout, &wrong)))
        }));
        assert!(
            rows.is_err() || rows.is_ok_and(|rows| rows != wanted),
            "{field}"
        );
    }
}
